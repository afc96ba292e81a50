"""What a stage holds in memory and has not committed; where it is too much, inputs that are ahead stop.

A tick closes once every input has passed it, so that of two inputs the one that is ahead waits in memory for the other.
Only what is ahead can be stopped: the input that the others wait for is always read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from headwater.ports.protocol import GroupSource
from headwater.ports.record import EndOfPartition, Fetched, TopicPartition
from headwater.processing.steps import Stage
from headwater.processing.task import StagePartition

RESUMED_BELOW = 2  # a half of the limit: else inputs would stop and go with each commit


class Holding:
    """The account of one stage's worker. `limit` counts the bytes of the values of messages, as they came."""

    def __init__(self, stage: Stage, limit: int) -> None:
        self.bytes = 0
        self.records = 0
        self.paused: set[TopicPartition] = set()
        self._limit = limit
        self._topics = {stage_input.topic for stage_input in stage.inputs}
        # Of each partition what was fetched together: the offset after it, its messages, its bytes.
        self._fetched: dict[TopicPartition, deque[tuple[int, int, int]]] = {}

    def take(self, item: Fetched | EndOfPartition) -> None:
        """Messages were handed to their partition's task."""
        if isinstance(item, EndOfPartition) or item.topic not in self._topics:
            return
        size = sum(map(len, filter(None, item.values)))
        place = TopicPartition(item.topic, item.partition)
        self._fetched.setdefault(place, deque()).append((item.offsets[-1] + 1, len(item), size))
        self.records += len(item)
        self.bytes += size

    def release(self, committed: Mapping[TopicPartition, int]) -> None:
        """A transaction has committed these offsets. What was fetched together is held until all of it is."""
        for place, offset in committed.items():
            fetched = self._fetched.get(place)
            while fetched and fetched[0][0] <= offset:
                _, records, size = fetched.popleft()
                self.records -= records
                self.bytes -= size

    def forget(self, place: TopicPartition) -> None:
        """A partition of a topic is somebody else's now."""
        for _, records, size in self._fetched.pop(place, ()):
            self.records -= records
            self.bytes -= size
        self.paused.discard(place)

    def balance(self, owners: Mapping[int, StagePartition], source: GroupSource) -> None:
        """Stop what is ahead where too much is held; let go on what others wait for, and all once half is held."""
        over = self.bytes > self._limit
        if not over and not self.paused:
            return
        ahead = {TopicPartition(topic, number) for number, owner in owners.items() for topic in owner.task.ahead()}
        under = self.bytes * RESUMED_BELOW <= self._limit
        freed = set(self.paused) if under else self.paused - ahead
        if freed:
            source.resume(freed)
            self.paused -= freed
        more = ahead - self.paused if over else set()
        if more:
            source.pause(more)
            self.paused |= more
