"""A stage's task down both roads: the same logs, cut anyhow, with commits and crashes; what differs raises."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from headwater.errors import Misfit
from headwater.processing.blocks import Block
from headwater.processing.column_rekey import read_moved
from headwater.processing.engine import Commit, Task, new_task
from headwater.processing.operators.rekey import MANY, read
from headwater.processing.packing import RowForm
from headwater.processing.state import MemoryStore
from headwater.processing.steps import Stage
from headwater.processing.work import ExchangeMessage

Log = Sequence[tuple[bytes | None, Any]]
"""Keys with records; no key: a mark. Of a rekey topic: messages under any key, marks among them."""

Logs = Mapping[str, Log]
Schemas = Mapping[str, Any]


class Driver:
    """A task over a store, fed from the logs of its inputs in pieces; `columnar` hands each over as a block first."""

    def __init__(self, stage: Stage, logs: Logs, schemas: Schemas, *, columnar: bool, partition: int = 0) -> None:
        self.stage, self.logs, self.schemas, self.columnar = stage, logs, schemas, columnar
        self.partition = partition
        self.store = MemoryStore()
        self.positions = dict.fromkeys(logs, 0)
        self.read = dict(self.positions)
        self.said: list[Any] = []
        self.messages: list[ExchangeMessage] = []
        self.folded = 0
        self.moved = {entry.topic for entry in stage.inputs if entry.kind == "exchange"}
        self.task = self.new_task()

    def new_task(self, *, recalls: bool = False) -> Task:
        task: Any = new_task(self.stage, partition=self.partition, store=self.store, recalls=recalls)
        if not self.columnar:
            task._asked_columns = True  # and found none: it takes messages of many rows one by one
        return task  # type: ignore[no-any-return]

    def take(self, topic: str, size: int) -> None:
        first = self.read[topic]
        piece = list(enumerate(self.logs[topic]))[first : first + size]
        self.read[topic] += len(piece)
        if topic in self.moved:
            for offset, (_, one) in piece:
                self.task.exchange(topic, offset, one.key, one.value, one.headers)
            return
        start = 0
        for end in [*(place for place, (_, (key, _)) in enumerate(piece) if key is None), len(piece)]:
            self._take(topic, piece[start:end])
            if end < len(piece):
                self.task.mark(topic, piece[end][1][1])
            start = end + 1

    def _take(self, topic: str, piece: Sequence[tuple[int, tuple[bytes | None, Any]]]) -> None:
        if self.columnar and piece:
            columns = pa.RecordBatch.from_pylist([record for _, (_, record) in piece], self.schemas[topic])
            keys = [key for _, (key, _) in piece]
            if self.task.block(topic, Block.of([offset for offset, _ in piece], keys, columns)):
                return
        for offset, (key, record) in piece:
            try:
                self.task.record(topic, offset, key or b"", record)
            except Misfit as error:
                self.task.refuse(topic, offset, error.code)

    def commit(self) -> None:
        if not self.task.advance():
            return
        commit = self.task.commit()
        if commit is None:
            return
        self.said.append((*told(commit), handed(self.stage, commit)))
        self.messages += commit.messages
        self.store.apply(commit.changes)
        self.task.committed()
        self.positions.update(commit.offsets)
        self.folded = self.task.counts.columnar

    def crash(self) -> None:
        """Lose what was not committed, and begin again from what was."""
        self.task = self.new_task()
        self.read, self.folded = dict(self.positions), 0


def told(commit: Commit) -> Any:
    """A commit as it can be compared; the order of changes within it is no part of what it says."""
    assert len(dict(commit.changes)) == len(commit.changes)
    return (
        [[(key, sorted(record.items()), at) for key, record, at, _ in said.each()] for said in commit.said],
        dict(commit.changes),
        commit.offsets,
        commit.through,
        commit.refused,
    )


def handed(stage: Stage, commit: Commit) -> Any:
    """What a commit hands over, in whichever messages: of each partition and tick the changes, in any order."""
    found: list[Any] = []
    for message in commit.messages:
        types, value = stage.output.logic.types, message.value
        if value is not None and value.startswith(MANY):
            _, rows = read_moved(types, value)
            found += [
                (message.partition, part.tick, *change, None) for part in rows.parts() for change in part.changes()
            ]
        else:
            one = read(RowForm(types), message.key, value, message.headers)
            found.append((message.partition, one.tick, message.key, one.before, one.after, one.through))
    return sorted(found, key=repr)


def compared(stage: Stage, logs: Logs, schemas: Schemas, seed: int) -> int:
    """How many records went as columns, with those that a crash undid; raises where the two roads differ."""
    chance = random.Random(seed)
    drivers = [Driver(stage, logs, schemas, columnar=columnar) for columnar in (True, False)]
    columnar = 0
    while any(drivers[0].read[topic] < len(log) for topic, log in logs.items()):
        topic, size = chance.choice(list(logs)), chance.randrange(1, 30)
        commits, crashes = chance.random() < 0.5, chance.random() < 0.1
        for driver in drivers:
            driver.take(topic, size)
            if commits:
                driver.commit()
            if crashes:
                columnar += driver.folded
                driver.crash()
        assert drivers[0].said == drivers[1].said
    for driver in drivers:
        driver.commit()
    assert drivers[0].said == drivers[1].said
    assert list(drivers[0].store.scan(b"", b"\xff")) == list(drivers[1].store.scan(b"", b"\xff"))
    counts = [driver.task.counts for driver in drivers]
    assert replace(counts[0], columnar=0) == counts[1]
    return columnar + drivers[0].folded
