"""Plain values to YAML text: block style, one form for one value, read the same by YAML 1.1 and 1.2.

A writer of our own, since what is written is compared byte by byte: keys stand in the order they were given, and text
that any reader could take for something else is quoted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

LINE_LENGTH = 110  # a list of short scalars that fits stands on one line

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./+() -]*\Z")
_SAFE_NUMERIC = re.compile(r"(?:[0-9]+\.[0-9]+\.[0-9]+|[0-9]+(?:ms|us|min|s|h|d))\Z")  # versions and durations
_TAKEN_FOR_ELSE = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


def yaml_text(document: Mapping[str, Any]) -> str:
    """One document; values are mappings, lists, text, numbers, booleans and None.

    >>> print(yaml_text({"name": "flights", "key": ["origin", "dest"], "note": "yes"}), end="")
    name: flights
    key: [origin, dest]
    note: "yes"
    """
    return "".join(f"{line}\n" for line in _mapping(document, 0))


def yaml_texts(documents: Sequence[Mapping[str, Any]]) -> str:
    """Several documents in one file, with `---` between them."""
    return "---\n".join(yaml_text(document) for document in documents)


def _mapping(value: Mapping[str, Any], indent: int) -> Iterator[str]:
    margin = " " * indent
    for key, item in value.items():
        yield from _entry(f"{margin}{_scalar(key)}:", item, indent + 2)


def _sequence(value: Sequence[Any], indent: int) -> Iterator[str]:
    margin = " " * indent
    for item in value:
        if isinstance(item, Mapping) and item:
            first, *rest = _mapping(item, indent + 2)
            yield f"{margin}- {first[indent + 2 :]}"
            yield from rest
        else:
            yield from _entry(f"{margin}-", item, indent + 2)


def _entry(head: str, item: Any, indent: int) -> Iterator[str]:
    if isinstance(item, Mapping) and item:
        yield head
        yield from _mapping(item, indent)
    elif isinstance(item, list | tuple) and item:
        line = f"{head} [{', '.join(_scalar(part) for part in item)}]" if _all_scalars(item) else ""
        if line and len(line) <= LINE_LENGTH:
            yield line
        else:
            yield head
            yield from _sequence(item, indent)
    else:
        yield f"{head} {_scalar(item)}"


def _all_scalars(items: Sequence[Any]) -> bool:
    return not any(isinstance(item, Mapping | list | tuple) for item in items)


def _scalar(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    if not isinstance(value, str):
        text = json.dumps(value)  # YAML's core schema reads null, true, 12 and 0.5 as JSON does
        return (
            re.sub(r"\A(-?[0-9]+)e", r"\1.0e", text) if isinstance(value, float) else text
        )  # YAML 1.1 wants the point
    plain = _PLAIN.match(value) and not value.endswith(" ") and value.lower() not in _TAKEN_FOR_ELSE
    return value if plain or _SAFE_NUMERIC.match(value) else _quoted(value)


def _quoted(text: str) -> str:
    # JSON's escapes are YAML's too, except that YAML joins no pairs of surrogates: other letters stay as they are.
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))
