"""Groups of the memory broker: members share partitions by range, eagerly, as Kafka's classic protocol does.

When a member joins or leaves, every member gives up its partitions at its next poll;
when all have, they are shared anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from headwater.ports.kafka_errors import fenced, offset_missing
from headwater.ports.memory_reading import Cursor, Logs, read, together, waiting
from headwater.ports.protocol import Assignments
from headwater.ports.record import EndOfPartition, Fetched, Message, TopicPartition


@dataclass(slots=True)
class Group:
    """A group: its members by id, its offsets. `round` counts joins and leaves, `generation` is the last one shared."""

    name: str
    members: dict[str, MemoryGroupSource] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    round: int = 0
    generation: int = 0
    named: int = 0


@dataclass(frozen=True, slots=True)
class GroupMetadata:
    """A membership at one generation, handed to a sink with the offsets."""

    group: Group
    member: MemoryGroupSource
    generation: int

    def check(self) -> None:
        """Refuse a member that was left behind."""
        if self.member.gone or self.generation != self.group.generation:
            raise fenced(f"{self.group.name}: {self.member.name}", "ILLEGAL_GENERATION")


@dataclass(frozen=True, slots=True)
class _Outside:
    """No membership: nothing of it can be left behind."""

    group: Group

    def check(self) -> None:
        """Always right."""


class MemoryGroupOffsets:
    """A group's progress, without joining it."""

    def __init__(self, logs: Logs, group: Group) -> None:
        self._logs = logs
        self._group = group

    def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The group's offsets."""
        with self._logs.lock:
            return {place: self._group.committed[place] for place in partitions if place in self._group.committed}

    def group_metadata(self) -> _Outside:
        """The group, and no member of it."""
        return _Outside(self._group)

    def close(self) -> None:
        """Nothing to let go of."""


class MemoryGroupSource:
    """A member of a group."""

    def __init__(self, logs: Logs, group: Group, topics: Sequence[str], assignments: Assignments, member: str) -> None:
        self._logs = logs
        self._group = group
        self._topics = sorted(topics)
        self._assignments = assignments
        self._cursors: dict[TopicPartition, Cursor] = {}
        self._early: set[TopicPartition] = set()
        self._round = -1  # the round in which it last gave up its partitions
        self._generation = 0
        self.gone = False
        logs.partitions(topics)
        group.named += 1
        self.name = member or f"member-{group.named:04}"
        before = group.members.get(self.name)
        if before is not None:
            before.gone = True  # a static member's successor takes its place
        group.members[self.name] = self
        group.round += 1

    def poll(self, limit: int, timeout: float) -> list[Message | EndOfPartition]:
        """Rebalances first where members came or went."""
        return waiting(self._logs.clock, timeout, lambda: self._poll(limit))

    def fetch(self, limit: int, timeout: float) -> list[Fetched | EndOfPartition]:
        """The same, messages that follow each other in a partition together."""
        return together(self.poll(limit, timeout))

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop returning these."""
        for place in partitions:
            if place in self._cursors:
                self._cursors[place].paused = True
            else:
                self._early.add(place)  # paused while it is being given

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Return them again."""
        for place in partitions:
            self._cursors[place].paused = False

    def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The group's offsets."""
        with self._logs.lock:
            return {place: self._group.committed[place] for place in partitions if place in self._group.committed}

    def group_metadata(self) -> GroupMetadata:
        """The membership as it is now."""
        return GroupMetadata(self._group, self, self._generation)

    def close(self) -> None:
        """Leave; the partitions are revoked first."""
        if self._cursors and not self.gone:
            self._assignments.revoked(list(self._cursors))
        with self._logs.lock:
            self._cursors = {}
            if not self.gone:
                self.gone = True
                del self._group.members[self.name]
                self._group.round += 1

    def _poll(self, limit: int) -> list[Message | EndOfPartition]:
        with self._logs.lock:
            if self.gone:
                raise fenced(f"{self._group.name}: {self.name}", "FENCED_INSTANCE_ID")
            current = self._group.round
        if self._round != current:
            if self._cursors:
                self._assignments.revoked(list(self._cursors))
            with self._logs.lock:
                self._cursors = {}
                self._round = current
        with self._logs.lock:
            if any(member._round != self._group.round for member in self._group.members.values()):
                return []
            self._group.generation = self._group.round
            fresh = self._generation != self._group.generation
            self._generation = self._group.generation
        if fresh:
            self._gain()
        return read(self._logs, self._cursors.values(), limit)

    def _gain(self) -> None:
        with self._logs.lock:
            places = share_by_range(self._logs.partitions(self._topics), sorted(self._group.members), self.name)
        if not places:
            return
        self._early.clear()
        starts = self._assignments.gained(places)
        committed = self.committed(places)
        for place in places:
            offset = starts.get(place, committed.get(place))
            if offset is None:
                raise offset_missing(f"{place.topic} [{place.partition}]")
            self._cursors[place] = Cursor(place, offset, paused=place in self._early)


def share_by_range(topics: Mapping[str, int], members: Sequence[str], member: str) -> list[TopicPartition]:
    """The partitions of one member under Kafka's range assignor: equal numbers of all topics go to one member.

    >>> [p.partition for p in share_by_range({"t": 5}, ["a", "b"], "a")]
    [0, 1, 2]
    """
    place = members.index(member)
    shared = []
    for topic, count in topics.items():
        each, more = divmod(count, len(members))
        start = place * each + min(place, more)
        shared += [TopicPartition(topic, start + n) for n in range(each + (1 if place < more else 0))]
    return shared
