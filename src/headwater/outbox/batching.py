"""The relay's core: raw messages to batches of whole transactions, stamped, with the position that goes with them.

Pure: it is fed what the stream sent and asked what to publish. Three rules hold whatever order of reads, crashes and
repeats: a transaction that the position covers is skipped whole, one that it covers in part from the ordinal on; all
rows of a transaction have one stamp; and a mark is never given while a transaction is open, since its later rows would
be recorded at or before the mark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from headwater.errors import Fault
from headwater.outbox import pgoutput
from headwater.outbox.event import COLUMNS, OPTIONAL
from headwater.outbox.messages import prefix_of, row_of, row_outside
from headwater.outbox.pgoutput import BEGIN, BODY, COMMIT, INSERT, KEEPALIVE, MESSAGE, RELATION, Relation, Row
from headwater.outbox.position import Position
from headwater.outbox.segment import Batch, Run, Segment
from headwater.timeline.instant import Instant
from headwater.timeline.recorded import Stamp
from headwater.timeline.tick import tick_end, tick_of

_NO_INSERT = b"no message begins so"
MARK_EVERY = 1_000_000  # while idle, one mark a second: `docs/concepts/relay.md`


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch closes: rows and bytes at most. A larger transaction is published in parts."""

    rows: int = 20_000  # `docs/concepts/relay.md`: well above where the cost of a commit stops to matter
    bytes: int = 12 * 1024 * 1024


