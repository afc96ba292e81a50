"""Values of a product's topic as Arrow tables with the columns of its schema: many in one step, or one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from headwater.errors import Misfit
from headwater.ports.serde import RecordReader
from headwater.schemas.arrow import arrow_schema, arrow_table
from headwater.schemas.avro import Schema
from headwater.schemas.unsure import Unsure
from headwater.timeline.bitemporal import Record


def table_of(schema: Schema, batch: Any, instead: Mapping[str, Any] | None = None) -> pa.Table:
    """The columns of a batch that `RecordReader.columns` has read, with the types of `arrow_schema`.

    `instead` has columns that take the place of read ones. Raises `Unsure` where Arrow does not know how.
    """
    typed, columns = arrow_schema(schema), []
    for field in typed:
        column = (instead or {}).get(field.name)
        try:
            columns.append((batch.column(field.name) if column is None else column).cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise Unsure from None
    return pa.table(columns, schema=typed)


def tables(schema: Schema, records: RecordReader, values: Sequence[bytes | None]) -> tuple[pa.Table, int]:
    """The records of these values in their order, and how many could not be decoded."""
    try:
        return table_of(schema, records.columns(values)), 0
    except Unsure:
        rows: list[Record] = []
        for value in values:
            try:
                rows.append(records.read(value))
            except Misfit:
                continue
        return arrow_table(schema, rows), len(values) - len(rows)
