"""The relay's core: raw messages to batches of whole transactions, stamped, with the position that goes with them.

Pure: it is fed what the stream sent and asked what to publish. Three rules hold whatever order of reads, crashes and
repeats: a transaction that the position covers is skipped whole, one that it covers in part from the ordinal on; all
rows of a transaction have one stamp; and a mark is never given while a transaction is open, since its later rows would
be recorded at or before the mark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from headwater.errors import Fault
from headwater.outbox import pgoutput
from headwater.outbox.event import COLUMNS
from headwater.outbox.pgoutput import BEGIN, BODY, COMMIT, INSERT, KEEPALIVE, RELATION, Row
from headwater.outbox.position import Position
from headwater.timeline.instant import Instant
from headwater.timeline.recorded import Stamp
from headwater.timeline.tick import tick_end, tick_of

MARK_EVERY = 1_000_000  # while idle, one mark a second: `docs/concepts/relay.md`


@dataclass(slots=True)
class Segment:
    """The rows of one transaction, or a part of them: `ordinal` is the number of rows before the first."""

    commit_lsn: int
    committed_at: Instant
    ordinal: int
    end_lsn: int = 0
    recorded_at: int = 0
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one Kafka transaction publishes. `marked` is what marks may promise after it; None where none are due."""

    segments: tuple[Segment, ...]
    position: Position
    rows: int
    marked: Instant | None


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch closes: rows and bytes at most. A larger transaction is published in parts."""

    rows: int = 10_000  # `docs/concepts/relay.md`: well above where the cost of a commit stops to matter
    bytes: int = 8 * 1024 * 1024


class Assembler:
    """Collects what the stream sends into batches."""

    def __init__(self, position: Position, *, table: str, tick: int, limits: Limits) -> None:
        self.position = position
        self.skipped = 0  # rows that were published before a restart
        self.server_at: Instant | None = None  # the server's clock at the last keepalive
        self._table = table
        self._tick = tick
        self._limits = limits
        self._readers: dict[int, Callable[[bytes], Row]] = {}
        self._whole: list[Segment] = []
        self._open: Segment | None = None
        self._skip = 0  # rows of the open transaction that are still to be skipped
        self._continued = position.partial  # the transaction at the position goes on
        self._rows = 0  # of the whole transactions
        self._bytes = 0
        self._idle_lsn = position.end_lsn
        self._mark_clock = position.stamp.clock
        # The end of the tick of the last record, until a mark has reached it.
        self.settles_at: Instant | None = _unsettled(position.stamp, tick)

    @property
    def pending(self) -> bool:
        """Whether whole transactions wait to be published."""
        return bool(self._whole)

    @property
    def full(self) -> bool:
        """Whether a limit is reached."""
        open_rows = len(self._open.rows) if self._open else 0
        return self._rows + open_rows >= self._limits.rows or self._bytes >= self._limits.bytes

    def feed(self, messages: Sequence[bytes]) -> None:
        """Take in what was read, in the order of the stream."""
        open_segment, reader, size = self._open, None, 0
        for message in messages:
            if message[0] == KEEPALIVE:
                self._open = open_segment
                self._keepalive(message)
                continue
            size += len(message)
            tag = message[BODY]
            if tag == INSERT:
                assert open_segment is not None
                if self._skip:
                    self._skip -= 1
                    self.skipped += 1
                    continue
                if reader is None:
                    reader = self._reader_of(message)
                open_segment.rows.append(reader(message))
            elif tag == BEGIN:
                open_segment = self._begin(message)
            elif tag == COMMIT:
                assert open_segment is not None
                self._commit(open_segment, message)
                open_segment = None
            elif tag == RELATION:
                reader = None
                self._relation(message)
        self._open = open_segment
        self._bytes += size

    def take(self) -> Batch | None:
        """The next batch: all whole transactions, or a part of an open one that is above the limit, or nothing."""
        if self._whole:
            return self._take_whole()
        if self._open is not None and self._open.rows and self.full:
            return self._take_part(self._open)
        return None

    def idle_batch(self) -> Batch | None:
        """With nothing to publish: marks, if they are due by the server's clock, and how far all is quiet."""
        server_at = self.server_at
        if server_at is None or self._whole or self._open is not None or self._continued:
            return None
        moved = self.position.stamp.mark(server_at)
        settles = self.settles_at is not None and self.settles_at <= moved.marked
        if not settles and abs(server_at - self._mark_clock) < MARK_EVERY:
            return None
        self.server_at, self._mark_clock = None, server_at
        self.settles_at = None if settles else self.settles_at
        self.position = self.position.idle(self._idle_lsn, moved)
        return Batch((), self.position, 0, moved.marked)

    def _take_whole(self) -> Batch:
        segments, self._whole = self._whole, []
        self.server_at = None  # told before these rows came
        stamp = self.position.stamp
        for segment in segments:
            stamp = self._stamped(segment, stamp)
        last = segments[-1]
        marked = None
        if tick_of(stamp.value, self._tick) > tick_of(stamp.marked, self._tick):
            stamp = Stamp(stamp.value, stamp.clock, stamp.value)
            self._mark_clock = stamp.clock
            marked = stamp.marked
        self.settles_at = _unsettled(stamp, self._tick)
        self.position = replace(
            self.position,
            commit_lsn=last.commit_lsn,
            end_lsn=last.end_lsn,
            ordinal=last.ordinal + len(last.rows),
            stamp=stamp,
        )
        return self._batch(segments, marked)

    def _take_part(self, segment: Segment) -> Batch:
        stamp = self._stamped(segment, self.position.stamp)
        done = segment.ordinal + len(segment.rows)
        # The end stays that of the last whole transaction: acknowledged beyond it, the rest would never be sent again.
        self.position = replace(self.position, commit_lsn=segment.commit_lsn, ordinal=done, stamp=stamp)
        self._open = replace(segment, ordinal=done, rows=[])
        self._continued = True
        return self._batch([segment], None)

    def _batch(self, segments: list[Segment], marked: Instant | None) -> Batch:
        self._rows = 0
        self._bytes = 0
        return Batch(tuple(segments), self.position, sum([len(segment.rows) for segment in segments]), marked)

    def _stamped(self, segment: Segment, stamp: Stamp) -> Stamp:
        # A transaction that goes on after a part of it was published keeps the stamp which that part has.
        if self._continued and segment.commit_lsn == self.position.commit_lsn:
            self._continued = False
        else:
            stamp = stamp.next(segment.committed_at)
        segment.recorded_at = stamp.value
        return stamp

    def _begin(self, message: bytes) -> Segment:
        begin = pgoutput.begin(message)
        published = self.position.published(begin.commit_lsn)
        if self._whole and self._whole[-1].commit_lsn >= begin.commit_lsn:
            raise Fault(
                "the replication stream went back within one connection",
                code="HW-O003",
                detail="commit order must rise; publishing on would repeat rows",
                hint="restart the relay; it goes on from its position",
            )
        if self._continued and not self._whole and begin.commit_lsn > self.position.commit_lsn:
            raise Fault(
                "the rest of a large transaction is gone from the replication stream",
                code="HW-O005",
                detail="a part of it is published, and the slot has moved past it",
                hint="compare the outbox table with the topic by row id before the slot is used again",
            )
        self._skip = 1 << 62 if published is None else published
        return Segment(begin.commit_lsn, begin.committed_at, 0 if published is None else published)

    def _commit(self, segment: Segment, message: bytes) -> None:
        segment.end_lsn = pgoutput.commit(message).end_lsn
        self._skip = 0
        if segment.rows:
            self._whole.append(segment)
            self._rows += len(segment.rows)
            return
        # Nothing of it is left to publish; it may be acknowledged with the next position.
        self._idle_lsn = max(self._idle_lsn, segment.end_lsn)
        if segment.commit_lsn == self.position.commit_lsn:
            self._continued = False

    def _keepalive(self, message: bytes) -> None:
        keepalive = pgoutput.keepalive(message)
        self.server_at = keepalive.sent_at
        if self._open is None and not self._whole:
            self._idle_lsn = max(self._idle_lsn, keepalive.end_lsn)

    def _relation(self, message: bytes) -> None:
        relation = pgoutput.relation(message)
        if f"{relation.schema}.{relation.table}" == self._table:
            self._readers[relation.id] = pgoutput.row_reader(relation, COLUMNS)

    def _reader_of(self, message: bytes) -> Callable[[bytes], Row]:
        relation_id = int.from_bytes(message[BODY + 1 : BODY + 5], "big")
        if relation_id not in self._readers:
            raise Fault(
                "the publication sends rows of another table",
                code="HW-O004",
                detail=f"this source is {self._table} alone",
                hint="headwater apply",
            )
        return self._readers[relation_id]


def _unsettled(stamp: Stamp, tick: int) -> Instant | None:
    end = tick_end(stamp.value, tick)
    return end if stamp.marked < end else None
