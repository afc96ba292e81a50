"""What a stage reads where Faust fetches: messages as its agents hand them over, held against what was fetched.

On the way from its consumer to an agent Faust may hand over a message twice, bring one of before a rebalance after it,
or lose one. So each partition keeps a ledger: the offsets that the consumer has fetched since it was last set to where
the stage stands. What an agent hands over must be the next of them. What is known already is passed over; where one is
missing the stage begins again from its last commit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from headwater.errors import Unreachable
from headwater.ports.kafka_errors import offset_missing
from headwater.ports.protocol import Assignments, GroupOffsets
from headwater.ports.record import EndOfPartition, Fetched, Message, TopicPartition

FULL_MESSAGES = 20_000  # handed over and not read yet: then agents wait


@dataclass(slots=True)
class Lane:
    """One partition of a topic. `next` is the offset that the stage takes next.

    `since` is the seek from which on messages count; None before the consumer was set to `next`. `fetched` are the
    offsets between `next` and `high` that the consumer has fetched; it stands at `position`.
    """

    next: int
    since: int | None = None
    high: int = 0
    position: int = -1
    told: int = -1
    paused: bool = False
    fetched: deque[int] = field(default_factory=deque)
    waiting: deque[Message] = field(default_factory=deque)

    def stands(self) -> int:
        """Up to which offset the stage has everything."""
        return self.next if self.fetched or self.waiting else max(self.next, self.position)

    def end(self) -> int | None:
        """Where the consumer stands, if all before it was handed over and that was not told yet."""
        if self.fetched or self.waiting or self.position <= self.told or self.position < self.next:
            return None
        return self.position


class Joined(Protocol):
    """Where sources come and go."""

    @property
    def changed(self) -> threading.Condition:
        """The lock of all sources and whoever feeds them; notified where there is something to read."""

    def join(self, source: StageSource) -> None:
        """It wants its topics' partitions."""

    def leave(self, source: StageSource) -> None:
        """It wants nothing more."""


