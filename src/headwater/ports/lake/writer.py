"""The writer of one table: reads what is committed in a product's topic, and puts it into the lake, each record once.

It has no memory of its own. Where it begins is what the table says; any doubt drops everything and begins anew from
there. `commit.py` decides what a commit does; rows and offsets become visible together.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from headwater.errors import HeadwaterError, Misfit
from headwater.hooks import Hooks
from headwater.mesh.products import ResolvedProduct
from headwater.ports.access import Access, DenyClassified
from headwater.ports.lake import refusals
from headwater.ports.lake.progress import Progress, Seen
from headwater.ports.lake.rows import LakeRows
from headwater.ports.lake.table import LakeTable, commit
from headwater.ports.marks import newest_marks
from headwater.ports.persistence import persist
from headwater.ports.progress import NOTHING, Settled
from headwater.ports.protocol import Broker
from headwater.ports.reading import places_of
from headwater.ports.record import EndOfPartition, Message, TopicPartition
from headwater.ports.serde import RecordReader
from headwater.schemas.registry import Registry
from headwater.timeline.clock import Clock
from headwater.timeline.instant import Instant

POLL_SECONDS = 0.2  # bounds how late a stop is noticed


@dataclass(frozen=True, slots=True)
class LakeOptions:
    """How often a writer commits, in seconds, and what it holds at most before, in bytes of columns.

    Where no record comes it still commits every `settle_seconds` how far the table is settled. `unreadable` is what it
    does at a value that cannot be decoded; `until_end` ends it where nothing more is committed in the topic.
    """

    commit_seconds: float = 60.0
    held_bytes: int = 64 * 1024 * 1024
    settle_seconds: float = 300.0
    unreadable: Literal["stop", "skip"] = "stop"
    until_end: bool = False
    at_once: int = 5_000  # records decoded at a time: as rows of Python they are the most that lies beside the columns


@dataclass(frozen=True, slots=True)
class Around:
    """What a writer stands among. `tick` is the mesh's; `access` says what may lie in files that all may read."""

    broker: Broker
    registry: Registry
    tick: int
    clock: Clock
    hooks: Hooks
    access: Access = field(default_factory=DenyClassified)
    failpoint: Callable[[str], None] = lambda name: None


class LakeWriter:
    """Fills one table. `run` returns where it is told to stop, and raises what waiting does not mend."""

    def __init__(self, product: ResolvedProduct, table: LakeTable, around: Around, options: LakeOptions) -> None:
        self._product, self._table, self._around, self._options = product, table, around, options
        self._topic = product.output.topic
        self._rows = LakeRows(product, around.access)
        self._reader = RecordReader(around.registry, subject=product.output.subject, schema=product.output.schema)
        self._moved = False  # since the last doubt

    def run(self, stopping: Callable[[], bool]) -> None:
        """Fill the table until `stopping` says so, or to the topic's end."""

        def waiting(error: HeadwaterError) -> None:
            hooks = self._around.hooks
            hooks.announce("lake.waiting", table=self._table.name, code=error.code, reason=error.message)

        persist(
            lambda: self._serve(stopping),
            stopping,
            clock=self._around.clock,
            moved=lambda: self._moved,
            waiting=waiting,
        )

    def _serve(self, stopping: Callable[[], bool]) -> None:
        self._moved = False
        missing = [name for name in self._rows.schema.names if name not in self._table.columns()]
        if missing:
            raise refusals.behind(self._table.name, f"{', '.join(missing)} is missing")
        filling = _Filling(self._product, self._around, self._table, self._table.look())
        with ExitStack() as held:
            reader = self._around.broker.reader(filling.start)
            held.callback(reader.close)
            due = self._due(self._options.commit_seconds)
            while not stopping():
                refused = self._take(reader.poll(self._options.at_once, POLL_SECONDS), filling)
                full = filling.bytes >= self._options.held_bytes or self._around.clock.monotonic() >= due
                done = self._options.until_end and not filling.left
                if full or done or refused is not None:
                    self._commit(filling, settle=done)
                    due = self._due(self._options.commit_seconds)
                if refused is not None:
                    raise refused
                if done:
                    return
            self._commit(filling)

    def _take(self, items: Iterable[Message | EndOfPartition], filling: _Filling) -> HeadwaterError | None:
        """What came; what stops the writer behind it, if anything."""
        taken: list[tuple[Message, Mapping[str, Any]]] = []
        refused: HeadwaterError | None = None
        stopped: set[int] = set()
        for item in items:
            if item.partition in stopped:
                continue
            if isinstance(item, EndOfPartition):
                filling.reached_end(item)
                continue
            try:
                record = self._reader.read(item.value)
            except Misfit as misfit:
                if self._options.unreadable == "stop":
                    place = f"{item.topic}, partition {item.partition}"
                    why = f"{misfit.message} [{misfit.code}]"
                    refused = refused or refusals.unreadable_record(self._table.name, place, item.offset, why)
                    stopped.add(item.partition)
                else:
                    filling.passed_over(item)
                continue
            filling.record(item, record["recorded_at"])
            taken.append((item, record))
        if taken:
            filling.add(self._rows.table(taken, filling.identity))
        return refused

    def _commit(self, filling: _Filling, *, settle: bool = False) -> None:
        """Make what was read visible, if there is any of it, or if it is time to say how far all is settled."""
        numbers = list(filling.offsets)
        filling.mark(newest_marks(self._around.broker, self._product, numbers))
        settling = filling.settles and (settle or self._around.clock.monotonic() >= filling.settle_due)
        if not filling.rows and not filling.unread and not settling:
            return
        started = self._around.clock.monotonic()
        failpoint = self._around.failpoint
        progress = filling.progress(uuid.uuid4().hex)
        rows = pa.concat_tables(filling.chunks or [self._rows.schema.empty_table()])
        failpoint("lake.before_files")
        files = self._table.write(rows, progress.commit)
        failpoint("lake.before_commit")
        seen = commit(self._table, filling.seen, files, progress)
        failpoint("lake.after_commit")
        filling.committed(seen, self._due(self._options.settle_seconds))
        self._moved = True
        self._around.hooks.announce(
            "lake.committed",
            table=self._table.name,
            records=files.rows,
            files=len(files.paths),
            unreadable=progress.unreadable,
            seconds=(self._around.clock.monotonic() - started) / 1e6,
        )

    def _due(self, seconds: float) -> int:
        return self._around.clock.monotonic() + int(seconds * 1e6)