class Assembler:
    """Collects what the stream sends into batches."""

    def __init__(self, position: Position, *, table: str, tick: int, limits: Limits, written_lsn: int = 0) -> None:
        self.position = position
        self.skipped = 0  # rows that were published before a restart
        self.behind = 0  # microseconds from the last commit that was read to when the server sent it
        self.server_at: Instant | None = None  # the server's clock at the last keepalive
        self._table = table
        self._tick = tick
        self._limits = limits
        self._prefix = prefix_of(table)
        self._readers: dict[bytes, tuple[Relation, Callable[[bytes], Row]]] = {}
        self._whole: list[Segment] = []
        self._open: Segment | None = None
        self._skip = 0  # rows of the open transaction that are still to be skipped
        self._continued = position.partial  # the transaction at the position goes on
        self._rows = 0  # of the whole transactions
        self._bytes = 0
        self._idle_lsn = position.end_lsn
        # Where the server's log ended when reading began: before that, its clock is ahead of what it has sent.
        self._written_lsn = written_lsn
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
        open_rows = self._open.count if self._open else 0
        return self._rows + open_rows >= self._limits.rows or self._bytes >= self._limits.bytes

    def feed(self, messages: Sequence[bytes]) -> None:
        """Take in what was read, in the order of the stream."""
        open_segment, size = self._open, sum(map(len, messages))
        insert, append = _NO_INSERT, None  # how an insert of the same table as the last one begins, and where it goes
        for message in messages:
            if message.startswith(insert, BODY):
                append(message)  # type: ignore[misc]  # is set wherever `insert` is
                continue
            if message[0] == KEEPALIVE:
                size -= len(message)
                self._open = open_segment
                self._keepalive(message)
                continue
            tag = message[BODY]
            if tag == INSERT:
                assert open_segment is not None
                if self._skip:
                    self._skip -= 1
                    self.skipped += 1
                    continue
                insert = message[BODY : BODY + 5]
                append = self._run(open_segment, insert[1:]).items.append
                append(message)
                continue
            insert = _NO_INSERT
            if tag == BEGIN:
                open_segment = self._begin(message)
            elif tag == COMMIT:
                assert open_segment is not None
                self._commit(open_segment, message)
                open_segment = None
            elif tag == RELATION:
                self._relation(message)
            elif tag == MESSAGE:
                self._message(open_segment, message)
        self._open = open_segment
        self._bytes += size

    def take(self) -> Batch | None:
        """The next batch: all whole transactions, or a part of an open one that is above the limit, or nothing."""
        if self._whole:
            return self._take_whole()
        if self._open is not None and self._open.runs and self.full:
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

    def extra_batch(self) -> Batch | None:
        """A batch without rows of the stream, for rows that were held back; stamped above every mark."""
        if self._whole or self._continued:  # the rest of a transaction must have the stamp that its first part has
            return None
        stamp = self.position.stamp
        self.position = replace(self.position, stamp=stamp.next(stamp.clock))
        self.settles_at = _unsettled(self.position.stamp, self._tick)
        return Batch((), self.position, 0, None)

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
            ordinal=last.ordinal + last.count,
            stamp=stamp,
            taken=self.position.taken + sum([segment.count for segment in segments]),
        )
        return self._batch(segments, marked)

    def _take_part(self, segment: Segment) -> Batch:
        stamp = self._stamped(segment, self.position.stamp)
        done = segment.ordinal + segment.count
        # The end stays that of the last whole transaction: acknowledged beyond it, the rest would never be sent again.
        taken = self.position.taken + segment.count
        self.position = replace(self.position, commit_lsn=segment.commit_lsn, ordinal=done, stamp=stamp, taken=taken)
        self._open = replace(segment, ordinal=done, runs=[])
        self._continued = True
        return self._batch([segment], None)

    def _batch(self, segments: list[Segment], marked: Instant | None) -> Batch:
        self._rows = 0
        self._bytes = sum([len(item) for run in self._open.runs for item in run.items]) if self._open else 0
        return Batch(tuple(segments), self.position, sum([segment.count for segment in segments]), marked)

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
        return self._opened(begin.commit_lsn, begin.committed_at)

    def _opened(self, commit_lsn: int, committed_at: Instant) -> Segment:
        published = self.position.published(commit_lsn)
        if self._whole and self._whole[-1].commit_lsn >= commit_lsn:
            raise Fault(
                "the replication stream went back within one connection",
                code="HW-O003",
                detail="commit order must rise; publishing on would repeat rows",
                hint="restart the relay; it goes on from its position",
            )
        if self._continued and not self._whole and commit_lsn > self.position.commit_lsn:
            raise Fault(
                "the rest of a large transaction is gone from the replication stream",
                code="HW-O005",
                detail="a part of it is published, and the slot has moved past it",
                hint="headwater relay repair",
            )
        self._skip = 1 << 62 if published is None else published
        return Segment(commit_lsn, committed_at, 0 if published is None else published)

    def _commit(self, segment: Segment, message: bytes) -> None:
        self.behind = pgoutput.sent_at(message) - segment.committed_at
        self._close(segment, pgoutput.commit(message).end_lsn)

    def _close(self, segment: Segment, end_lsn: int) -> None:
        segment.end_lsn = end_lsn
        self._skip = 0
        if segment.runs:
            self._whole.append(segment)
            self._rows += segment.count
            return
        # Nothing of it is left to publish; it may be acknowledged with the next position.
        self._idle_lsn = max(self._idle_lsn, segment.end_lsn)
        if segment.commit_lsn == self.position.commit_lsn:
            self._continued = False

    def _keepalive(self, message: bytes) -> None:
        keepalive = pgoutput.keepalive(message)
        if keepalive.end_lsn >= self._written_lsn:
            self.server_at = keepalive.sent_at
        if self._open is None and not self._whole:
            self._idle_lsn = max(self._idle_lsn, keepalive.end_lsn)

    def _relation(self, message: bytes) -> None:
        # It comes again whenever the table was changed: the rows behind it have its columns, those before it the old.
        relation = pgoutput.relation(message)
        identifier = message[BODY + 1 : BODY + 5]
        self._readers.pop(identifier, None)
        if f"{relation.schema}.{relation.table}" == self._table:
            self._readers[identifier] = relation, pgoutput.row_reader(relation, COLUMNS, OPTIONAL)

    def _run(self, segment: Segment, relation_id: bytes) -> Run:
        """The run that takes the next inserts of a table."""
        if relation_id not in self._readers:
            raise Fault(
                "the publication sends rows of another table",
                code="HW-O004",
                detail=f"this source is {self._table} alone",
                hint="headwater apply",
            )
        relation, read = self._readers[relation_id]
        if not segment.runs or segment.runs[-1].relation is not relation:
            segment.runs.append(Run(read, [], relation))
        return segment.runs[-1]

    def _message(self, segment: Segment | None, message: bytes) -> None:
        """A logical message: of this source it is a row, any other is passed over."""
        logical = pgoutput.logical_message(message)
        if logical.prefix != self._prefix:
            return
        read = row_of if logical.transactional else row_outside
        if segment is None:
            # Written outside any transaction, it is sent when the log is read up to it: a transaction of its own.
            segment = self._opened(logical.lsn - 1, pgoutput.sent_at(message))
            if not self._skip:
                segment.runs.append(Run(read, [message]))
            self._close(segment, logical.lsn)
        elif self._skip:
            self._skip -= 1
            self.skipped += 1
        else:
            if not segment.runs or segment.runs[-1].read is not read:
                segment.runs.append(Run(read, []))
            segment.runs[-1].items.append(message)


def _unsettled(stamp: Stamp, tick: int) -> Instant | None:
    end = tick_end(stamp.value, tick)
    return end if stamp.marked < end else None
