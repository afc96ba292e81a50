"""How stages on Faust write: a guarded producer for each partition, whose transactional id fences an earlier owner.

Faust's group says who has a partition, and cannot tell the broker so: its commits bear no generation that a transaction
of ours could. So it is the partition that names the writer. Whoever is given it opens that writer first, which ends
what an earlier owner has open and refuses whatever that one still sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from headwater.errors import Fault
from headwater.ports.protocol import Assignments, Broker, GroupSource, TransactionalSink
from headwater.ports.record import TopicPartition
from headwater.processing.checkpoint import Checkpoint
from headwater.processing.runners.faust_intake import Intake
from headwater.processing.runners.faust_source import StageSource
from headwater.processing.task import Work


class PartitionSinks:
    """The writers of one stage's partitions. The stage's thread uses it."""

    def __init__(self, make: Callable[[int], TransactionalSink]) -> None:
        self._make = make
        self._open: dict[int, TransactionalSink] = {}

    def open(self) -> None:
        """Nothing is open before a partition is given."""

    def fence(self, partitions: Iterable[int]) -> None:
        """Open the writers of these."""
        for number in partitions:
            self.release([number])
            sink = self._open[number] = self._make(number)
            sink.open()

    def release(self, partitions: Iterable[int]) -> None:
        """Let go of these."""
        for number in partitions:
            sink = self._open.pop(number, None)
            if sink is not None:
                sink.close()

    def of(self, partition: int) -> TransactionalSink:
        """The writer of a partition that is served here."""
        sink = self._open.get(partition)
        if sink is None:
            raise Fault(f"partition {partition} has work, and no writer", code="HW-P215", hint="report it")
        return sink

    def close(self) -> None:
        """Let go of all."""
        self.release(list(self._open))


class PartitionCheckpoint(Checkpoint):
    """Commits each partition's work in a transaction of its own: outputs, state, marks and offsets, all or none."""

    def commit(self, works: Sequence[Work], source: GroupSource) -> int:
        """One transaction after the other; the number of records written."""
        sinks, written = cast("PartitionSinks", self._sink), 0
        try:
            for work in works:
                self._sink = sinks.of(work.partition)
                written += super().commit([work], source)
        finally:
            self._sink = cast("TransactionalSink", sinks)
        return written


class StageBroker:
    """A broker as a stage on Faust sees it: partitions come from Faust, and each has its own writer."""

    def __init__(self, broker: Broker, intake: Intake, name_of: Callable[[int], str]) -> None:
        """`name_of` tells the transactional id of a partition's writer."""
        self._broker = broker
        self._intake = intake
        self._name_of = name_of
        self._sinks = PartitionSinks(lambda number: broker.sink(name_of(number)))

    def sink(self, transactional_id: str, *, timeout_ms: int = 30_000) -> TransactionalSink:
        """The partitions' writers, in place of the one that would bear this name."""
        broker, name_of = self._broker, self._name_of
        self._sinks = PartitionSinks(lambda number: broker.sink(name_of(number), timeout_ms=timeout_ms))
        return cast("TransactionalSink", self._sinks)

    def group(self, group: str, topics: Sequence[str], assignments: Assignments, *, member: str = "") -> GroupSource:
        """What Faust hands over of these topics; the group keeps the offsets, and has no members."""
        sinks, starts = self._sinks, self._starts
        offsets = self._broker.group_offsets(group)
        return StageSource(
            topics, assignments, offsets, self._intake, starts=starts, fence=sinks.fence, release=sinks.release
        )

    def _starts(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._broker.starts(partitions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)