class StageSource:
    """A `GroupSource` of one stage. The stage's thread reads; Faust's threads call what is below the line."""

    def __init__(
        self,
        topics: Sequence[str],
        assignments: Assignments,
        offsets: GroupOffsets,
        intake: Joined,
        *,
        starts: Callable[[Sequence[TopicPartition]], Mapping[TopicPartition, int]],
        fence: Callable[[Iterable[int]], None],
        release: Callable[[Iterable[int]], None],
    ) -> None:
        """`fence` ends what an earlier owner of these partitions has open, `release` lets go of them."""
        self.topics = frozenset(topics)
        self.lanes: dict[TopicPartition, Lane] = {}
        self._assignments = assignments
        self._offsets = offsets
        self._intake = intake
        self._starts, self._fence, self._release = starts, fence, release
        self._changed = intake.changed
        self._told: list[tuple[TopicPartition, ...]] = []  # assignments that the stage has not heard of yet
        self._mine: tuple[TopicPartition, ...] = ()
        self._gaining: set[TopicPartition] | None = None
        self._doubt: Unreachable | None = None
        self._waiting = 0
        intake.join(self)

    def fetch(self, limit: int, timeout: float) -> list[Fetched | EndOfPartition]:
        """What was handed over; hears of partitions first. Raises `Unreachable` HW-P214 where a message is missing."""
        with self._changed:
            if not self._told and not self._doubt and not self._readable():
                self._changed.wait(timeout)
            told, self._told = self._told, []
        for places in told[-1:]:  # what came and went in between was never served
            self._share(places)
        with self._changed:
            if self._doubt is not None:
                raise self._doubt
            return self._take(limit)

    def poll(self, limit: int, timeout: float) -> list[Message | EndOfPartition]:
        """The same one by one."""
        found: list[Message | EndOfPartition] = []
        for item in self.fetch(limit, timeout):
            found += [item] if isinstance(item, EndOfPartition) else item.messages()
        return found

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Return nothing of these; the consumer fetches none of them either."""
        with self._changed:
            for place in partitions:
                if self._gaining is not None:
                    self._gaining.add(place)
                elif place in self.lanes:
                    self._pause(self.lanes[place], True)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Return them again."""
        with self._changed:
            for place in partitions:
                if place in self.lanes:
                    self._pause(self.lanes[place], False)

    def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """What the stage's transactions have committed; Faust's own offsets are no matter."""
        return self._offsets.committed(partitions)

    def group_metadata(self) -> Any:
        """The stage's group, of which nobody here is a member: the transactional id of a partition is what fences."""
        return self._offsets.group_metadata()

    def close(self) -> None:
        """Let go."""
        self._intake.leave(self)
        self._offsets.close()

    # Faust's threads, under the lock:

    def assigned(self, places: Iterable[TopicPartition]) -> None:
        """These partitions, of whatever topics, are ours from now on, and no others."""
        self.lanes.clear()
        self._waiting = 0
        self._told.append(tuple(place for place in places if place.topic in self.topics))

    def take(self, stamp: int, message: Message) -> None:
        """A message that was fetched after the seek of this number."""
        lane = self.lanes.get(TopicPartition(message.topic, message.partition))
        if lane is None or lane.since is None or stamp < lane.since or message.offset < lane.next:
            return
        if not lane.fetched or lane.fetched[0] != message.offset:
            self._doubt = _missing(message, lane.fetched[0] if lane.fetched else lane.next)
            self.lanes.clear()
            return
        lane.fetched.popleft()
        lane.next = message.offset + 1
        lane.waiting.append(message)
        self._waiting += not lane.paused

    @property
    def full(self) -> bool:
        """Whether agents should wait. What is paused does not count, or it would stop what the stage waits for."""
        return self._waiting >= FULL_MESSAGES

    # The stage's thread:

    def _share(self, places: Sequence[TopicPartition]) -> None:
        """As an eager rebalance: everything goes, then everything comes."""
        if self._mine:
            gone, self._mine = self._mine, ()
            self._assignments.revoked(gone)
            self._release({place.partition for place in gone})
        if not places:
            return
        self._fence(sorted({place.partition for place in places}))  # before anything is asked of the group
        self._gaining = set()
        try:
            offsets = self._assignments.gained(places)
        finally:
            paused, self._gaining = self._gaining, None
        self._mine = tuple(places)
        starts = self._starts(places)
        for place in places:
            if offsets[place] < starts[place]:
                raise offset_missing(f"{place.topic} [{place.partition}]")
        with self._changed:
            if not self._told:  # else they are gone already
                self.lanes = {place: Lane(offsets[place], paused=place in paused) for place in places}

    def _readable(self) -> bool:
        return any(
            not lane.paused and (lane.waiting or (lane.since is not None and lane.end() is not None))
            for lane in self.lanes.values()
        )

    def _take(self, limit: int) -> list[Fetched | EndOfPartition]:
        found: list[Fetched | EndOfPartition] = []
        for place, lane in self.lanes.items():
            if lane.paused or lane.since is None:
                continue
            count = min(limit, len(lane.waiting))
            if count:
                found.append(Fetched.of([lane.waiting.popleft() for _ in range(count)]))
                limit -= count
                self._waiting -= count
            end = lane.end()
            if end is not None:
                lane.told = end
                found.append(EndOfPartition(place.topic, place.partition, end))
        return found

    def _pause(self, lane: Lane, paused: bool) -> None:
        if lane.paused != paused:
            lane.paused = paused
            self._waiting += -len(lane.waiting) if paused else len(lane.waiting)


def _missing(message: Message, expected: int) -> Unreachable:
    return Unreachable(
        f"{message.topic} [{message.partition}]: Faust handed over offset {message.offset}, and not "
        f"{expected} before it",
        code="HW-P214",
        detail="its consumer had fetched that one, or has not fetched this one; nothing was committed past it",
        hint="nothing: the stage reads again from its last commit. Should it come often, run the product with "
        "--runner kafka and report it",
    )
