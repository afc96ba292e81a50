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
from decimal import Context, Decimal
from typing import Any

from headwater.processing.field_types import FieldType

Row = tuple[Any, ...]
_EXACT = Context(prec=100)
AT_ONCE = 256  # bodies unpacked in one call: of more, the collector looks at all their lists again and again
_DECODE = json.JSONDecoder().decode
Form = tuple[Callable[[Any], Any], Callable[[Any], Any]]
_FORMS: dict[str, Form] = {
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


def unpack_many(bodies: Sequence[bytes]) -> list[Any]:
    """The values of many bodies, in one call of the decoder, which costs a third of one call each.

    >>> unpack_many([b'[1,"a"]', b"[2,null]"])
    [[1, 'a'], [2, None]]
    """
    values: list[Any] = _DECODE("[" + b",".join(bodies).decode() + "]")
    return values


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
        self.types = tuple(types)
        forms = [(index, _form(type_)) for index, type_ in enumerate(types)]
        self._special = tuple((index, *form) for index, form in forms if form is not None)

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

    def read_many(self, bodies: Sequence[bytes]) -> list[Row | None]:
        """The rows of bodies, none of them without a value, unpacked in one step.

        >>> RowForm([FieldType("string"), FieldType("integer")]).read_many([b'["a",1]', b'["b",null]'])
        [('a', 1), ('b', None)]
        """
        read = self.read if self._special else tuple
        rows: list[Row | None] = []
        for start in range(0, len(bodies), AT_ONCE):
            rows += map(read, unpack_many(bodies[start : start + AT_ONCE]))
        return rows


def one_form(types: Sequence[FieldType]) -> Callable[[Row], Row]:
    """A function from a row to the one that stands for all equal ones: what is equal may be written in several ways.

    >>> [one_form([FieldType("double")])((value,)) for value in (0, -0.0, 1)]
    [(0.0,), (0.0,), (1.0,)]
    """
    made = [(index, alike) for index, type_ in enumerate(types) if (alike := _alike(type_)) is not None]
    if not made:
        return lambda row: row

    def form(row: Row) -> Row:
        values = list(row)
        for index, alike in made:
            if values[index] is not None:
                values[index] = alike(values[index])
        return tuple(values)

    return form


def _alike(type_: FieldType) -> Callable[[Any], Any] | None:
    """From a value to the one that stands for its equals; None where these are all written alike."""
    if type_.kind == "double":
        return lambda value: value + 0.0  # of zeros the one above, of whole numbers the double
    if type_.kind == "decimal":
        places = Decimal((0, (1,), -type_.scale))
        return lambda value: value.quantize(places, context=_EXACT)
    if type_.items is not None:
        items = one_form([type_.items])
        return None if _alike(type_.items) is None else lambda values: [items((value,))[0] for value in values]
    if any(_alike(member) is not None for _, member in type_.members):
        names = [name for name, _ in type_.members]
        members = one_form([member for _, member in type_.members])
        return lambda value: dict(zip(names, members(tuple([value[name] for name in names])), strict=True))
    return None


def _form(type_: FieldType) -> Form | None:
    """How a value stands in JSON and comes back; None where it stands as it is."""
    if type_.items is not None:
        return _array_form(_form(type_.items))
    return _record_form(type_.members) if type_.members else _FORMS.get(type_.kind)


def _array_form(items: Form | None) -> Form | None:
    if items is None:
        return None
    write, read = items

    def through(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda values: [None if value is None else change(value) for value in values]

    return through(write), through(read)


def _record_form(members: Sequence[tuple[str, FieldType]]) -> Form:
    # A record is a row of its members: their names are part of the plan, and not said again with each value.
    names = [name for name, _ in members]
    row = RowForm([type_ for _, type_ in members])
    return (
        lambda value: row.write(tuple([value[name] for name in names])),
        lambda values: dict(zip(names, row.read(values) or (), strict=True)),
    )


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
