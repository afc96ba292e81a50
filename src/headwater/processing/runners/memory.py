"""A whole plan in this process: for tests, previews and simulation. What order tasks run in comes from a seed.

Topics are lists of records here, partitions as they would be on a broker, rekeys by the same bytes. A commit is one
step, as a transaction is: outputs, offsets and state together. A task may be dropped at any moment and built anew over
what was committed, which is what a crash leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.errors import Misfit
from headwater.ports.keys import key_bytes, partition_of
from headwater.ports.record import TRACEPARENT, Header
from headwater.processing.engine import Commit, Task, new_task
from headwater.processing.state import MemoryStore, StateStore
from headwater.processing.steps import Plan, Stage

Choose = Callable[[int], int]
"""From a number of choices to one of them, counted from 0; a seeded random generator's, or always 0."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record or a mark of a topic. A mark has `through`; messages of rekey topics have bytes; records have headers
    where they have a traceparent."""

    key: bytes
    record: Mapping[str, Any] | None = None
    value: bytes | None = None
    headers: tuple[Header, ...] = ()
    through: int | None = None


@dataclass(slots=True)
class _Running:
    """A task with what it has read. `at` is the next entry of each input, `committed` that of the last commit."""

    stage: Stage
    partition: int
    store: StateStore
    task: Task
    at: dict[str, int]
    committed: dict[str, int]
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that a stage could not take: its topic, and why."""

    topic: str
    record: Mapping[str, Any]
    error: Misfit


@dataclass(slots=True)
class MemoryRunner:
    """Runs a plan over topics in memory.

    `write` and `mark` put records and marks of inputs in; `run` works until nothing is left to do. `batch` is how many
    entries a task reads at a time, `choose` makes the schedule. `crash` is asked before each commit and after each:
    true drops the task.
    """

    plan: Plan
    batch: int = 500
    choose: Choose = field(default=lambda choices: 0)
    crash: Callable[[], bool] = field(default=lambda: False)
    topics: dict[str, list[list[Entry]]] = field(default_factory=dict)
    quarantined: list[Quarantined] = field(default_factory=list)
    _tasks: list[_Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        for stage in self.plan.stages:
            for stage_input in stage.inputs:
                self.topics.setdefault(stage_input.topic, [[] for _ in range(stage.partitions)])
            for output in stage.outputs:
                self.topics.setdefault(output.topic, [[] for _ in range(output.partitions)])
            for partition in range(stage.partitions):
                store = MemoryStore()
                topics = {stage_input.topic: 0 for stage_input in stage.inputs}
                task = new_task(stage, partition=partition, store=store)
                self._tasks.append(_Running(stage, partition, store, task, topics, dict(topics)))

    def write(
        self, topic: str, key: Sequence[object], record: Mapping[str, Any], headers: Sequence[Header] = ()
    ) -> None:
        """A record of an input; `key` are the values of its key fields."""
        partitions = self.topics[topic]
        text = key_bytes(key)
        partitions[partition_of(text, len(partitions))].append(Entry(text, record, headers=tuple(headers)))

    def mark(self, topic: str, through: int, *, partition: int | None = None) -> None:
        """A progress mark of an input, in one partition or in all."""
        partitions = self.topics[topic]
        for number in range(len(partitions)) if partition is None else (partition,):
            partitions[number].append(Entry(b"", through=through))

    def run(self) -> None:
        """Work until every task has read all there is and committed all that closed."""
        while True:
            able = [running for running in self._tasks if self._readable(running)]
            if not able:
                return
            self._step(able[self.choose(len(able))])

    def restart(self) -> None:
        """Drop every task and build it anew, as after the loss of the process."""
        for running in self._tasks:
            self._rebuild(running)

    def records(self, topic: str = "") -> list[Mapping[str, Any]]:
        """The records of a topic, the plan's first output if none is named: partition after partition."""
        partitions = self.topics[topic or self.plan.stages[-1].output.topic]
        return [entry.record for entries in partitions for entry in entries if entry.record is not None]

    def counts(self, stage: str) -> dict[str, int]:
        """The accounts of a stage's tasks, summed; a restart begins a new account."""
        sums: dict[str, int] = {}
        for running in self._tasks:
            if running.stage.name == stage:
                for name in ("read", "folded", "repeats", "superseded", "reread", "refused", "written", "corrections"):
                    sums[name] = sums.get(name, 0) + getattr(running.task.counts, name)
        return sums

    def _readable(self, running: _Running) -> bool:
        return any(len(self.topics[topic][running.partition]) > at for topic, at in running.at.items())

    def _step(self, running: _Running) -> None:
        """Read a batch, close what can be closed, commit."""
        topics = [topic for topic, at in running.at.items() if len(self.topics[topic][running.partition]) > at]
        topic = topics[self.choose(len(topics))]
        entries, at = self.topics[topic][running.partition], running.at[topic]
        end = min(at + self.batch, len(entries))
        self._read(running, topic, range(at, end))
        running.at[topic] = end
        running.task.advance()
        commit = running.task.commit()
        if commit is None:
            return
        if self.crash():
            self._rebuild(running)
            return
        self._publish(running, commit)
        running.store.apply(commit.changes)
        running.task.committed()
        # A mark lies among the records here: it is passed only with what was read before it.
        running.committed.update(commit.offsets)
        if self.crash():
            self._rebuild(running)

    def _read(self, running: _Running, topic: str, offsets: range) -> None:
        entries = self.topics[topic][running.partition]
        for offset in offsets:
            self._take(running, topic, offset, entries[offset])

    def _take(self, running: _Running, topic: str, offset: int, entry: Entry) -> None:
        task = running.task
        if entry.record is not None:
            try:
                task.record(topic, offset, entry.key, entry.record, entry.headers)
            except Misfit as error:
                task.refuse(topic, offset, Quarantined(topic, entry.record, error))
        elif entry.through is not None:
            task.mark(topic, entry.through)
        else:
            task.exchange(topic, offset, entry.key, entry.value, entry.headers)

    def _publish(self, running: _Running, commit: Commit) -> None:
        output = self.topics[running.stage.output.topic]
        for written, said in zip(running.stage.outputs, commit.said, strict=True):
            log = self.topics[written.topic][running.partition]
            for key, record, _, traceparent in said.each():
                headers = () if traceparent is None else ((TRACEPARENT, traceparent),)
                log.append(Entry(key, record, headers=headers))
            if commit.through is not None and written.kind == "product":
                log.append(Entry(b"", through=commit.through))
        for message in commit.messages:
            output[message.partition].append(Entry(message.key, None, message.value, message.headers))
        self.quarantined.extend(commit.refused)

    def _rebuild(self, running: _Running) -> None:
        running.task = new_task(running.stage, partition=running.partition, store=running.store)
        running.at = dict(running.committed)
        running.restarts += 1
