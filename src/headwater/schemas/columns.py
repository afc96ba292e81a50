"""Many records of one schema at once: JSON payloads to Arrow columns, columns to Avro bodies.

A second road beside `payload.reader` and `RowCodec.encode`, about eight times as fast, for schemas of the shapes in
`fits`: each of them is held against the row road, byte for byte, by `tests/unit/schemas/test_columns.py`. It answers
for a row only where both roads must agree: what may be a misfit, or is only unusual, it hands back to the row road,
which alone says what is wrong with it. Arrow's JSON reader is as strict as ours: it knows no repeated names, no
unknown fields, no number in place of text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as arrow_json
import pyruhvro

from headwater.schemas.avro import Schema
from headwater.schemas.column_text import cut, dates, instants, uuids
from headwater.schemas.types import Array, AvroType, Enum, Field, Record, Union, logical_of
from headwater.schemas.unsure import Unsure
from headwater.schemas.wire_schema import wire_schema

Mask = Any  # an array of booleans: True where the row road must look
_PLAIN = {"boolean": pa.bool_(), "int": pa.int32(), "long": pa.int64(), "double": pa.float64(), "string": pa.string()}
_LOGICALS = {"timestamp-micros": "long", "timestamp-millis": "long", "date": "int", "uuid": "string"}
_INSTANTS = ("timestamp-micros", "timestamp-millis")
_BREAK, _OPENING, _CLOSING = b"\n{}"
_LOOKED_AT = 16  # payloads in which the form of instants is looked for


def fits(avro_type: AvroType, above: tuple[AvroType, ...] = ()) -> bool:
    """Whether records of this type can be read and written as columns.

    >>> from headwater.schemas.types import Primitive
    >>> fits(Array(Primitive("long"))), fits(Primitive("bytes"))
    (True, False)
    """
    if isinstance(avro_type, Record):
        if avro_type in above or not avro_type.fields:
            return False
        return all(fits(field.type, (*above, avro_type)) for field in avro_type.fields)
    if isinstance(avro_type, Array):
        return fits(avro_type.items, above)
    if isinstance(avro_type, Union):
        other = [branch for branch in avro_type.branches if branch.kind != "null"]
        return len(avro_type.branches) == 2 and len(other) == 1 and fits(other[0], above)
    if isinstance(avro_type, Enum):
        return True
    logical = logical_of(avro_type)
    if logical is not None:
        return _LOGICALS.get(logical.name) == avro_type.kind
    return avro_type.kind in _PLAIN


class PayloadColumns:
    """Reads JSON payloads of a schema that `fits`: one column per field, and which rows the row road must look at."""

    def __init__(self, schema: Schema) -> None:
        self._fields = schema.fields
        self._text_instants = False  # instants come as whole microseconds, or all as text
        self._options = self._parse_options()

    def read(self, payloads: Sequence[bytes]) -> tuple[dict[str, Any], Mask]:
        """Columns by field name; raises `Unsure` where a payload is no record of the schema."""
        lines = b"\n".join(payloads)
        if not lines.isascii():
            try:
                lines.decode()
            except UnicodeDecodeError:
                raise Unsure from None
        if not _apart(lines, payloads):
            raise Unsure
        try:
            table = self._parse(lines)
        except pa.ArrowInvalid:
            self._look(payloads[:_LOOKED_AT])
            try:
                table = self._parse(lines)
            except pa.ArrowInvalid:
                raise Unsure from None
        if table.num_rows != len(payloads):
            raise Unsure
        batch = table.combine_chunks().to_batches()[0]
        unsure = np.zeros(table.num_rows, bool)
        columns = {}
        for field in self._fields:
            columns[field.name], doubtful = _field(field, batch.column(field.name))
            unsure |= doubtful
        return columns, unsure

    def _parse(self, lines: bytes) -> Any:
        # One block: what was read before says nothing about the types, they are given.
        reading = arrow_json.ReadOptions(use_threads=False, block_size=len(lines) + 1)
        return arrow_json.read_json(pa.BufferReader(lines), read_options=reading, parse_options=self._options)

    def _parse_options(self) -> Any:
        instants = pa.string() if self._text_instants else pa.int64()
        schema = pa.schema([(field.name, _json_type(field.type, instants)) for field in self._fields])
        return arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")

    def _look(self, payloads: Sequence[bytes]) -> None:
        """Whether this source writes instants as text or as numbers: the rows of a batch do all the same."""
        try:
            found = [_has_text_instant(self._fields, json.loads(payload)) for payload in payloads]
        except (ValueError, RecursionError):
            raise Unsure from None
        text = next((one for one in found if one is not None), None)
        if text is None or text == self._text_instants:
            raise Unsure
        self._text_instants = text
        self._options = self._parse_options()


class AvroColumns:
    """Writes columns as the Avro bodies of a schema that `fits`."""

    def __init__(self, schema: Schema) -> None:
        self._names = [field.name for field in schema.fields]
        self._text = json.dumps(wire_schema(schema.type))

    def write(self, columns: Mapping[str, Any], prefix: bytes = b"") -> list[bytes]:
        """One body per row behind a prefix; the columns are as `PayloadColumns` makes them. Raises `Unsure` where they
        do not fit."""
        batch = pa.record_batch([columns[name] for name in self._names], names=self._names)
        try:
            parts = pyruhvro.serialize_record_batch(batch, self._text, 1)
        except ValueError:
            raise Unsure from None
        bodies: list[bytes] = []
        for part in parts:
            bodies += cut(part, prefix)
        return bodies


def _apart(lines: bytes, payloads: Sequence[bytes]) -> bool:
    """Whether each line is one payload with its own braces, so that no two pieces make a whole."""
    text = np.frombuffer(lines, np.uint8)
    lengths = np.fromiter(map(len, payloads), np.int64, len(payloads))
    if not lengths.all() or np.count_nonzero(text == _BREAK) != len(payloads) - 1:
        return False
    breaks = np.cumsum(lengths + 1)[:-1] - 1
    return bool((text[breaks - 1] == _CLOSING).all() and (text[breaks + 1] == _OPENING).all())


def _json_type(avro_type: AvroType, instants: Any) -> Any:
    """The type that Arrow's reader is told to expect."""
    if isinstance(avro_type, Record):
        return pa.struct([(field.name, _json_type(field.type, instants)) for field in avro_type.fields])
    if isinstance(avro_type, Array):
        return pa.list_(_json_type(avro_type.items, instants))
    if isinstance(avro_type, Union):
        return _json_type(_other(avro_type), instants)
    logical = logical_of(avro_type)
    if isinstance(avro_type, Enum) or (logical is not None and logical.name in ("date", "uuid")):
        return pa.string()
    if logical is not None and logical.name in _INSTANTS:
        return instants
    return _PLAIN[avro_type.kind]


