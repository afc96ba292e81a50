"""Records as Arrow tables: what an Avro schema is as columns, and the records of a codec in them.

Each type of Avro becomes the Arrow type that says the same, so that pandas, Polars, DuckDB and Parquet read it without
Headwater. What Arrow has no column for (a choice among several types, a record within itself, a decimal of more than
76 digits) is text: JSON, or the decimal's digits.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headwater.errors import CallerFault
from headwater.schemas.avro import Schema
from headwater.schemas.payload import branch_writer
from headwater.schemas.types import Array, AvroType, Enum, Fixed, Map, Record, Union, logical_of

Convert = Callable[[Any], Any]
_FIRST_MICROSECOND, _LAST_MICROSECOND = -62_135_596_800_000_000, 253_402_300_799_999_999  # of the years 1 and 9999
_DECIMAL_DIGITS, _WIDE_DIGITS = 38, 76  # of Arrow's two decimals
_PLAIN = {
    "null": pa.null(), "boolean": pa.bool_(), "int": pa.int32(), "long": pa.int64(), "float": pa.float32(),
    "double": pa.float64(), "bytes": pa.binary(), "string": pa.string(),
}  # fmt: skip
_LOGICALS = {
    "timestamp-millis": pa.timestamp("us", "UTC"),  # a codec gives instants as microseconds
    "timestamp-micros": pa.timestamp("us", "UTC"),
    "timestamp-nanos": pa.timestamp("ns", "UTC"),
    "local-timestamp-millis": pa.timestamp("ms"),
    "local-timestamp-micros": pa.timestamp("us"),
    "local-timestamp-nanos": pa.timestamp("ns"),
    "time-millis": pa.time32("ms"),
    "time-micros": pa.time64("us"),
    "date": pa.date32(),
    "uuid": pa.string(),
}


@lru_cache(maxsize=256)
def arrow_schema(schema: Schema) -> pa.Schema:
    """The columns of a schema's records: their names, types, and which may be null.

    >>> from headwater.schemas.avro import parse
    >>> print(arrow_schema(parse('''{"type": "record", "name": "R", "fields": [
    ...     {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ...     {"name": "gate", "type": ["null", "string"]}]}''')))
    at: timestamp[us, tz=UTC] not null
    gate: string
    """
    return pa.schema(_fields(schema.type, ()))


def arrow_table(schema: Schema, records: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The records, as a codec of the schema decodes them, as one table.

    >>> from headwater.schemas.avro import parse
    >>> schema = parse('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}')
    >>> arrow_table(schema, [{"x": 1}, {"x": 2}]).to_pydict()
    {'x': [1, 2]}
    """
    rows, columns = list(records), []
    for field, column in zip(schema.fields, arrow_schema(schema), strict=True):
        convert, name = _converter(field.type, (schema.type,)), field.name
        values = [row[name] for row in rows] if convert is None else [convert(row[name]) for row in rows]
        columns.append(pa.array(values, column.type))
    return pa.table(columns, schema=arrow_schema(schema)) if columns else pa.table({})


def _fields(record: AvroType, above: tuple[AvroType, ...]) -> list[pa.Field]:
    assert isinstance(record, Record)
    inside = (*above, record)
    return [pa.field(field.name, _type(field.type, inside), field.nullable) for field in record.fields]


def _type(avro_type: AvroType, above: tuple[AvroType, ...]) -> pa.DataType:
    if _as_text(avro_type, above):
        return pa.string()
    if isinstance(avro_type, Record):
        return pa.struct(_fields(avro_type, above))
    if isinstance(avro_type, Array):
        return pa.list_(_item("item", avro_type.items, above))
    if isinstance(avro_type, Map):
        return pa.map_(pa.string(), _item("value", avro_type.values, above))
    if isinstance(avro_type, Union):
        return _type(_only(avro_type), above)
    if isinstance(avro_type, Enum):
        return pa.string()
    logical = logical_of(avro_type)
    if logical is not None and logical.name == "decimal":
        digits = logical.precision
        kind = pa.decimal128 if digits <= _DECIMAL_DIGITS else pa.decimal256
        return kind(digits, logical.scale) if digits <= _WIDE_DIGITS else pa.string()
    if logical is not None and logical.name in _LOGICALS:
        return _LOGICALS[logical.name]
    return pa.binary(avro_type.size) if isinstance(avro_type, Fixed) else _PLAIN[avro_type.kind]


def _item(name: str, avro_type: AvroType, above: tuple[AvroType, ...]) -> pa.Field:
    return pa.field(name, _type(avro_type, above), _nullable(avro_type))


def _nullable(avro_type: AvroType) -> bool:
    branches = avro_type.branches if isinstance(avro_type, Union) else (avro_type,)
    return any(branch.kind == "null" for branch in branches)


