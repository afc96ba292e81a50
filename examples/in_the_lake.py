"""The newest records of a product out of its Iceberg table, by PyIceberg and DuckDB, without Headwater."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import load_catalog

Record = dict[str, Any]


def newest(settings: Mapping[str, str], table: str, identity: Sequence[str]) -> list[Record]:
    """The last record of each identity that is not taken back; instants as microseconds."""
    catalog = load_catalog("headwater", **settings)
    database = catalog.load_table(table).scan().to_duckdb("rows")
    by = ", ".join(identity)
    found = database.execute(
        "SELECT * FROM (SELECT * FROM rows QUALIFY row_number() OVER "
        f"(PARTITION BY {by} ORDER BY headwater_offset DESC) = 1) WHERE kind <> 'retract'"
    ).to_arrow_table()
    return [dict(row) for row in _whole(found).to_pylist()]


def _whole(table: pa.Table) -> pa.Table:
    """The same with instants as whole numbers."""
    for at, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(at, field.name, table.column(at).cast(pa.int64()))
    return table
