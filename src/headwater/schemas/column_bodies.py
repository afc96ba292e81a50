"""Avro bodies of one schema to Arrow columns: a second road beside `RowCodec.decode`, about ten times as fast.

It answers for a batch only where both roads must agree, and else raises `Unsure`: the row road then looks at each
body, and alone says what is wrong. pyruhvro reads more than we do (bytes left over, numbers longer than they need be,
numbers beyond their range), so what was read is held against what its shortest form takes: a body that was read to
another end, or in a longer form, makes the batch longer than that. It knows no bytes, of which decimals are: they are
read and written as text, which it does not look at. `tests/unit/schemas/test_column_bodies.py` holds both together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.schemas.avro import Schema
from headwater.schemas.column_decimals import DIGITS, bytes_of, decimals_of, unscaled, within
from headwater.schemas.types import Array, AvroType, Enum, Logical, Record, Union, logical_of
from headwater.schemas.unsure import Unsure
from headwater.schemas.wire_schema import wire_schema

try:
    import pyruhvro
except ImportError:  # a platform that it is not built for: everything takes the row road
    pyruhvro = None

_PLAIN = ("boolean", "int", "long", "double", "string")
_ARROW = {"boolean": pa.bool_(), "int": pa.int64(), "long": pa.int64(), "string": pa.string()}
_UNWRITTEN = frozenset({"array", "record", "double"})
_BYTES_OF_DOUBLE = 8
_INT = 1 << 31
_ENUM_SYMBOLS = 64  # their indexes take one byte


def readable(avro_type: AvroType, above: tuple[AvroType, ...] = ()) -> bool:
    """Whether bodies of this type can be read as columns that say what the row road says.

    >>> from headwater.schemas.types import Primitive
    >>> readable(Array(Primitive("long"))), readable(Primitive("bytes"))
    (True, False)
    """
    if pyruhvro is None:
        return False
    if isinstance(avro_type, Record):
        if avro_type in above or not avro_type.fields:
            return False
        within = (*above, avro_type)
        return all(readable(field.type, within) or (not above and _short(field.type)) for field in avro_type.fields)
    if isinstance(avro_type, Array):
        # An array within an array, or of records that may be null, is rare enough to be left to the row road.
        return not above[1:] and "array" not in _kinds(avro_type.items) and readable(avro_type.items, above)
    if isinstance(avro_type, Union):
        other = [branch for branch in avro_type.branches if branch.kind != "null"]
        if len(avro_type.branches) != 2 or len(other) != 1:
            return False
        return readable(other[0], above) if isinstance(other[0], Array) else _scalar(other[0])
    return _scalar(avro_type)


class BodyColumns:
    """Reads bodies of a schema that is `readable`.

    >>> from headwater.schemas.avro import parse
    >>> columns = BodyColumns(parse('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}'))
    >>> columns.read([bytes([0x80, 0x01]), bytes([0x01])]).column("x").to_pylist()
    [64, -1]
    """

    def __init__(self, schema: Schema) -> None:
        self._type = schema.type
        self._text = json.dumps(wire_schema(schema.type, wide=True))
        self._decimals = _decimals(schema)

    def read(self, bodies: Sequence[bytes]) -> Any:
        """A record batch with a row for each body; integers of both sizes are 64 bits wide. Raises `Unsure`."""
        try:
            batch = pyruhvro.deserialize_array(bodies, self._text)
            for name in self._decimals:
                batch = _with(batch, name, batch.column(name).view(pa.binary()))
            batch.validate(full=True)  # text is not looked at while it is read
        except (ValueError, TypeError, pa.ArrowInvalid):
            raise Unsure from None
        if batch.num_rows != len(bodies):
            raise Unsure
        struct = batch.to_struct_array()
        if _bytes_of(self._type, struct) != sum(map(len, bodies)):
            raise Unsure
        for name, decimal in self._decimals.items():
            batch = _with(batch, name, decimals_of(batch.column(name), decimal.precision, decimal.scale))
        return batch


def writable(avro_type: AvroType) -> bool:
    """Whether records of this type can be written as columns: flat ones, of what `readable` knows but doubles.

    >>> from headwater.schemas.avro import parse
    >>> writable(parse('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "int"}]}').type)
    True
    """
    if pyruhvro is None or not isinstance(avro_type, Record) or not avro_type.fields:
        return False
    types = [field.type for field in avro_type.fields]
    if not all(readable(type_) or _decimal(type_) is not None for type_ in types):
        return False
    return all(_UNWRITTEN.isdisjoint(_kinds(type_)) for type_ in types)


class RecordColumns:
    """Writes columns as bodies of a schema that is `writable`: the same bytes as `RowCodec.encode`.

    >>> from headwater.schemas.avro import parse
    >>> columns = RecordColumns(parse('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "int"}]}'))
    >>> columns.write({"x": pa.array([64, -1])})
    [b'\\x80\\x01', b'\\x01']
    """

    def __init__(self, schema: Schema) -> None:
        self._fields = [(field.name, field.type) for field in schema.fields]
        self._text = json.dumps(wire_schema(schema.type, wide=True))
        self._decimals = _decimals(schema)

    def write(self, columns: Mapping[str, Any]) -> list[bytes]:
        """One body per row; integers of both sizes are 64 bits wide. Raises `Unsure` where a value does not fit."""
        names = [name for name, _ in self._fields]
        if len(columns) != len(names) or not all(_fits(type_, columns.get(name)) for name, type_ in self._fields):
            raise Unsure
        batch = pa.record_batch([columns[name] for name in names], names=names)
        for name in self._decimals:
            batch = _with(batch, name, bytes_of(columns[name]).view(pa.string()))
        try:
            made = pyruhvro.serialize_record_batch(batch, self._text, 1)
        except (ValueError, TypeError):
            raise Unsure from None
        return [body for part in made for body in part.to_pylist()]


def _fits(avro_type: AvroType, column: Any) -> bool:
    """Whether each value of a column is one of this type: pyruhvro would write some that are not."""
    if column is None:
        return False
    if isinstance(avro_type, Union):
        other = next(branch for branch in avro_type.branches if branch.kind != "null")
        return bool(column.null_count == len(column)) or _fits(other, column.drop_null())
    if column.null_count or isinstance(avro_type, Record):
        return False
    decimal = _decimal(avro_type)
    if decimal is not None:
        if not pa.types.is_decimal128(column.type) or column.type.scale != decimal.scale:
            return False
        return within(unscaled(column), decimal.precision)
    if isinstance(avro_type, Enum):
        known = column.type == pa.string() and pc.is_in(column, pa.array(avro_type.symbols))
        return bool(known is not False and pc.all(known).as_py() is not False)
    if avro_type.kind == "int" and len(column):
        ends = pc.min_max(column).as_py() if column.type == pa.int64() else {"min": -_INT - 1, "max": 0}
        return bool(ends["min"] >= -_INT and ends["max"] < _INT)
    return bool(column.type == _ARROW[avro_type.kind])


def _decimals(schema: Schema) -> dict[str, Logical]:
    found = {field.name: _decimal(field.type) for field in schema.fields}
    return {name: decimal for name, decimal in found.items() if decimal is not None}


def _decimal(avro_type: AvroType) -> Logical | None:
    """What is said of the decimals in a field, null or not, if it is one of such in bytes."""
    if isinstance(avro_type, Union):
        others = [branch for branch in avro_type.branches if branch.kind != "null"]
        return _decimal(others[0]) if len(avro_type.branches) == 2 and len(others) == 1 else None
    logical = logical_of(avro_type)
    return logical if logical is not None and logical.name == "decimal" and avro_type.kind == "bytes" else None


def _short(avro_type: AvroType) -> bool:
    decimal = _decimal(avro_type)
    return decimal is not None and decimal.precision <= DIGITS


def _with(batch: Any, name: str, column: Any) -> Any:
    return batch.set_column(batch.schema.get_field_index(name), name, column)


def _kinds(avro_type: AvroType) -> tuple[str, ...]:
    return tuple(branch.kind for branch in avro_type.branches) if isinstance(avro_type, Union) else (avro_type.kind,)


def _scalar(avro_type: AvroType) -> bool:
    if isinstance(avro_type, Enum):
        return len(avro_type.symbols) <= _ENUM_SYMBOLS
    logical = logical_of(avro_type)
    if logical is not None:
        return logical.name == "timestamp-micros" and avro_type.kind == "long"
    return avro_type.kind in _PLAIN


def _bytes_of(avro_type: AvroType, column: Any) -> int:
    """How many bytes the values take in their shortest form; raises `Unsure` for numbers out of range."""
    if isinstance(avro_type, Record):
        return sum(_bytes_of(field.type, column.field(field.name)) for field in avro_type.fields)
    if isinstance(avro_type, Union):
        other = next(branch for branch in avro_type.branches if branch.kind != "null")
        return len(column) + _bytes_of(other, column.drop_null() if column.null_count else column)
    if isinstance(avro_type, Array):
        counts = np.diff(np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1])
        # A block of all items behind their number, where there are any, and a zero.
        return len(column) + _bytes_of_numbers(counts[counts > 0] * 2) + _bytes_of(avro_type.items, column.flatten())
    if isinstance(avro_type, Enum) or avro_type.kind == "boolean":
        return len(column)
    if avro_type.kind == "double":
        return len(column) * _BYTES_OF_DOUBLE
    if avro_type.kind in ("string", "bytes"):
        if not len(column):
            return 0
        ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
        return int(ends[-1] - ends[0]) + _bytes_of_numbers(np.diff(ends) * 2)
    numbers = column.to_numpy(zero_copy_only=False)
    if not len(numbers):
        return 0
    least, most = int(numbers.min()), int(numbers.max())
    if avro_type.kind == "int" and not (least >= -_INT and most < _INT):
        raise Unsure
    if least < -(1 << 62) or most >= 1 << 62:
        raise Unsure  # ten bytes hold more than 64 bits, and what is above them would be lost in silence
    return _bytes_of_numbers((numbers << 1) ^ (numbers >> 63))


def _bytes_of_numbers(unsigned: Any) -> int:
    """Seven bits a byte, one byte at least."""
    found = len(unsigned)
    most = int(unsigned.max()) if found else 0
    bits = 7
    while most >> bits:
        found += int(np.count_nonzero(unsigned >> bits))
        bits += 7
    return found
