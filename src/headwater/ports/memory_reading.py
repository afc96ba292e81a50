"""How readers of the memory broker walk its logs: committed records, and the ends of partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

from headwater.ports.kafka_errors import offset_missing
from headwater.ports.record import EndOfPartition, Fetched, Message, TopicPartition
from headwater.timeline.clock import Clock

WAIT_MICROSECONDS = 2_000


class Logs(Protocol):
    """What readers ask of the broker; all but the two attributes under its lock."""

    @property
    def lock(self) -> AbstractContextManager[bool]:
        """Held while logs are looked at."""

    @property
    def clock(self) -> Clock:
        """For waiting."""

    def stable_end(self, place: TopicPartition) -> int:
        """The offset up to which everything is decided."""

    def visible(self, place: TopicPartition, offset: int) -> Message | None:
        """The committed record at an offset."""

    def first(self, place: TopicPartition) -> int:
        """The first offset still there."""

    def partitions(self, topics: Sequence[str]) -> Mapping[str, int]:
        """How many partitions these topics have."""


@dataclass(slots=True)
class Cursor:
    """Where a reader stands in a partition, and the end it has told last."""

    place: TopicPartition
    offset: int
    told_end: int = -1
    paused: bool = False


def read(logs: Logs, cursors: Iterable[Cursor], limit: int) -> list[Message | EndOfPartition]:
    """Up to `limit` messages and ends, moving the cursors."""
    found: list[Message | EndOfPartition] = []
    with logs.lock:
        for cursor in cursors:
            if cursor.paused:
                continue
            end = logs.stable_end(cursor.place)
            if cursor.offset < logs.first(cursor.place) or cursor.offset > end:
                raise offset_missing(f"{cursor.place.topic} [{cursor.place.partition}]")
            while cursor.offset < end and len(found) < limit:
                message = logs.visible(cursor.place, cursor.offset)
                cursor.offset += 1
                if message is not None:
                    found.append(message)
            if cursor.offset == end and cursor.told_end != end and len(found) < limit:
                cursor.told_end = end
                found.append(EndOfPartition(cursor.place.topic, cursor.place.partition, end))
    return found


def waiting(
    clock: Clock, timeout: float, poll: Callable[[], list[Message | EndOfPartition]]
) -> list[Message | EndOfPartition]:
    """Poll until something is found or the timeout has passed, in small steps so that other threads may write."""
    deadline = clock.monotonic() + int(timeout * 1_000_000)
    while True:
        found = poll()
        left = deadline - clock.monotonic()
        if found or left <= 0:
            return found
        clock.sleep(min(left, WAIT_MICROSECONDS))


def together(polled: Sequence[Message | EndOfPartition]) -> list[Fetched | EndOfPartition]:
    """What was polled, messages that follow each other in a partition together."""
    found: list[Fetched | EndOfPartition] = []
    for place, run in groupby(polled, lambda item: (type(item), item.topic, item.partition)):
        items: list[Any] = list(run)
        found += [Fetched.of(items)] if place[0] is Message else items
    return found
