"""The lake's catalogue, and its tables as `apply` makes them."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.transforms import DayTransform

from headwater.mesh.products import ResolvedProduct
from headwater.naming import lake_table
from headwater.ports.access import Access, DenyClassified
from headwater.ports.lake.reading_iceberg import IcebergSource
from headwater.ports.lake.refusals import catalogue_setting
from headwater.ports.lake.rows import LakeRows
from headwater.ports.lake.schema_iceberg import evolve, iceberg_schema, renames
from headwater.ports.lake.table import RECORDED
from headwater.ports.lake.table_iceberg import PROPERTIES, IcebergTable, answering

_NAME = "headwater"
_FIRST_PARTITION_FIELD = 1_000  # as the specification has it


def open_catalog(settings: Mapping[str, str]) -> Catalog:
    """A catalogue by PyIceberg's settings: `type` (sql, rest), `uri`, `warehouse`. Raises `CallerFault` HW-I016."""
    try:
        return load_catalog(_NAME, **{"type": "sql", **settings})
    except Exception as error:
        raise catalogue_setting(f"PyIceberg says {type(error).__name__}") from error


class IcebergLake:
    """The tables of a mesh in one catalogue."""

    def __init__(self, catalog: Catalog, access: Access | None = None) -> None:
        self._catalog, self._access = catalog, access or DenyClassified()

    def table(self, product: ResolvedProduct) -> IcebergTable:
        """The table of a product's output, whether it is there or not."""
        return IcebergTable(self._catalog, lake_table(product.name, product.major), product.output.output.key)

    def source(self, product: ResolvedProduct) -> IcebergSource:
        """The table, for its readers."""
        return IcebergSource(self.table(product), product, self._access)

    @answering
    def missing(self, product: ResolvedProduct) -> tuple[str, ...]:
        """What `ensure` would do, as sentences; nothing is written. Raises `NotSupported` HW-I008."""
        rows = LakeRows(product, self._access)
        name = lake_table(product.name, product.major)
        try:
            table = self._catalog.load_table(name)
        except NoSuchTableError:
            return (f"table {name} with {len(rows.schema)} columns, by day of {RECORDED}",)
        update = table.transaction().update_schema()  # looked at, and never committed
        evolve(update, name, table.schema(), rows.schema, dict(renames(rows.source.type)))
        same = update._apply().as_struct() == table.schema().as_struct()
        return () if same else (f"columns of {name} as the contract has them",)

    @answering
    def ensure(self, product: ResolvedProduct) -> None:
        """Make the table, or let its columns follow the contract. Safe to repeat."""
        rows = LakeRows(product, self._access)
        name = lake_table(product.name, product.major)
        self._catalog.create_namespace_if_not_exists(name.partition(".")[0])
        try:
            table = self._catalog.load_table(name)
        except NoSuchTableError:
            self._create(name, rows.schema)
            return
        with table.transaction() as transaction, transaction.update_schema() as update:
            evolve(update, name, table.schema(), rows.schema, dict(renames(rows.source.type)))

    def _create(self, name: str, columns: pa.Schema) -> None:
        schema = iceberg_schema(columns)
        day = PartitionField(
            schema.find_field(RECORDED).field_id, _FIRST_PARTITION_FIELD, DayTransform(), "recorded_day"
        )
        self._catalog.create_table(name, schema, partition_spec=PartitionSpec(day), properties=PROPERTIES)
