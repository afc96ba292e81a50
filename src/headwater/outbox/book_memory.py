"""A `Book` and `Log` over an outbox in this process. A row's `created_at` is there the commit of its transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

from headwater.outbox.book import BUCKETS, Tally, Window, hash_of
from headwater.outbox.event import OutboxEvent
from headwater.outbox.position import Position
from headwater.outbox.store_memory import MemoryOutbox
from headwater.timeline.instant import Instant


class MemoryBook:
    """The rows of a `MemoryOutbox` as they are now; `deleted` are ids that somebody has removed from the table."""

    def __init__(self, outbox: MemoryOutbox, *, deleted: Collection[str] = ()) -> None:
        self._outbox = outbox
        self._transactions = list(outbox.transactions)
        self._lsn = outbox.lsn
        self._rows = [
            (row.id, transaction.committed_at)
            for transaction in self._transactions
            for row in transaction.rows
            if isinstance(row, OutboxEvent) and row.id not in deleted
        ]

    def totals(self, window: Window) -> Mapping[int, Tally]:
        """The rows of a window, by bucket."""
        found: dict[int, Tally] = {}
        for row_id, created_at in self._rows:
            if window.holds(created_at):
                number = hash_of(row_id)
                found.setdefault(number % BUCKETS, Tally()).add(1, number)
        return found

    def known(self, ids: Sequence[str], window: Window) -> Mapping[str, Literal["in", "out"]]:
        """Which of these ids are rows."""
        wanted = set(ids)
        return {row_id: "in" if window.holds(at) else "out" for row_id, at in self._rows if row_id in wanted}

    def ids(self, window: Window, buckets: Collection[int]) -> Iterator[str]:
        """The ids of the window's rows in these buckets."""
        for row_id, created_at in self._rows:
            if window.holds(created_at) and hash_of(row_id) % BUCKETS in buckets:
                yield row_id

    def oldest(self) -> Instant | None:
        """The first row's moment."""
        return min((at for _, at in self._rows), default=None)

    def written(self) -> int:
        """Where the log ended."""
        return self._lsn

    def passed(self, position: Position) -> bool:
        """Whether the position lies behind all that is committed."""
        return position.end_lsn >= self._lsn

    def waiting(self, position: Position) -> Iterator[str] | None:
        """The rows behind the position."""
        if self._outbox.holder is not None:
            return None
        return self._waiting(position)

    def _waiting(self, position: Position) -> Iterator[str]:
        for transaction in self._outbox.transactions:
            published = position.published(transaction.commit_lsn)
            if published is not None:
                yield from (row.id for row in transaction.rows[published:] if isinstance(row, OutboxEvent))

    def close(self) -> None:
        """Nothing to let go of."""
