"""The suite of tables over the one in memory, and over Iceberg tables in SQLite's catalogue and a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from headwater.ports.access import DenyClassified
from headwater.ports.lake.catalog_iceberg import IcebergLake, open_catalog
from headwater.ports.lake.rows import LakeRows
from headwater.ports.lake.table import LakeTable
from headwater.ports.lake.table_iceberg import IcebergTable
from headwater.ports.lake.table_memory import MemoryLake
from headwater.testing.conformance.lake_table import PRODUCT, Lakes, LakeTableSuite


class InMemory:
    def __init__(self) -> None:
        self.lake = MemoryLake("orders.placed_v1", LakeRows(PRODUCT, DenyClassified()).schema.names)

    def table(self) -> LakeTable:
        return self.lake.table()

    def offsets(self) -> Sequence[int]:
        return [int(str(row["headwater_offset"])) for row in self.lake.rows()]

    def tend(self) -> None:
        self.lake.compact()

    def stored(self) -> int:
        return len(self.lake.files)


class InFolder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake().ensure(PRODUCT)

    def lake(self) -> IcebergLake:
        return IcebergLake(open_catalog({"uri": f"sqlite:///{self.folder}/c.db", "warehouse": f"file://{self.folder}"}))

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
        return len(list(self.folder.rglob("*.parquet")))


class TestMemoryLakeTable(LakeTableSuite):
    @pytest.fixture
    def lakes(self) -> Lakes:
        return InMemory()


class TestIcebergTable(LakeTableSuite):
    @pytest.fixture
    def lakes(self, tmp_path: Path) -> Lakes:
        return InFolder(tmp_path)
