"""The rows that an outbox in this process retains; the plain reading of what `Retained` promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from headwater.outbox.event import OutboxEvent
from headwater.outbox.pgoutput import Row


class RetainedRow(NamedTuple):
    """A row with its transaction: when that was committed, and its number."""

    committed_at: int
    transaction: int
    row: OutboxEvent


class MemoryRetained:
    """A `Retained` over a list. A row's creation is taken for its commit: the memory store knows no other time."""

    def __init__(self, rows: Sequence[RetainedRow], *, taken_at: int, dropped_before: int | None, dated: bool) -> None:
        self.taken_at = taken_at
        self.dropped_before = dropped_before
        self._rows = [one for one in rows if dropped_before is None or one.committed_at >= dropped_before]
        self._dated = dated
        self._accounted: dict[str, int] = {}

    def dated(self, since: int) -> bool:
        """As the store was told."""
        return self._dated

    def account(self, ids: Iterable[tuple[str, int]]) -> None:
        """Keep them."""
        self._accounted.update(ids)

    def missing(self, since: int | None, *, dated: bool) -> Iterator[tuple[int, Row]]:
        """Those that were not kept."""
        rows = [one for one in self._rows if one.row.id not in self._accounted]
        if since is not None:
            rows = [one for one in rows if one.committed_at >= since]
        if not dated:
            rows.sort(key=lambda one: (one.row.aggregatetype, one.row.aggregateid, one.row.key_version or 0))
        for one in rows:
            yield one.committed_at, tuple([_text(value) for value in one.row.values()])

    def orphans(self, since: int, limit: int) -> tuple[int, list[str]]:
        """Those that were kept and are not there."""
        there = {one.row.id for one in self._rows}
        found = sorted(row for row, recorded_at in self._accounted.items() if recorded_at >= since and row not in there)
        return len(found), found[:limit]

    def close(self) -> None:
        """Nothing to let go of."""


def _text(value: object) -> bytes | None:
    if value is None:
        return None
    return b"\\x" + value.hex().encode() if isinstance(value, bytes) else str(value).encode()
