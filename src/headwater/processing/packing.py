"""Rows and small values as bytes, for state and rekey topics: JSON arrays, by the types of the flow.

JSON says the same on every machine and release, can be read by a person, and is packed and unpacked in C. What it has
no form for (decimals, bytes, dates) goes as text by the column's type, never by what a value looks like. The columns
and types of all that a stage keeps are part of its plan: where they change, the state is rebuilt, not guessed at.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from headwater.processing.field_types import FieldType

Row = tuple[Any, ...]
_DECODE = json.JSONDecoder().decode
_FORMS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "decimal": (str, Decimal),
    "bytes": (lambda value: base64.b64encode(value).decode(), base64.b64decode),
    "date": (date.isoformat, date.fromisoformat),
}


def _unknown(value: Any) -> Any:
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def _encoder() -> Callable[[Any], str]:
    """The encoder in C, made once: `JSONEncoder.encode` makes one for each value, which costs more than encoding it."""
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    text = json.encoder.encode_basestring
    if make is None:
        return json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
    encode = make(None, _unknown, text, None, ":", ",", False, False, True)
    return lambda value: "".join(encode(value, 0))


_ENCODE = _encoder()


def pack(value: Any) -> bytes:
    """A value that JSON has a form for: numbers, text, truth, null, lists of these.

    >>> pack([1, "a", None])
    b'[1,"a",null]'
    """
    return _ENCODE(value).encode()


def unpack(body: bytes) -> Any:
    """The value again; arrays become lists."""
    return _DECODE(body.decode())


def pack_integer(value: int) -> bytes:
    """A whole number; the same bytes as `pack`, sooner."""
    return b"%d" % value


class RowForm:
    """How rows of given types stand in JSON.

    >>> form = RowForm([FieldType("string"), FieldType("decimal", precision=9, scale=2)])
    >>> form.write(("a", Decimal("1.50")))
    ['a', '1.50']
    >>> form.read(['a', '1.50'])
    ('a', Decimal('1.50'))
    """

    def __init__(self, types: Sequence[FieldType]) -> None:
        self._special = tuple((index, *_FORMS[type_.kind]) for index, type_ in enumerate(types) if type_.kind in _FORMS)

    def write(self, row: Row | None) -> Any:
        """A row, or None, as a value that JSON has a form for."""
        if row is None or not self._special:
            return row
        values = list(row)
        for index, forward, _ in self._special:
            if values[index] is not None:
                values[index] = forward(values[index])
        return values

    def read(self, values: Any) -> Row | None:
        """The row again."""
        if values is None:
            return None
        for index, _, backward in self._special:
            if values[index] is not None:
                values[index] = backward(values[index])
        return tuple(values)


def ordered_integer(value: int) -> bytes:
    """A number of 64 bits as eight bytes whose order is the number's.

    >>> ordered_integer(-1) < ordered_integer(0) < ordered_integer(256)
    True
    """
    return (value + 0x8000000000000000).to_bytes(8, "big")


def sized(part: bytes) -> bytes:
    """A part of a key with its length before it, so that no two lists of parts make the same key.

    >>> sized(b"JFK")
    b'\\x00\\x03JFK'
    """
    return len(part).to_bytes(2, "big") + part


def after(prefix: bytes) -> bytes:
    """The end of the range of all keys that begin with a prefix.

    >>> after(b"a\\xff")
    b'b'
    """
    stripped = prefix.rstrip(b"\xff")
    assert stripped, "a prefix has a byte below 255"
    return stripped[:-1] + bytes([stripped[-1] + 1])
