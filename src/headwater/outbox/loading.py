"""The initial load: the rows that are there already, in chunks with progress in the position; then the stream.

Each chunk is one Kafka transaction with the position that says how far the load is, so a crash repeats nothing: the
rest is read under a new snapshot, as of a later point of the log. What the stream sends of rows that a snapshot holds
is left out by `capture_session.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from headwater.hooks import Hooks
from headwater.outbox import pgoutput_write
from headwater.outbox.batching import Assembler, Limits
from headwater.outbox.capture_session import RELATION_ID, outbox_relation
from headwater.outbox.capture_store import CaptureStore, TableSnapshot
from headwater.outbox.load_state import CaptureState, LoadState
from headwater.outbox.mapper import Mapper, Place
from headwater.outbox.pgoutput import Begin, Commit, Row
from headwater.outbox.pgoutput_changes import Cells, RowChange
from headwater.outbox.position import Position
from headwater.outbox.segment import Batch
from headwater.timeline.clock import Clock

CHUNK = Limits(rows=5_000, bytes=4 * 1024 * 1024)  # about: bounds memory, and how long a reader waits for a chunk
FIRST_ROWS = 100  # until it is known how large the rows are
_WHOLE = Limits(rows=1 << 40, bytes=1 << 50)  # a chunk is one batch, however much its mapping makes of it


@dataclass(frozen=True, slots=True)
class Loading:
    """Loads one table. `publish` publishes a batch, in one transaction with its position."""

    source: str
    table: str
    store: CaptureStore
    publish: Callable[[Batch], None]
    tick: int
    clock: Clock
    hooks: Hooks
    failpoint: Callable[[str], None] = lambda name: None
    limits: Limits = CHUNK

    def load(self, mapper: Mapper, key: Sequence[str], position: Position, stopping: Callable[[], bool]) -> Position:
        """Publish the rows that are missing of one product; the position after the last chunk that was published."""
        topic = mapper.product.output.topic
        capture = position.capture or CaptureState()
        state, began, count = capture.of(topic), self.clock.monotonic(), 0
        with self.store.snapshot(state.until) as snapshot:
            self.failpoint("load.after_snapshot")
            places = [snapshot.table.columns.index(name) for name in key]
            limit = min(FIRST_ROWS, self.limits.rows)
            while not state.done and not stopping():
                rows = snapshot.rows(limit)
                # A short chunk may be the last or not: only an empty one says that there are no more.
                until = _texts(rows[-1], places) if rows else None
                state = state.extended(until, snapshot.point)
                batch = self._batch(mapper, snapshot, rows, position, count)
                written = capture.with_load(topic, state)
                position = replace(position, stamp=batch.position.stamp, taken=batch.position.taken, capture=written)
                self.failpoint("load.before_publish")
                self.publish(replace(batch, position=position))
                self.failpoint("load.after_publish")
                count += len(rows)
                limit = _next_limit(rows, limit, self.limits)
                seconds = (self.clock.monotonic() - began) / 1_000_000
                self.hooks.announce(
                    "relay.loaded",
                    source=self.source,
                    product=str(mapper.product.name),
                    rows=len(rows),
                    total=count,
                    rate=int(count / max(seconds, 0.001)),
                    done=state.done,
                )
        return position

    def _batch(
        self, mapper: Mapper, snapshot: TableSnapshot, rows: Sequence[Cells], position: Position, before: int
    ) -> Batch:
        """A chunk as a batch: stamped as if it were a transaction that is committed now, at the snapshot's point."""
        moment, point = snapshot.now(), snapshot.point
        outgoing: list[Row] = []
        for at, cells in enumerate(rows):
            change = RowChange(snapshot.table, "snapshot", None, cells)
            place = Place(point, moment, before + at)
            outgoing += mapper.rows(change, place, position.taken + len(outgoing))
        if not outgoing:
            return Batch((), position, 0, None)
        # Only the stamp and the count of the position it makes are used: the log's part stays where it is.
        assembler = Assembler(
            replace(position, commit_lsn=0, ordinal=0), table=self.table, tick=self.tick, limits=_WHOLE
        )
        bodies = [
            pgoutput_write.begin(Begin(point, moment)),
            outbox_relation(self.table),
            *(pgoutput_write.insert(RELATION_ID, row) for row in outgoing),
            pgoutput_write.commit(Commit(point, point)),
        ]
        assembler.feed([pgoutput_write.data(body, lsn=point, sent_at=int(moment)) for body in bodies])
        batch = assembler.take()
        assert batch is not None, "a whole transaction with rows is a batch"
        return batch


def pending(mappers: Sequence[Mapper], capture: CaptureState) -> list[Mapper]:
    """The products whose rows are not all published."""
    return [mapper for mapper in mappers if not capture.of(mapper.product.output.topic).done]


def begun(mappers: Sequence[Mapper], position: Position, mappings: Mapping[str, str]) -> CaptureState:
    """The state to go on from: of these products alone, without what no longer matters, under these mappings.

    Of a product that left the table and came back nobody knows what it missed: its rows are loaded anew. One that wants
    no existing rows is done from the first.
    """
    before = position.capture or CaptureState()
    loads = {}
    for mapper in mappers:
        topic, captured = mapper.product.output.topic, mapper.product.product.capture
        skip = captured is not None and captured.existing_rows == "skip"
        state = before.loads.get(topic, LoadState((), done=skip))
        loads[topic] = state.forgotten(position.commit_lsn)
    return CaptureState(loads, mappings)


def _texts(cells: Cells, places: Sequence[int]) -> tuple[str, ...]:
    texts = []
    for place in places:
        cell = cells[place]
        assert isinstance(cell, bytes), "a primary key has no nulls"
        texts.append(cell.decode())
    return tuple(texts)


def _next_limit(rows: Sequence[Cells], limit: int, limits: Limits) -> int:
    size = sum(len(cell) for cells in rows for cell in cells if isinstance(cell, bytes))
    return max(1, min(limits.rows, limit * 4, limits.bytes * len(rows) // max(1, size))) if rows else limit
