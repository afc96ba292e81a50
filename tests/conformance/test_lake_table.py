"""The suite of tables over the one in memory, and over Iceberg tables in SQLite's catalogue and a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from tests.conformance.iceberg_lakes import IcebergLakes

from headwater.ports.access import DenyClassified
from headwater.ports.lake.rows import LakeRows
from headwater.ports.lake.table import LakeTable
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


class TestMemoryLakeTable(LakeTableSuite):
    @pytest.fixture
    def lakes(self) -> Lakes:
        return InMemory()


class TestIcebergTable(LakeTableSuite):
    @pytest.fixture
    def lakes(self, tmp_path: Path) -> Iterator[Lakes]:
        settings = {"uri": f"sqlite:///{tmp_path}/c.db", "warehouse": f"file://{tmp_path}"}
        with closing(IcebergLakes(settings, tmp_path)) as lakes:
            yield lakes
