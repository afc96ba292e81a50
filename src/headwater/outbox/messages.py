"""Outbox rows without a table: logical messages of a transaction, whose content names the columns in JSON.

`SELECT pg_logical_emit_message(true, 'headwater.outbox:public.outbox', '{"id": "…", "aggregatetype": "…", …}')` writes
a row to the server's log and nowhere else. What a table's constraints refuse within the service's transaction is found
out here only: content that is no row goes to quarantine, whole.
"""

from __future__ import annotations

import json
import re
from uuid import UUID

from headwater.errors import Misfit
from headwater.outbox.event import COLUMNS, OutboxEvent
from headwater.outbox.pgoutput import Row, logical_message

PREFIX = "headwater.outbox:"
_KNOWN = frozenset((*COLUMNS, "created_at"))
_DEFAULTS = {"kind": b"assert", "revision": b"1"}  # as the table has them
_SPACE = re.compile(r"[ \t\n\r]*")
_JSON = json.JSONDecoder(parse_constant=lambda name: _no_json())


def prefix_of(table: str) -> str:
    """The prefix of messages that are rows of this table's source.

    >>> prefix_of("public.outbox")
    'headwater.outbox:public.outbox'
    """
    return PREFIX + table


def content_of(row: OutboxEvent) -> str:
    """The content of the message that is this row.

    >>> content_of(OutboxEvent("7f3f8f86-6a53-4a0c-9d2b-0a3f5d6b8c11", "a.b", "k", "a.b.C", '{"x":1}'))[-49:]
    '"kind":"assert","revision":"1","payload":{"x":1}}'
    """
    cells = {name: value for name, value in zip(COLUMNS, row.values(), strict=True) if value is not None}
    payload = cells.pop("payload", None)
    texts = {name: "\\x" + value.hex() if isinstance(value, bytes) else str(value) for name, value in cells.items()}
    head = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    return head if payload is None else f'{head[:-1]},"payload":{payload}}}'


def row_of(message: bytes) -> Row:
    """The row that an `M` holds; raises `Misfit` HW-O060 where its content is no row.

    Nested JSON is taken as it stands, so that a number or a text in the payload is what the service wrote.
    """
    try:
        cells = _cells(logical_message(message).content.decode())
        cells["id"] = str(UUID((cells.get("id") or b"").decode())).encode()
    except (ValueError, LookupError, RecursionError, StopIteration):
        raise Misfit(
            "the logical message holds no row",
            code="HW-O060",
            detail="its content is a JSON object with the names of the outbox's columns, and an id that is a UUID",
            hint="emit it again as docs/concepts/outbox.md has it",
        ) from None
    return tuple([cells.get(name) for name in COLUMNS])


def row_outside(message: bytes) -> Row:
    """Raises `Misfit` HW-O061: a message outside a transaction is there even where the service rolled back."""
    raise Misfit(
        "the logical message was written outside its transaction",
        code="HW-O061",
        detail="it stays where the transaction is rolled back, and would publish what never happened",
        hint="call pg_logical_emit_message with true as its first argument",
    )


def unread(message: bytes) -> Row:
    """In place of a row that cannot be read: its content as the payload, nothing else."""
    content = logical_message(message).content
    return tuple([content if name == "payload" else None for name in COLUMNS])


def _cells(text: str) -> dict[str, bytes | None]:
    """The values of a JSON object by name: text without its quotes, anything else as it is written, null as None."""
    cells: dict[str, bytes | None] = dict(_DEFAULTS)
    at, separator = _space(text, 0), "{"
    if text[at] != "{":
        _no_json()
    if text[_space(text, at + 1)] == "}":
        _no_json()  # an object without an id
    while text[at] == separator:
        separator = ","
        name, at = _JSON.raw_decode(text, _space(text, at + 1))
        at = _space(text, at)
        if type(name) is not str or name not in _KNOWN or text[at] != ":":
            _no_json()
        start = _space(text, at + 1)
        value, end = _JSON.raw_decode(text, start)
        written = value if type(value) is str else text[start:end]
        if type(value) is str and "\0" in value:
            _no_json()  # nor does PostgreSQL take it as text
        if value is not None or name not in _DEFAULTS:
            cells[name] = None if value is None else written.encode()
        at = _space(text, end)
    if text[at] != "}" or _space(text, at + 1) != len(text):
        _no_json()
    return cells


def _space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _no_json() -> None:
    raise ValueError
