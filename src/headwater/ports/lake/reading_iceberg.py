"""Reading a table of the lake by PyIceberg: files that cannot hold what is wanted are passed over.

Tables of version 2 know no defaults, so what a row has that was written before a column was there comes from the
contract: the default of the field, as a reader of the topic would take it.
"""

from __future__ import annotations

from typing import Any

from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, EqualTo, GreaterThan, IsNull, LessThanOrEqual, Or
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import IcebergType, ListType, MapType, NestedField, PrimitiveType, StructType

from headwater.mesh.products import ResolvedProduct
from headwater.ports.access import Access, DenyClassified
from headwater.ports.lake.progress import Seen
from headwater.ports.lake.reading import Column, Rows, Scan, Wanted
from headwater.ports.lake.rows import LakeRows
from headwater.ports.lake.table import PLACE, RECORDED
from headwater.ports.lake.table_iceberg import IcebergTable, ancestors, answering, properties_of
from headwater.schemas.arrow import arrow_schema
from headwater.schemas.defaults import default_value
from headwater.schemas.types import Array, AvroType, Field, Map, Record, Union
from headwater.timeline.instant import Instant

_LOCAL = "file://"
_SQL_TYPES = {
    "boolean": "BOOLEAN", "int": "INTEGER", "long": "BIGINT", "float": "FLOAT", "double": "DOUBLE",
    "string": "VARCHAR", "binary": "BLOB", "date": "DATE", "time": "TIME", "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
}  # fmt: skip


class IcebergSource:
    """A product's table, for its readers."""

    def __init__(self, table: IcebergTable, product: ResolvedProduct, access: Access | None = None) -> None:
        self._table = table
        self._made = LakeRows(product, access or DenyClassified())

    @answering
    def rows(self, wanted: Wanted) -> Rows:
        """The rows that are wanted."""
        table = self._table.load()
        where = _filter(wanted)
        schema = Schema(*self._fields(table))
        tasks = table.scan(row_filter=where).plan_files()
        found = ArrowScan(table.metadata, table.io, schema, where).to_table(tasks)
        return Rows(found, _progress(table))

    @answering
    def scan(self, recorded_to: Instant | None) -> Scan | None:
        """The files, where each is on this machine and has the contract's columns in their own types."""
        table = self._table.load()
        fields = self._fields(table)
        own = [field.type for field in arrow_schema(self._made.source)] == [
            self._made.schema.field(field.name).type for field in self._made.source.fields
        ]
        flat = all(isinstance(field.field_type, PrimitiveType) for field in fields)
        if not own or not (flat or len(table.schemas()) == 1):
            return None
        where = _filter(Wanted(recorded_to))
        paths = [task.file.file_path for task in table.scan(row_filter=where).plan_files()]
        if not all(path.startswith(_LOCAL) for path in paths):
            return None
        columns = [
            Column(field.field_id, field.name, _sql(field.field_type), field.initial_default) for field in fields
        ]
        return Scan(tuple(path.removeprefix(_LOCAL) for path in paths), tuple(columns), _progress(table))

    def with_defaults(self, table: Table) -> list[NestedField]:
        """All columns of the table, with the defaults of those that the contract has."""
        known = {field.name: field for field in self._made.source.fields}
        return [_with_default(one, known[one.name]) if one.name in known else one for one in table.schema().fields]

    def _fields(self, table: Table) -> list[NestedField]:
        schema, names = table.schema(), self._made.source.fields
        of_contract = [_with_default(schema.find_field(field.name), field) for field in names]
        return [*of_contract, *(schema.find_field(name) for name in PLACE)]


def _progress(table: Table) -> Any:
    return Seen.walk("", (properties_of(one) for one in ancestors(table))).progress


def _filter(wanted: Wanted) -> BooleanExpression:
    where: BooleanExpression = AlwaysTrue()
    if wanted.recorded_to is not None:
        where = And(where, LessThanOrEqual(RECORDED, int(wanted.recorded_to)))
    for name, value in wanted.key.items():
        where = And(where, EqualTo(name, value))
    if wanted.valid_at is not None:
        at = int(wanted.valid_at)
        where = And(where, LessThanOrEqual("valid_from", at), Or(IsNull("valid_to"), GreaterThan("valid_to", at)))
    return where


def _with_default(column: NestedField, field: Field) -> NestedField:
    changed: dict[str, Any] = {"field_type": _inside(column.field_type, field.type)}
    if field.optional and field.default is not None:
        changed["initial_default"] = default_value(field.type, field.default)
    return column.model_copy(update=changed)


def _inside(kind: IcebergType, avro_type: AvroType) -> IcebergType:
    """A type whose nested fields have the defaults of the contract."""
    if isinstance(avro_type, Union):
        only = [branch for branch in avro_type.branches if branch.kind != "null"]
        return _inside(kind, only[0]) if len(only) == 1 else kind
    if isinstance(kind, StructType) and isinstance(avro_type, Record):
        named = {field.name: field for field in avro_type.fields}
        return StructType(*[_with_default(one, named[one.name]) if one.name in named else one for one in kind.fields])
    if isinstance(kind, ListType) and isinstance(avro_type, Array):
        item = kind.element_field
        return ListType(item.field_id, _inside(item.field_type, avro_type.items), item.required)
    if isinstance(kind, MapType) and isinstance(avro_type, Map):
        value = kind.value_field
        inside = _inside(value.field_type, avro_type.values)
        return MapType(kind.key_id, kind.key_type, value.field_id, inside, value.required)
    return kind


def _sql(kind: IcebergType) -> str:
    """A type in DuckDB's SQL."""
    if isinstance(kind, StructType):
        return f"STRUCT({', '.join(f'{_quoted(field.name)} {_sql(field.field_type)}' for field in kind.fields)})"
    if isinstance(kind, ListType):
        return f"{_sql(kind.element_type)}[]"
    if isinstance(kind, MapType):
        return f"MAP(VARCHAR, {_sql(kind.value_type)})"
    text = str(kind)
    if text.startswith("decimal"):
        return text.upper()
    return "BLOB" if text.startswith("fixed") else _SQL_TYPES[text]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