class _Filling:
    """What a writer has read beyond what the table holds, and how far that is settled."""

    def __init__(self, product: ResolvedProduct, around: Around, table: LakeTable, seen: Seen) -> None:
        topic, broker = product.output.topic, around.broker
        places = places_of(broker, topic)
        self.seen, self._topic, self.identity = seen, topic, broker.identity(topic)
        if seen.head and seen.progress is None:
            raise refusals.without_progress(table.name)
        before = seen.progress
        if before is not None and before.identity != self.identity:
            raise refusals.made_anew(table.name, topic)
        starts, ends = broker.starts(places), broker.ends(places)
        reached = dict(before.offsets) if before is not None else {}
        through = dict(before.through) if before is not None else {}
        self.start: dict[TopicPartition, int] = {}
        for place in places:
            offset, said = reached.get(place.partition, 0), f"{topic}, partition {place.partition}"
            if offset > ends[place]:
                raise refusals.beyond(table.name, said, offset, ends[place])
            if offset < starts[place] and place.partition in reached:
                raise refusals.removed(table.name, said, starts[place] - offset)
            self.start[place] = max(offset, starts[place])
        self.offsets = {place.partition: offset for place, offset in self.start.items()}
        self._settled = {number: Settled(around.tick, position=offset) for number, offset in self.offsets.items()}
        for number, one in self._settled.items():
            one.through = through.get(number, NOTHING)
        self.left = set(self.offsets)
        self._epoch = (before.epoch if before is not None else 0) + 1
        self._unreadable = before.unreadable if before is not None else 0
        self.chunks: list[pa.Table] = []
        self.bytes = self.rows = self.unread = 0
        self.settle_due = 0

    def record(self, message: Message, recorded_at: int) -> None:
        self.offsets[message.partition] = message.offset + 1
        self._settled[message.partition].record(offset=message.offset, recorded_at=recorded_at)

    def passed_over(self, message: Message) -> None:
        self.offsets[message.partition] = message.offset + 1
        self._settled[message.partition].reached(message.offset + 1)
        self.unread += 1

    def reached_end(self, end: EndOfPartition) -> None:
        self.offsets[end.partition] = max(self.offsets[end.partition], end.offset)
        self._settled[end.partition].reached(end.offset)
        self.left.discard(end.partition)

    def mark(self, marks: Mapping[int, tuple[Instant, int]]) -> None:
        for partition, (through, offset) in marks.items():
            self._settled[partition].mark(through=through, offset=offset)

    def add(self, rows: pa.Table) -> None:
        self.chunks.append(rows)
        self.rows += rows.num_rows
        self.bytes += rows.nbytes

    @property
    def settles(self) -> bool:
        """Whether more is settled than the table says."""
        before = self.seen.progress
        return min(self._through().values()) > (before.settled_to if before is not None else NOTHING)

    def progress(self, commit_id: str) -> Progress:
        unreadable = self._unreadable + self.unread
        return Progress(
            self._topic, self.identity, dict(self.offsets), self._through(), commit_id, self._epoch, unreadable
        )

    def committed(self, seen: Seen, settle_due: int) -> None:
        self.seen, self.settle_due = seen, settle_due
        self._unreadable += self.unread
        self.chunks, self.bytes, self.rows, self.unread = [], 0, 0, 0

    def _through(self) -> dict[int, Instant]:
        return {number: one.through for number, one in self._settled.items()}
