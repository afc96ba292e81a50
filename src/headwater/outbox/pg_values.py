"""PostgreSQL's text of a value to Python's value, by the type that the stream names; pure.

Each relation gets its converters once. A type that is not known here (an enum, a domain, a range, one's own) is its
text: a mapping sees it as PostgreSQL prints it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

FromText = Callable[[bytes], Any]
WHOLE = frozenset((20, 21, 23, 26))  # int8, int2, int4, oid
BPCHAR = 1042  # char(n): padded with blanks that mean nothing


def converter(type_oid: int) -> FromText:
    """The function for a type.

    >>> converter(1700)(b"12.50"), converter(16)(b"t"), converter(1007)(b"{1,NULL,3}")
    (Decimal('12.50'), True, [1, None, 3])
    >>> converter(1184)(b"2026-01-01 12:00:00.5+01")
    datetime.datetime(2026, 1, 1, 11, 0, 0, 500000, tzinfo=datetime.timezone.utc)
    """
    element = _ARRAYS.get(type_oid)
    if element is not None:
        return _array(_SCALARS.get(element, _text))
    return _SCALARS.get(type_oid, _text)


def _text(value: bytes) -> str:
    return value.decode()


def _bool(value: bytes) -> bool:
    return value == b"t"


def _bytea(value: bytes) -> bytes:
    return bytes.fromhex(value[2:].decode())


def _date(value: bytes) -> date | str:
    text = value.decode()
    try:
        return date.fromisoformat(text)
    except ValueError:  # infinity, before Christ, beyond the year 9999: Python has no date for it
        return text


def _time(value: bytes) -> time | str:
    text = value.decode()
    try:
        return time.fromisoformat(text)
    except ValueError:  # 24:00:00
        return text


def _timestamp(value: bytes) -> datetime | str:
    text = value.decode()
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def _timestamptz(value: bytes) -> datetime | str:
    moment = _timestamp(value)
    return moment.astimezone(UTC) if isinstance(moment, datetime) else moment


def _json(value: bytes) -> Any:
    return json.loads(value, parse_float=Decimal)


def _array(element: FromText) -> FromText:
    def read(value: bytes) -> Any:
        text = value.decode()
        # Arrays whose first index is not 1 say so: `[0:2]={1,2,3}`.
        start = text.index("=") + 1 if text.startswith("[") else 0
        items, end = _items(text, start, element)
        if end != len(text):
            raise ValueError("not an array")
        return items

    return read


def _items(text: str, start: int, element: FromText) -> tuple[list[Any], int]:
    """The items of the braces that open at `start`, and where they end."""
    items: list[Any] = []
    at = start + 1
    while text[at] != "}":
        if text[at] == ",":
            at += 1
        if text[at] == "{":
            inner, at = _items(text, at, element)
            items.append(inner)
        elif text[at] == '"':
            item, at = _quoted(text, at + 1)
            items.append(element(item.encode()))
        else:
            end = at
            while text[end] not in ",}":
                end += 1
            bare, at = text[at:end], end
            items.append(None if bare == "NULL" else element(bare.encode()))
    return items, at + 1


def _quoted(text: str, at: int) -> tuple[str, int]:
    parts = []
    while text[at] != '"':
        if text[at] == "\\":
            at += 1
        parts.append(text[at])
        at += 1
    return "".join(parts), at + 1


# Object identifiers are part of PostgreSQL's catalogue (`pg_type.dat`) and never change.
_SCALARS: Mapping[int, FromText] = {
    16: _bool,
    17: _bytea,
    20: int,
    21: int,
    23: int,
    26: int,
    114: _json,
    700: float,
    701: float,
    1082: _date,
    1083: _time,
    1114: _timestamp,
    1184: _timestamptz,
    1700: lambda value: Decimal(value.decode()),
    2950: lambda value: UUID(value.decode()),
    3802: _json,
}
_ARRAYS: Mapping[int, int] = {
    1000: 16,
    1001: 17,
    1005: 21,
    1007: 23,
    1016: 20,
    1009: 25,
    1014: BPCHAR,
    1015: 1043,
    199: 114,
    1021: 700,
    1022: 701,
    1028: 26,
    1115: 1114,
    1182: 1082,
    1183: 1083,
    1185: 1184,
    1231: 1700,
    2951: 2950,
    3807: 3802,
}
