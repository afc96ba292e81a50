"""Columns of the lake as an Iceberg schema, and how a table's schema follows a contract's without being written anew.

Fields keep their ids for ever: a field that is renamed by an alias is the same column, one that is removed stays and is
null from then on, one that is added is null in what was written before (tables of version 2 know no defaults).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.table.update.schema import UpdateSchema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    PrimitiveType,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
)

from headwater.ports.lake.refusals import rewriting
from headwater.schemas.types import Array, AvroType, Map, Record, Union

Path = tuple[str, ...]
_PLAIN: tuple[tuple[Callable[[pa.DataType], bool], type[PrimitiveType]], ...] = (
    (pa.types.is_boolean, BooleanType),
    (pa.types.is_int32, IntegerType),
    (pa.types.is_int64, LongType),
    (pa.types.is_float32, FloatType),
    (pa.types.is_float64, DoubleType),
    (pa.types.is_string, StringType),
    (pa.types.is_date32, DateType),
    (pa.types.is_time, TimeType),
)


def iceberg_schema(schema: pa.Schema) -> Schema:
    """A new table's schema, with ids from 1 on.

    >>> print(iceberg_schema(pa.schema([pa.field("x", pa.list_(pa.field("element", pa.int64(), False)), False)])))
    table {
      1: x: required list<long>
    }
    """
    ids = count(1)
    return Schema(*[_field(field, ids) for field in schema])


def evolve(update: UpdateSchema, table: str, there: Schema, wanted: pa.Schema, renamed: Mapping[Path, Path]) -> None:
    """Make a table's columns hold what is wanted; raises `NotSupported` HW-I008 where it would be written anew.

    `renamed` has for fields that have aliases the paths that these were at.
    """
    _Evolving(update, table, renamed).struct((), there.as_struct(), list(wanted))


def renames(avro_type: AvroType, path: Path = ()) -> Iterator[tuple[Path, Path]]:
    """The paths of all fields with aliases, each with a path that it may have had."""
    match avro_type:
        case Record():
            for field in avro_type.fields:
                yield from (((*path, field.name), (*path, alias)) for alias in field.aliases)
                if field.name not in path:  # a record within itself is text
                    yield from renames(field.type, (*path, field.name))
        case Array():
            yield from renames(avro_type.items, (*path, "element"))
        case Map():
            yield from renames(avro_type.values, (*path, "value"))
        case Union():
            for branch in avro_type.branches:
                yield from renames(branch, path)


class _Evolving:
    def __init__(self, update: UpdateSchema, table: str, renamed: Mapping[Path, Path]) -> None:
        self._update, self._table, self._renamed = update, table, renamed

    def struct(self, path: Path, there: StructType, wanted: list[pa.Field]) -> None:
        known = {field.name: field for field in there.fields}
        for field in wanted:
            at = (*path, field.name)
            before = known.pop(field.name, None)
            alias = self._renamed.get(at, ("",))
            if before is None and alias[:-1] == path and alias[-1] in known:
                before = known.pop(alias[-1])
                self._update.rename_column(alias, field.name)
                at = alias  # changes of one update name columns as they were
            if before is None:
                self._update.add_column(at, _type(field.type, count(1)))
            else:
                self._column(at, before, field)
        for name, field in known.items():  # gone from the contract: null from now on
            if field.required:
                self._update.update_column((*path, name), required=False)

    def _column(self, path: Path, before: NestedField, field: pa.Field) -> None:
        if before.required and field.nullable:
            self._update.update_column(path, required=False)
        self._kind(path, before.field_type, field.type)

    def _kind(self, path: Path, before: IcebergType, after: pa.DataType) -> None:
        if isinstance(before, StructType) and pa.types.is_struct(after):
            self.struct(path, before, list(after))
        elif isinstance(before, ListType) and pa.types.is_list(after):
            self._column((*path, "element"), before.element_field, after.value_field)
        elif isinstance(before, MapType) and pa.types.is_map(after):
            self._column((*path, "value"), before.value_field, after.item_field)
        else:
            wanted = _type(after, count(1))
            if before == wanted or _holds(before, wanted):
                return
            if not _widens(before, wanted):
                raise rewriting(self._table, ".".join(path), str(before), str(wanted))
            self._update.update_column(path, field_type=wanted)


def _holds(before: IcebergType, wanted: IcebergType) -> bool:
    """Whether the wider type is there already: a contract may have gone back."""
    return _widens(wanted, before)


def _widens(before: IcebergType, after: IcebergType) -> bool:
    if isinstance(before, DecimalType) and isinstance(after, DecimalType):
        return bool(before.scale == after.scale and before.precision <= after.precision)
    return (type(before), type(after)) in ((IntegerType, LongType), (FloatType, DoubleType))


def _field(field: pa.Field, ids: Iterator[int]) -> NestedField:
    return NestedField(next(ids), field.name, _type(field.type, ids), required=not field.nullable)


def _type(kind: pa.DataType, ids: Iterator[int]) -> IcebergType:
    if pa.types.is_struct(kind):
        return StructType(*[_field(field, ids) for field in kind])
    if pa.types.is_list(kind):
        item = kind.value_field
        return ListType(next(ids), _type(item.type, ids), element_required=not item.nullable)
    if pa.types.is_map(kind):
        key, item = next(ids), kind.item_field
        return MapType(key, StringType(), next(ids), _type(item.type, ids), value_required=not item.nullable)
    if pa.types.is_timestamp(kind):
        return TimestampType() if kind.tz is None else TimestamptzType()
    if pa.types.is_decimal(kind):
        return DecimalType(kind.precision, kind.scale)
    if pa.types.is_fixed_size_binary(kind):
        return FixedType(kind.byte_width)
    if pa.types.is_binary(kind):
        return BinaryType()
    found = next((iceberg for same, iceberg in _PLAIN if same(kind)), None)
    assert found is not None, kind
    return found()
