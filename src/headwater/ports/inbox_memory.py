"""The inbox in memory: the fake that judges, and is judged by, the same suite as the one on PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from headwater.ports.inbox import Inbox, InboxTransaction, Kept, Reached
from headwater.ports.record import TopicPartition


class MemoryInboxes:
    """Where inboxes and effects of consumers lie: the database. `effects` is a list that handlers append to."""

    def __init__(self) -> None:
        self.effects: list[object] = []
        self.kept: dict[tuple[str, str], dict[bytes, Kept]] = {}
        self.reached: dict[tuple[str, str], dict[TopicPartition, Reached]] = {}
        self.leases: set[tuple[str, str]] = set()

    def inbox(self, consumer: str, topic: str) -> MemoryInbox:
        """An inbox of a consumer, as one process has it."""
        return MemoryInbox(self, (consumer, topic))


class MemoryInbox(Inbox):
    """An inbox of one consumer for one topic."""

    def __init__(self, home: MemoryInboxes, name: tuple[str, str]) -> None:
        self._home, self._name, self._leased = home, name, False

    def acquire(self) -> bool:
        """Take the lease."""
        if not self._leased and self._name not in self._home.leases:
            self._home.leases.add(self._name)
            self._leased = True
        return self._leased

    def positions(self) -> Mapping[TopicPartition, Reached]:
        """How far the consumer is."""
        return dict(self._home.reached.get(self._name, {}))

    @contextmanager
    def transaction(self) -> Iterator[InboxTransaction]:
        """All or nothing: what is written goes into copies, which take the place of the originals at the end."""
        made = _MemoryTransaction(
            list(self._home.effects), dict(self._home.kept.get(self._name, {})), dict(self.positions())
        )
        yield made
        self._home.effects[:] = made.effects
        self._home.kept[self._name] = made.kept
        self._home.reached[self._name] = made.reached

    def close(self) -> None:
        """Let go of the lease."""
        if self._leased:
            self._home.leases.discard(self._name)
            self._leased = False


class _MemoryTransaction(InboxTransaction):
    def __init__(self, effects: list[object], kept: dict[bytes, Kept], reached: dict[TopicPartition, Reached]) -> None:
        self.kept, self.reached = kept, reached
        self._effects = effects

    @property
    def effects(self) -> list[object]:
        return self._effects

    def known(self, identities: Collection[bytes]) -> Mapping[bytes, Kept]:
        return {identity: self.kept[identity] for identity in identities if identity in self.kept}

    def keep(self, versions: Mapping[bytes, Kept]) -> None:
        self.kept.update(versions)

    def reach(self, places: Mapping[TopicPartition, Reached]) -> None:
        self.reached.update(places)

    def forget(self, starts: Mapping[TopicPartition, int], limit: int) -> int:
        before = {place.partition: offset for place, offset in starts.items()}
        gone = [
            identity
            for identity, kept in self.kept.items()
            if kept.lies_at is not None and kept.lies_at[1] < before.get(kept.lies_at[0], 0)
        ][:limit]
        for identity in gone:
            del self.kept[identity]
        return len(gone)
