"""A whole plan in this process whose inputs come as blocks: always, now and then, or never."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pyarrow as pa

from headwater.processing import column_intake
from headwater.processing.blocks import Block
from headwater.processing.column_state import arrow_type, keepable
from headwater.processing.engine import Commit
from headwater.processing.graph import Port
from headwater.processing.operators.rekey import MANY
from headwater.processing.runners.memory import MemoryRunner, _Running
from headwater.testing.conformance.runner_cases import Case, Histories, Run

HIDDEN = {"recorded_at": pa.int64(), "kind": pa.string(), "revision": pa.int64()}


@dataclass(slots=True)
class ColumnRunner(MemoryRunner):
    """`blocks` is asked before each run of records whether they come as a block; `columnar` counts those."""

    blocks: Callable[[], bool] = field(default=lambda: True)
    schemas: dict[str, Any] = field(default_factory=dict)
    columnar: dict[str, int] = field(default_factory=dict)
    many: int = 0  # messages of many rows
    moved: int = 0  # rows handed over

    def _read(self, running: _Running, topic: str, offsets: range) -> None:
        entries = self.topics[topic][running.partition]
        bare = [offset for offset in offsets if entries[offset].record is None]
        for before, mark in pairwise([offsets.start - 1, *bare, offsets.stop]):
            self._together(running, topic, range(before + 1, mark))
            if mark < offsets.stop:
                self._take(running, topic, mark, entries[mark])

    def _together(self, running: _Running, topic: str, offsets: range) -> None:
        """Records that follow each other."""
        some = [self.topics[topic][running.partition][offset] for offset in offsets]
        if some and topic in self.schemas and self.blocks():
            batch = pa.RecordBatch.from_pylist([dict(entry.record or {}) for entry in some], self.schemas[topic])
            if running.task.block(topic, Block.of(list(offsets), [entry.key for entry in some], batch)):
                return
        for offset, entry in zip(offsets, some, strict=True):
            self._take(running, topic, offset, entry)

    def _publish(self, running: _Running, commit: Commit) -> None:
        super(ColumnRunner, self)._publish(running, commit)
        self.columnar[running.stage.name] = self.columnar.get(running.stage.name, 0) + running.task.counts.columnar
        self.moved += sum(message.rows for message in commit.messages if message.value)
        self.many += sum((message.value or b"").startswith(MANY) for message in commit.messages)

    def states(self) -> list[list[tuple[bytes, bytes]]]:
        """What each task keeps."""
        return [list(running.store.scan(b"", b"\xff")) for running in self._tasks]


def columned(case: Case, histories: Histories, run: Run, blocks: float) -> ColumnRunner:
    """A run of a case of which such a share comes as blocks."""
    chance = random.Random(run.seed)
    runner = ColumnRunner(
        run.plan(case),
        batch=run.batch,
        choose=chance.randrange,
        blocks=lambda: chance.random() < blocks,
        schemas={port.topic: _schema(port) for port in case.inputs},
    )
    run.fill(runner, case, histories, chance)
    return runner


def kept_alike(case: Case, histories: Histories, run: Run, blocks: float, least: int = 1) -> ColumnRunner:
    """A run of a case of which such a share comes as blocks; what it keeps in the end is what the row road keeps."""
    with every_batch(least):
        by_both = columned(case, histories, run, blocks)
    by_rows = columned(case, histories, run, 0.0)
    assert not by_rows.many
    assert by_both.states() == by_rows.states()
    assert by_both.moved == by_rows.moved
    return by_both


@contextmanager
def every_batch(least: int = 1) -> Iterator[None]:
    """Batches of so many rows go as columns."""
    before, column_intake.LEAST_ROWS = column_intake.LEAST_ROWS, least
    try:
        yield
    finally:
        column_intake.LEAST_ROWS = before


def _schema(port: Port) -> Any:
    fields = {name: type_ for name, type_ in port.fields.items() if name not in HIDDEN}
    assert keepable(list(fields.values()))
    return pa.schema([*((name, arrow_type(type_)) for name, type_ in fields.items()), *HIDDEN.items()])
