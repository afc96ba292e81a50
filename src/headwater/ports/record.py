"""What travels between Headwater and a broker, and what comes back from one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Header = tuple[str, bytes]
# Topic, partition (-1: by the key), key, value, timestamp in milliseconds, headers: the arguments of a sink's `send`.
Outgoing = tuple[str, int, bytes | None, bytes | None, int, Sequence[Header]]


TRACEPARENT = "traceparent"  # the header of W3C trace context: the work that the record comes from


class Message(NamedTuple):
    """One record of a topic, as bytes. `timestamp` is milliseconds since the epoch, as the broker holds it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[Header] = ()


class Fetched:
    """Messages of one partition as they came, in their order: as columns, or one by one where somebody asks."""

    __slots__ = ("_messages", "keys", "offsets", "partition", "topic", "values")

    def __init__(
        self,
        place: tuple[str, int],
        columns: tuple[Sequence[int], Sequence[bytes | None], Sequence[bytes | None]],
        messages: Callable[[], Sequence[Message]],
    ) -> None:
        self.topic, self.partition = place
        self.offsets, self.keys, self.values = columns
        self._messages = messages

    def __len__(self) -> int:
        return len(self.offsets)

    def messages(self) -> Sequence[Message]:
        """Whole, with their timestamps and headers."""
        return self._messages()

    def has(self, header: str) -> bool:
        """Whether one of them has a header of this name."""
        return any(name == header for message in self._messages() for name, _ in message.headers)

    @staticmethod
    def of(messages: Sequence[Message]) -> Fetched:
        """Of messages that are there already; at least one.

        >>> fetched = Fetched.of([Message("a", 0, 7, b"k", b"v", 0)])
        >>> len(fetched), fetched.offsets, fetched.keys, fetched.values
        (1, [7], [b'k'], [b'v'])
        """
        offsets, keys, values = zip(
            *((message.offset, message.key, message.value) for message in messages), strict=True
        )
        columns = (list(offsets), list(keys), list(values))
        return Fetched((messages[0].topic, messages[0].partition), columns, lambda: messages)


class EndOfPartition(NamedTuple):
    """The reader stands at the end of a partition: nothing committed lies before `offset` that it has not returned.

    `offset` counts what messages do not show: transaction markers. Progress marks and restores compare with it.
    """

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class TopicPartition:
    """A partition of a topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic as the broker has it: number of partitions, and the settings that differ from the broker's defaults."""

    name: str
    partitions: int
    settings: dict[str, str]
