"""An inbox: what a consumer has taken in, kept where its effects go, so that both happen in one transaction or neither.

For each partition the next offset to read, and of each identity (an event's id; a fact's key and interval) the newest
revision and its value. A record that is read again is known by them, whoever wrote it twice and whenever.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from headwater.ports.record import TopicPartition


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a consumer is in a partition: the next offset, and the identity of the topic that it counts in."""

    offset: int
    topic_identity: str


@dataclass(frozen=True, slots=True)
class Kept:
    """The newest version of an identity: its revision, and its value as the topic has it; None once it is retracted.

    `lies_at` is the partition and offset of its record, by which it can be forgotten.
    """

    revision: int
    value: bytes | None
    lies_at: tuple[int, int] | None = field(default=None, compare=False)


class InboxTransaction(Protocol):
    """What is written together. Effects of the consumer's own go through `effects`."""

    @property
    def effects(self) -> Any:
        """What the consumer's handler writes with: on PostgreSQL the psycopg connection."""

    def known(self, identities: Collection[bytes]) -> Mapping[bytes, Kept]:
        """What is kept of these identities."""

    def keep(self, versions: Mapping[bytes, Kept]) -> None:
        """Keep these versions in place of older ones."""

    def reach(self, places: Mapping[TopicPartition, Reached]) -> None:
        """Note how far the consumer is."""

    def forget(self, starts: Mapping[TopicPartition, int], limit: int) -> int:
        """Forget versions whose records lie before these offsets, up to `limit`; how many that were.

        One of which it is not known where it lies is kept.
        """


class Inbox(Protocol):
    """The inbox of one consumer for one topic. An error of it leaves everything in doubt: close it, make another."""

    def acquire(self) -> bool:
        """Take the lease, which ends with this object or its process; False where another has it."""

    def positions(self) -> Mapping[TopicPartition, Reached]:
        """How far the consumer is; a partition that was never read is left out."""

    def transaction(self) -> AbstractContextManager[InboxTransaction]:
        """A transaction that commits at the end of the `with`, and is rolled back where an error leaves it."""

    def close(self) -> None:
        """Let go of lease and connections."""
