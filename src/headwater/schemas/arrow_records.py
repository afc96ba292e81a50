"""Arrow tables as records: the way back from `schemas/arrow.py`, to what a codec would have decoded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa

from headwater.schemas.arrow import arrow_schema
from headwater.schemas.avro import Schema
from headwater.schemas.payload import branch_reader
from headwater.schemas.types import Array, AvroType, Map, Record, Union, logical_of

Convert = Callable[[Any], Any]


def records_of(schema: Schema, table: pa.Table) -> list[Mapping[str, Any]]:
    """The records of a table that has a schema's columns; what `arrow_table` was given, value by value.

    >>> from headwater.schemas.arrow import arrow_table
    >>> from headwater.schemas.avro import parse
    >>> schema = parse('''{"type": "record", "name": "R", "fields": [
    ...     {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}]}''')
    >>> records_of(schema, arrow_table(schema, [{"at": 5}]))
    [{'at': 5}]
    """
    columns = arrow_schema(schema)
    whole = table.select(columns.names).cast(pa.schema([_loose(field) for field in columns]))
    plain = whole.cast(pa.schema([pa.field(field.name, _whole(field.type)) for field in columns]))
    converters = {field.name: convert for field in schema.fields if (convert := _back(field.type, (schema.type,)))}
    rows: list[Mapping[str, Any]] = plain.to_pylist()
    if not converters:
        return rows
    return [{**row, **{name: convert(row[name]) for name, convert in converters.items()}} for row in rows]


def _loose(field: pa.Field) -> pa.Field:
    return field.with_nullable(True)


def _whole(kind: pa.DataType) -> pa.DataType:
    """The type with moments, dates and times as whole numbers, as a codec has them."""
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _whole(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(pa.field(kind.value_field.name, _whole(kind.value_type)))
    if pa.types.is_map(kind):
        return pa.map_(pa.string(), _whole(kind.item_type))
    if pa.types.is_timestamp(kind) or pa.types.is_time64(kind):
        return pa.int64()
    return pa.int32() if pa.types.is_date32(kind) or pa.types.is_time32(kind) else kind


def _back(avro_type: AvroType, above: tuple[AvroType, ...]) -> Convert | None:
    """How a value of Arrow becomes a codec's; None where it is one."""
    several = isinstance(avro_type, Union) and sum(branch.kind != "null" for branch in avro_type.branches) > 1
    if several or avro_type in above:
        read = branch_reader(avro_type)
        return lambda value: None if value is None else read(json.loads(value))
    if isinstance(avro_type, Union):
        only = next((branch for branch in avro_type.branches if branch.kind != "null"), avro_type.branches[0])
        return _optional(_back(only, above))
    if isinstance(avro_type, Array):
        of_item = _back(avro_type.items, above)
        return None if of_item is None else lambda value: [of_item(item) for item in value]
    if isinstance(avro_type, Map):
        of_value = _back(avro_type.values, above) or (lambda value: value)
        return lambda value: {key: of_value(item) for key, item in value}
    if isinstance(avro_type, Record):
        inside = (*above, avro_type)
        some = {field.name: convert for field in avro_type.fields if (convert := _back(field.type, inside))}
        return (lambda value: {**value, **{name: of(value[name]) for name, of in some.items()}}) if some else None
    logical = logical_of(avro_type)
    wide = logical is not None and logical.name == "decimal" and logical.precision > pa.decimal256(76).precision
    return Decimal if wide else None


def _optional(convert: Convert | None) -> Convert | None:
    return None if convert is None else lambda value: None if value is None else convert(value)
