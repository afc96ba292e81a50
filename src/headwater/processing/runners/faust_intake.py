"""Between Faust's consumer and the stages: who has which partitions, from where they are read, what was fetched.

Faust's consumer asks before each fetch which partitions to set back and which to leave alone, and tells what it has
fetched; its agents hand the messages over. Each seek has a number, and each message that of the last seek before it was
fetched: so what was under way when a partition was set back is told from what came after. Nothing here knows Faust.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

from headwater.ports.record import Message, TopicPartition
from headwater.processing.runners.faust_source import Lane, StageSource

STALE = -1  # the number of what was fetched while a partition was being set back


class Intake:
    """Of one application. All threads use it."""

    def __init__(self, topics: Iterable[str]) -> None:
        """`topics` are those that stages read; others are the user's own, and no matter here."""
        self.changed = threading.Condition(threading.RLock())
        self.topics = frozenset(topics)
        self._sources: list[StageSource] = []
        self._assigned: tuple[TopicPartition, ...] = ()
        self.shared = False  # whether the group has said who has what
        self._moved: set[TopicPartition] = set()  # Faust has moved its consumer by itself
        self._rewinding = False
        self._numbers: dict[TopicPartition, int] = {}
        self._last = 0

    def join(self, source: StageSource) -> None:
        """It is given the partitions as they are shared now."""
        with self.changed:
            self._sources.append(source)
            if self._assigned:
                source.assigned(self._assigned)

    def leave(self, source: StageSource) -> None:
        """Nothing more for it; its topics stand still until its successor comes."""
        with self.changed:
            if source in self._sources:
                self._sources.remove(source)

    def revoked(self) -> None:
        """The group shares its partitions anew: until it has, none is ours."""
        with self.changed:
            self.assigned(())
            self.shared = False

    def assigned(self, places: Iterable[TopicPartition]) -> None:
        """The group has shared its partitions: these are ours, and no others."""
        with self.changed:
            self.shared = True
            self._assigned = tuple(place for place in places if place.topic in self.topics)
            self._moved = set(self._assigned)
            for source in self._sources:
                source.assigned(self._assigned)
            self.changed.notify_all()

    def rewinding(self) -> None:
        """Faust is about to set its consumer to its own offsets, which are not those of the stages."""
        with self.changed:
            self._rewinding = True
            self._moved = set(self._assigned)

    def rewound(self) -> None:
        """It has."""
        with self.changed:
            self._rewinding = False

    def due(self) -> Mapping[TopicPartition, int]:
        """What the consumer is to be set to before it fetches, by partition."""
        with self.changed:
            if self._rewinding:
                return {}
            found = {}
            for place in self._assigned:
                lanes = self._lanes(place)
                if lanes and (place in self._moved or any(lane.since is None for lane in lanes)):
                    found[place] = min(lane.next for lane in lanes)
            return found

    def sought(self, place: TopicPartition, offset: int) -> None:
        """The consumer was set to it: what is fetched from now on counts."""
        with self.changed:
            self._last += 1
            self._numbers[place] = self._last
            self._moved.discard(place)
            for lane in self._lanes(place):
                if lane.since is None:
                    lane.since, lane.high = self._last, lane.next
                lane.position = offset

    def open(self, place: TopicPartition) -> bool:
        """Whether it may be fetched now."""
        if place.topic not in self.topics:
            return True
        with self.changed:
            lanes = self._lanes(place)
            ready = bool(lanes) and not self._rewinding and place not in self._moved
            return ready and all(lane.since is not None and not lane.paused for lane in lanes)

    def fetched(self, place: TopicPartition, offsets: Sequence[int], position: int) -> int:
        """The consumer has fetched these, and stands at `position`: the number that they bear."""
        with self.changed:
            if self._rewinding or place in self._moved or place not in self._numbers:
                return STALE
            for source in self._sources:
                lane = source.lanes.get(place)
                if lane is None or lane.since is None:
                    continue
                lane.fetched += [offset for offset in offsets if offset >= lane.high]
                lane.high = max(lane.high, offsets[-1] + 1 if offsets else 0)
                lane.position = position
                if lane.end() is not None:
                    self.changed.notify_all()
            return self._numbers[place]

    def offer(self, messages: Sequence[tuple[int, Message]]) -> None:
        """An agent hands messages of one topic over, each with the number that it bears."""
        with self.changed:
            for source in self._sources:
                for number, message in messages:
                    if message.topic in source.topics:
                        source.take(number, message)
            self.changed.notify_all()

    def full(self, topic: str) -> bool:
        """Whether whoever hands this topic over should wait."""
        with self.changed:
            return any(source.full for source in self._sources if topic in source.topics)

    def stands(self) -> Mapping[TopicPartition, int]:
        """Up to which offset each partition was handed over; those that stand still by order are left out."""
        with self.changed:
            return {
                place: min(lane.stands() for lane in lanes)
                for place in self._assigned
                if (lanes := self._lanes(place)) and not any(lane.paused for lane in lanes)
            }

    def _lanes(self, place: TopicPartition) -> list[Lane]:
        """Of every stage that reads the topic; none where one of them is not ready."""
        readers = [source for source in self._sources if place.topic in source.topics]
        lanes = [source.lanes[place] for source in readers if place in source.lanes]
        return lanes if len(lanes) == len(readers) else []