def _as_text(avro_type: AvroType, above: tuple[AvroType, ...]) -> bool:
    """Whether values are JSON text: several types to choose among, or a record within itself."""
    if isinstance(avro_type, Union):
        return sum(branch.kind != "null" for branch in avro_type.branches) > 1
    return avro_type in above


def _only(union: Union) -> AvroType:
    """The one branch that is not null; null itself where there is no other."""
    return next((branch for branch in union.branches if branch.kind != "null"), union.branches[0])


def _converter(avro_type: AvroType, above: tuple[AvroType, ...]) -> Convert | None:
    """How a codec's value becomes one that Arrow takes; None where it is one."""
    if _as_text(avro_type, above):
        write = branch_writer(avro_type)
        return lambda value: None if value is None else json.dumps(write(value), ensure_ascii=False)
    if isinstance(avro_type, Union):
        return _optional(_converter(_only(avro_type), above))
    if isinstance(avro_type, Array):
        of_item = _converter(avro_type.items, above)
        return None if of_item is None else lambda value: [of_item(item) for item in value]
    if isinstance(avro_type, Map):
        of_value = _converter(avro_type.values, above) or (lambda value: value)
        return lambda value: [(key, of_value(item)) for key, item in value.items()]
    if isinstance(avro_type, Record):
        inside = (*above, avro_type)
        some = {field.name: _converter(field.type, inside) for field in avro_type.fields}
        changed = {name: convert for name, convert in some.items() if convert is not None}
        return (lambda value: {**value, **{name: of(value[name]) for name, of in changed.items()}}) if changed else None
    logical = logical_of(avro_type)
    wide = logical is not None and logical.name == "decimal" and logical.precision > _WIDE_DIGITS
    return str if wide else None


def _optional(convert: Convert | None) -> Convert | None:
    return None if convert is None else lambda value: None if value is None else convert(value)


def plain_rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table as JSON has them; raises `CallerFault` HW-R043 for a moment that has no text.

    >>> plain_rows(pa.table({"x": [1, None]}))
    [{'x': 1}, {'x': None}]
    """
    try:
        columns = [_plain_column(column) for column in table.columns]
    except (OverflowError, ValueError):  # as DuckDB's infinite dates are
        raise CallerFault(
            "the result has a moment that no calendar has",
            code="HW-R043",
            detail="dates and instants are written for the years from 1 to 9999",
            hint="leave such values out, as WHERE isfinite(...) does; or take the result as Arrow",
        ) from None
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain_column(column: pa.ChunkedArray) -> list[Any]:
    """As `plain` makes each value; instants of microseconds in one step, since a datetime for each costs the most."""
    if _as_it_is(column.type):
        return list(column.to_pylist())
    if column.type == pa.timestamp("us", "UTC"):
        ends = pc.min_max(column.cast(pa.int64())).as_py()
        if ends["min"] is not None and ends["min"] >= _FIRST_MICROSECOND and ends["max"] <= _LAST_MICROSECOND:
            return list(instants_as_text(column).to_pylist())
    return [plain(value) for value in column.to_pylist()]


def instants_as_text(column: Any) -> Any:
    """A column of microseconds in UTC, of the years from 1 to 9999, as ISO 8601. A cast: `strftime` takes thirty times
    as long.

    >>> instants_as_text(pa.array([0, None], pa.timestamp("us", "UTC"))).to_pylist()
    ['1970-01-01T00:00:00.000000Z', None]
    """
    text = column.cast(pa.int64()).cast(pa.timestamp("us")).cast(pa.string())
    return pc.binary_join_element_wise(pc.replace_substring(text, " ", "T"), "Z", "")


def _as_it_is(kind: pa.DataType) -> bool:
    """Whether values of this type are JSON's own."""
    if pa.types.is_list(kind):
        return _as_it_is(kind.value_type)
    if pa.types.is_struct(kind):
        return all(_as_it_is(field.type) for field in kind)
    types = pa.types
    return bool(types.is_string(kind) or types.is_integer(kind) or types.is_boolean(kind) or types.is_floating(kind))


def plain(value: Any) -> Any:
    """A value of a result as JSON has it: instants ISO 8601 in UTC, decimals text, bytes base64, as records are shown.

    >>> from datetime import UTC, datetime
    >>> plain({"at": datetime(2013, 1, 5, 14, tzinfo=UTC), "raw": b"ab", "many": [1.5]})
    {'at': '2013-01-05T14:00:00.000000Z', 'raw': 'YWI=', 'many': [1.5]}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "tzinfo") and hasattr(value, "year"):
        text: str = value.isoformat(timespec="microseconds")
        return text.replace("+00:00", "Z")
    return str(value)
