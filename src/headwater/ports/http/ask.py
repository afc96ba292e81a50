"""What a request asks, out of its query: moments, a key, how many at once, in which form, and how long to wait."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from headwater.errors import CallerFault
from headwater.mesh.products import ResolvedOutput
from headwater.ports.http.problems import wrong
from headwater.timeline.instant import Instant

PAGE_DEFAULT, PAGE_LIMIT = 1_000, 100_000
WAIT_LIMIT = 30.0  # seconds
_ZONE = re.compile(r" (\d\d:?\d\d)$")  # its plus was not written as %2B
KEY = "key."  # what stands before a key field's name

AS_OF = ("valid", "recorded", "limit", "cursor", "wait", "format")
HISTORY = ("recorded", "limit", "cursor", "wait", "format")
SNAPSHOT = ("recorded", "limit", "cursor", "format")
FEED = ("after", "limit", "wait", "format")


@dataclass(frozen=True, slots=True)
class Ask:
    """A request's query, understood. None where it does not say."""

    valid: Instant | None = None
    recorded: Instant | None = None
    key: tuple[object, ...] | None = None
    limit: int = PAGE_DEFAULT
    cursor: str = ""
    after: str = "end"
    wait: float = 0.0
    format: str = ""


def ask_of(query: Mapping[str, str], allowed: Collection[str], output: ResolvedOutput | None = None) -> Ask:
    """Read a query; raises `CallerFault` HW-R031 naming the parameter that is wrong. With an output, keys too."""
    keys = {name: value for name, value in query.items() if output is not None and name.startswith(KEY)}
    for name in query:
        if name not in allowed and name not in keys:
            near = get_close_matches(name, allowed, 1)
            raise wrong(f"there is no parameter '{name[:60]}' here", f"{near[0]}?" if near else ", ".join(allowed))
    return Ask(
        _moment(query, "valid"),
        _moment(query, "recorded"),
        _key(keys, output) if output is not None else None,
        _number(query, "limit", PAGE_DEFAULT, 1, PAGE_LIMIT),
        query.get("cursor", ""),
        query.get("after", "end"),
        _seconds(query),
        query.get("format", ""),
    )


def _moment(query: Mapping[str, str], name: str) -> Instant | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        return Instant.parse(_ZONE.sub(r"+\1", text))
    except CallerFault as error:
        raise wrong(f"{name}: {error.message}", error.hint) from None


def _number(query: Mapping[str, str], name: str, otherwise: int, least: int, most: int) -> int:
    text = query.get(name, str(otherwise))
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not least <= int(text) <= most:
        raise wrong(f"{name} is a whole number from {least:,} to {most:,}", f"{name}={otherwise}")
    return int(text)


def _seconds(query: Mapping[str, str]) -> float:
    text = query.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= WAIT_LIMIT:
        raise wrong(f"wait is a number of seconds from 0 to {WAIT_LIMIT:g}", "wait=5")
    return seconds


def _key(keys: Mapping[str, str], output: ResolvedOutput) -> tuple[object, ...] | None:
    """The values of the key fields, in their order; numbers and booleans by the fields' types."""
    if not keys:
        return None
    names = output.output.key
    if set(keys) != {KEY + name for name in names}:
        raise wrong("a key is asked for whole", " & ".join(f"{KEY}{name}=…" for name in names))
    values: dict[str, Any] = {}
    for field in output.schema.fields:
        if field.name in names:
            text = keys[KEY + field.name]
            kind = {"int": int, "long": int, "boolean": bool}.get(field.type.kind)
            values[field.name] = text if kind is None else _read(text, kind, f"{KEY}{field.name}")
    return tuple(values[name] for name in names)


def _read(text: str, kind: type, name: str) -> object:
    try:
        value = json.loads(text[:100])
    except ValueError:
        value = None
    if type(value) is not kind:
        raise wrong(f"{name} is no {'boolean' if kind is bool else 'whole number'}", "give the value as JSON has it")
    return value