def _field(field: Field, column: Any) -> tuple[Any, Mask]:
    """A record's field. Null is sure where it says the same as nothing at all: Arrow does not tell them apart."""
    if not column.null_count:
        return _value(field.type, column)
    doubtful = _nulls(column)
    column, unsure = _value(field.type, column)
    if isinstance(field.type, Union) and field.default is None:
        return column, unsure & ~doubtful
    return column, unsure | doubtful


def _value(avro_type: AvroType, column: Any) -> tuple[Any, Mask]:
    """A column as Avro's writer takes it; what its nulls mean is the caller's to say."""
    if isinstance(avro_type, Union):
        return _value(_other(avro_type), column)
    if isinstance(avro_type, Record):
        return _record(avro_type, column)
    if isinstance(avro_type, Array):
        return _array(avro_type, column)
    if isinstance(avro_type, Enum):
        found = pc.index_in(column, pa.array(avro_type.symbols))
        return column, _nulls(found)
    logical = logical_of(avro_type)
    name = logical.name if logical else ""
    if name in _INSTANTS:
        return _instant(column, milliseconds=name == "timestamp-millis")
    if name == "date":
        return dates(column)
    if name == "uuid":
        return column, uuids(column)
    if avro_type.kind == "double":
        numbers = column.fill_null(1.0).to_numpy(zero_copy_only=False)
        return column, ~np.isfinite(numbers) | ((numbers == 0) & np.signbit(numbers))  # -0 is a whole number in JSON
    return column, np.zeros(len(column), bool)


def _instant(column: Any, *, milliseconds: bool) -> tuple[Any, Mask]:
    if column.type == pa.string():
        column, unsure = instants(column)
    else:
        unsure = np.zeros(len(column), bool)
    if not milliseconds:
        return column, unsure
    numbers = column.fill_null(0).to_numpy(zero_copy_only=False)
    whole = pa.array(numbers // 1_000, mask=_nulls(column) if column.null_count else None)
    return whole, unsure | (numbers % 1_000 != 0)


def _record(record: Record, column: Any) -> tuple[Any, Mask]:
    there = ~_nulls(column)
    unsure = np.zeros(len(column), bool)
    parts = []
    for field in record.fields:
        part, doubtful = _field(field, column.field(field.name))
        unsure |= doubtful & there
        parts.append(part)
    mask = None if there.all() else pa.array(~there)
    return pa.StructArray.from_arrays(parts, [field.name for field in record.fields], mask=mask), unsure


def _array(array: Array, column: Any) -> tuple[Any, Mask]:
    items, unsure = _value(array.items, column.values)
    if column.values.null_count and not isinstance(array.items, Union):
        raise Unsure
    nulls = _nulls(column.values)
    if (unsure & ~nulls).any():
        raise Unsure  # an item of some row
    mask = pa.array(_nulls(column)) if column.null_count else None
    return pa.ListArray.from_arrays(column.offsets, items, mask=mask), np.zeros(len(column), bool)


def _nulls(column: Any) -> Any:
    if not column.null_count:
        return np.zeros(len(column), bool)
    return pc.is_null(column).to_numpy(zero_copy_only=False)


def _other(union: Union) -> AvroType:
    return next(branch for branch in union.branches if branch.kind != "null")


def _has_text_instant(fields: Sequence[Field], value: Any) -> bool | None:
    """Whether the first instant in a record is text; None where there is none."""
    for field in fields:
        found = _text_instant(field.type, value.get(field.name) if isinstance(value, dict) else None)
        if found is not None:
            return found
    return None


def _text_instant(avro_type: AvroType, value: Any) -> bool | None:
    if isinstance(avro_type, Union):
        return None if value is None else _text_instant(_other(avro_type), value)
    if isinstance(avro_type, Record):
        return _has_text_instant(avro_type.fields, value)
    if isinstance(avro_type, Array):
        return _text_instant(avro_type.items, value[0]) if isinstance(value, list) and value else None
    logical = logical_of(avro_type)
    if logical is None or logical.name not in _INSTANTS or value is None:
        return None
    return isinstance(value, str)
