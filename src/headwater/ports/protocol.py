"""What the roads need from a broker. `memory.py` and `kafka.py` are two of them; one conformance suite judges both.

The shapes are small on purpose. A `TransactionalSink` is a guarded producer: after any error of it the caller drops it,
and whatever else took part in the transaction, and builds new ones from what the broker holds. Nothing is rewound.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from headwater.ports.record import EndOfPartition, Fetched, Header, Message, Outgoing, TopicDescription, TopicPartition


class TransactionalSink(Protocol):
    """Writes records to topics, all of a transaction or none. One thread uses it."""

    def open(self) -> None:
        """Fence whoever wrote under the same transactional id, and end what they left open. Once, before all else."""

    def begin(self) -> None:
        """Start a transaction."""

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        timestamp: int,
        partition: int = -1,
        headers: Sequence[Header] = (),
    ) -> None:
        """Add a record; `timestamp` in milliseconds. Partition -1 means by murmur2 of the key, as Java clients do."""

    def send_many(self, records: Sequence[Outgoing]) -> None:
        """Add records in their order, each as `send` does, for less."""

    def send_column(
        self,
        place: tuple[str, int],
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        timestamps: Sequence[int],
    ) -> None:
        """Add records of one partition without headers, in their order: `send` for each, at less cost."""

    def flush(self) -> Mapping[TopicPartition, int]:
        """Wait until the broker has what was sent in this transaction; the next offset of each partition written to."""

    def send_offsets(self, offsets: Mapping[TopicPartition, int], source: GroupSource | GroupOffsets) -> None:
        """Put a group's progress into the transaction: the next offset to read, by partition."""

    def commit(self) -> None:
        """All becomes visible at once. An error means: unknown, drop everything and look at the broker."""

    def abort(self) -> None:
        """Nothing becomes visible."""

    def close(self) -> None:
        """Let go; an open transaction is aborted."""


class Reader(Protocol):
    """Reads given partitions from given offsets; only what is committed. One thread uses it."""

    def poll(self, limit: int, timeout: float) -> list[Message | EndOfPartition]:
        """Up to `limit` messages and ends of partitions, waiting up to `timeout` seconds for the first."""

    def fetch(self, limit: int, timeout: float) -> list[Fetched | EndOfPartition]:
        """What `poll` would return, the messages of each partition together where they came together."""

    def close(self) -> None:
        """Let go."""


class Assignments(Protocol):
    """Hears which partitions a member of a group was given or lost; called inside `poll`."""

    def gained(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Partitions given: where to read each from. A partition left out is read from the group's committed offset.

        Those that it pauses return nothing before they are resumed.
        """

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Partitions about to go: finish or abort what is open, before it returns."""

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Partitions that are gone already: drop their work, commit nothing."""


class GroupSource(Reader, Protocol):
    """A reader that shares topics with the other members of its group (range assignor)."""

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop returning these until resumed; membership is kept."""

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Return them again."""

    def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The group's next offset by partition; a partition without one is left out."""

    def group_metadata(self) -> Any:
        """The group's membership, for `send_offsets`; opaque, fresh at each commit."""


class GroupOffsets(Protocol):
    """The progress of a group, for a writer that is no member of it and has its partitions from elsewhere.

    The broker cannot fence such a writer by its membership: its transactional ids must do that.
    """

    def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The group's next offset by partition; a partition without one is left out."""

    def group_metadata(self) -> Any:
        """What a sink's `send_offsets` asks its source for."""

    def close(self) -> None:
        """Let go."""


class Broker(Protocol):
    """Where sinks and readers come from, and what can be asked without either."""

    def sink(self, transactional_id: str, *, timeout_ms: int = 30_000) -> TransactionalSink:
        """A transactional sink; `timeout_ms` bounds how long a transaction may stay open when its writer is gone."""

    def reader(self, offsets: Mapping[TopicPartition, int]) -> Reader:
        """A reader of these partitions from these offsets, outside any group."""

    def group(self, group: str, topics: Sequence[str], assignments: Assignments, *, member: str = "") -> GroupSource:
        """A member of a group; `member` makes its membership static."""

    def group_offsets(self, group: str) -> GroupOffsets:
        """The progress of a group, without joining it."""

    def groups(self) -> Collection[str]:
        """The groups that have members now. One that was killed is a member until its session is over."""

    def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The high watermarks, open transactions included: where a restore must get to."""

    def stable_ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """How far readers may come now: the first offset of an open transaction, or the end."""

    def starts(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The first offset that is still there, by partition."""

    def describe(self, topics: Sequence[str]) -> Mapping[str, TopicDescription]:
        """The topics that exist among these."""

    def identity(self, topic: str) -> str:
        """What tells this topic from every other that bears, or ever bore, its name, on this broker or another."""

    def topics(self) -> Sequence[str]:
        """The names of all topics that are not the broker's own."""

    def create_topic(self, description: TopicDescription) -> None:
        """Create; nothing happens where it exists. Called by `apply` and the stack only."""

    def alter_topic(self, name: str, settings: Mapping[str, str]) -> None:
        """Set these settings of a topic, leaving others."""

    def forget_group(self, group: str) -> bool:
        """Delete a group's offsets; False, and nothing is done, while it has members. One that is not there is gone."""

    def delete_topic(self, name: str) -> None:
        """Delete; nothing happens where it does not exist."""

    def delete_before(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Delete the records of each partition before an offset, for good; what lies there later stays."""

    def close(self) -> None:
        """Let go of every connection."""
