"""The suite of outbox stores over the one in memory; `tests/integration` runs it over PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from headwater.outbox.event import OutboxEvent
from headwater.outbox.pgoutput import LogicalMessage
from headwater.outbox.store import OutboxStore
from headwater.outbox.store_memory import MemoryOutbox
from headwater.testing.conformance.outbox_store import OutboxStoreSuite, OutboxWriter
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant


class MemoryWriter:
    def __init__(self) -> None:
        self.outbox = MemoryOutbox(ManualClock(Instant(1_000_000_000_000_000)))
        self.outbox.admin().create_publication()
        self.outbox.admin().create_slot()

    @property
    def store(self) -> OutboxStore:
        return self.outbox

    def commit(self, rows: Sequence[OutboxEvent]) -> None:
        self.outbox.commit(rows)

    def roll_back(self, rows: Sequence[OutboxEvent]) -> None:
        self.outbox.roll_back(rows)

    def emit(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self.outbox.commit([LogicalMessage(prefix, content) for prefix, content in messages])

    def add_column(self, name: str) -> None:
        self.outbox.columns = (name, *self.outbox.columns)


class TestMemoryOutbox(OutboxStoreSuite):
    @pytest.fixture
    def writer(self) -> OutboxWriter:
        return MemoryWriter()
