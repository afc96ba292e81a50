"""Iceberg tables in any catalogue, as the suite of tables asks them: their files are read by DuckDB alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import duckdb

from headwater.ports.lake.catalog_iceberg import IcebergLake, open_catalog
from headwater.ports.lake.table_iceberg import IcebergTable
from headwater.testing.conformance.lake_table import PRODUCT

Settings = Mapping[str, str]


class IcebergLakes:
    """A table of the suite's product in a catalogue, its files in a folder."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder, self._open = settings, folder, ExitStack()
        self.lake().ensure(PRODUCT)
        assert self.lake().missing(PRODUCT) == ()

    def lake(self) -> IcebergLake:
        """As one more process would have it."""
        catalog = open_catalog(self._settings)
        self._open.callback(catalog.close)
        return IcebergLake(catalog)

    def close(self) -> None:
        self._open.close()

    def table(self) -> IcebergTable:
        return self.lake().table(PRODUCT)

    def offsets(self) -> Sequence[int]:
        files = [task.file.file_path.removeprefix("file://") for task in self.table().load().scan().plan_files()]
        found = duckdb.sql("SELECT headwater_offset FROM read_parquet(?)", params=[files]).fetchall() if files else []
        return [offset for (offset,) in found]

    def tend(self) -> None:
        with self.table().load().transaction() as transaction, transaction.update_snapshot().fast_append():
            pass

    def stored(self) -> int:
        return len(list(self._folder.rglob("*.parquet")))
