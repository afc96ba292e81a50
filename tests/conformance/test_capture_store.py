"""The suite of captured tables over the table in memory."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from headwater.outbox.capture_memory import MemoryTable
from headwater.testing.conformance.capture_store import CapturedStore, CaptureStoreSuite
from headwater.timeline.clock import ManualClock


class MemoryWriter:
    """A `TableWriter` in memory."""

    def __init__(self) -> None:
        self._table = MemoryTable(
            ManualClock(0), columns={"code": 25, "number": 23, "state": 25}, key=["code", "number"]
        )
        self._table.admin().create_publication()
        self._table.admin().create_slot()

    @property
    def store(self) -> CapturedStore:
        return self._table

    def put(self, rows: Sequence[tuple[str, int, str]]) -> None:
        self._table.write([("insert", {"code": c, "number": str(n), "state": s}) for c, n, s in rows])

    def change(self, code: str, number: int, state: str) -> None:
        self._table.write([("update", {"code": code, "number": str(number), "state": state})])


class TestMemoryTable(CaptureStoreSuite):
    @pytest.fixture
    def table(self) -> MemoryWriter:
        return MemoryWriter()
