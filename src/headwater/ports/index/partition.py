"""One partition of an index: what is taken in from the topic, and what readers may know of how far that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import pyarrow.compute as pc

from headwater.errors import Misfit
from headwater.ports.index.layout import (
    BATCHES,
    BATCHES_END,
    OFFSET,
    UNREADABLE,
    Batch,
    Change,
    Reached,
    Store,
    before_of,
    pack_batch,
    pack_place,
    read_place,
    stem_of,
    unpack_batch,
)
from headwater.ports.progress import Settled
from headwater.ports.record import Fetched, TopicPartition
from headwater.ports.serde import RecordReader
from headwater.schemas.unsure import Unsure
from headwater.timeline.instant import Instant

_TRIMMED_AT_ONCE = 20  # batches, of up to some thousand records each


class Seen(NamedTuple):
    """What a reader goes by: the offsets that are there, when the newest was recorded, and up to when all is known."""

    start: int
    end: int
    newest: int
    through: Instant
    ready: bool


class IndexedPartition:
    """Takes in one partition. Its methods belong to one thread; `seen` and `store` are for all, and only read."""

    def __init__(self, place: TopicPartition, store: Store, records: RecordReader, *, tick: int) -> None:
        self.place, self.store = place, store
        self.goal = 0  # where the topic ended when the index was opened
        self._records, self._tick = records, tick
        self._identity, self._start, self._offset, self._newest, self._ready = "", 0, 0, -1, False
        self._settled = Settled(tick)
        self.seen = self._told()

    def open(self, identity: str, start: int, goal: int) -> int:
        """The offset to read from, in the topic of this identity: what was kept of another one is forgotten."""
        reached = read_place(self.store)
        if reached is not None and reached.topic_identity != identity:
            self.store.wipe()
            reached = None
        if reached is None:
            reached = Reached(identity, start, -1)
        self._identity, self._start, self.goal = identity, start, goal
        self._offset, self._newest = max(reached.offset, start), reached.newest
        self._settled, self._ready = Settled(self._tick, position=self._offset), False
        if self._newest >= 0:
            self._settled.record(offset=self._offset - 1, recorded_at=self._newest)
        self.seen = self._told()
        return self._offset

    def take(self, fetched: Fetched) -> None:
        """Records that follow what was taken in before; written with the position behind them, as one."""
        changes, recorded_at = self._changes(fetched)
        offset, newest = fetched.offsets[-1] + 1, max(self._newest, recorded_at)
        self.store.apply([*changes, pack_place(Reached(self._identity, offset, newest))])
        self._offset, self._newest = offset, newest
        if recorded_at >= 0:
            self._settled.record(offset=offset - 1, recorded_at=recorded_at)
        self.reached(offset)

    def reached(self, offset: int) -> None:
        """Nothing that is committed lies before this offset but what was taken in."""
        self._offset = max(self._offset, offset)
        self._settled.reached(self._offset)
        self._ready = self._ready or self._offset >= self.goal
        self.seen = self._told()

    def ended(self, offset: int) -> None:
        """Nothing more is committed now: what lies between here and the goal is an open transaction."""
        self._ready = True
        self.reached(offset)

    def mark(self, through: int, offset: int) -> None:
        """A progress mark."""
        self._settled.mark(through=through, offset=offset)
        self.seen = self._told()

    def trim(self, start: int) -> None:
        """Retention has removed what lies before this offset: readers pass it over from now on, then it is deleted."""
        if start <= self._start:
            return
        self._start = start
        self.seen = self._told()
        while batches := list(islice(self.store.scan(BATCHES, BATCHES + OFFSET.pack(start)), _TRIMMED_AT_ONCE)):
            gone: list[Change] = []
            for key, value in batches:
                batch = unpack_batch(key, value)
                beyond = [one for one in batch.keys if OFFSET.unpack(one[-8:])[0] >= start]
                gone += [(one, None) for one in batch.keys if OFFSET.unpack(one[-8:])[0] < start]
                gone.append((key, None))
                if beyond:
                    gone.append(pack_batch(Batch(start, batch.before, beyond)))
            self.store.apply(gone)
        unread = [(key, None) for key, _ in self.store.scan(UNREADABLE, UNREADABLE + OFFSET.pack(start))]
        self.store.apply(unread)

    def unreadable(self, end: int) -> int:
        """How many values before this offset could not be decoded."""
        first = UNREADABLE + OFFSET.pack(self.seen.start)
        return sum(1 for _ in self.store.scan(first, UNREADABLE + OFFSET.pack(end)))

    def behind(self, moment: int) -> int:
        """An offset before which nothing was recorded after `moment`: near to the last such one."""
        for key, value in self.store.scan(BATCHES, BATCHES_END, reverse=True):
            if before_of(value) <= moment:
                return max(int(OFFSET.unpack(key[1:])[0]), self.seen.start)
        return self.seen.start

    def _changes(self, fetched: Fetched) -> tuple[list[Change], int]:
        """The rows of these records, and when the newest of them was recorded."""
        offsets, keys, values = fetched.offsets, fetched.keys, fetched.values
        unread: Sequence[int] = ()
        try:
            newest = _newest(self._records.columns(values))
        except Unsure:
            newest, unread = self._newest_of_rows(fetched)
        pack, passed = OFFSET.pack, frozenset(unread)
        rows = [
            (stem_of(key) + pack(offset), value)
            for offset, key, value in zip(offsets, keys, values, strict=True)
            if offset not in passed
        ]
        changes: list[Change] = [*rows, *((UNREADABLE + pack(offset), b"") for offset in unread)]
        if rows:
            changes.append(pack_batch(Batch(offsets[0], self._newest, [key for key, _ in rows])))
        return changes, newest

    def _newest_of_rows(self, fetched: Fetched) -> tuple[int, list[int]]:
        newest, unread = -1, []
        for offset, value in zip(fetched.offsets, fetched.values, strict=True):
            try:
                record: Mapping[str, Any] = self._records.read(value)
            except Misfit:
                unread.append(offset)
                continue
            newest = max(newest, record["recorded_at"])
        return newest, unread

    def _told(self) -> Seen:
        return Seen(self._start, self._offset, self._newest, self._settled.through, self._ready)


def _newest(columns: Any) -> int:
    return int(pc.max(columns.column("recorded_at")).as_py())
