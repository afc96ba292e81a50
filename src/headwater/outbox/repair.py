"""`relay repair`: a new slot, and what no stream will send any more published from the table, nothing twice.

The new slot hands out a snapshot of the very point it begins at: rows that the snapshot sees are filled from the table,
later ones come from the stream. What is on the broker already is found by row id, so a repair may be cut off anywhere
and begun again: only its last transaction writes a position that the relay takes.

Where the server keeps commit times (`track_commit_timestamp`), rows are published in the order of commits, with the
stamps they would have had. Where it does not, all rows of a repair have one recorded time, and lie by key and version:
with one time, no order between keys can be wrong, and no transaction is torn.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from headwater import naming
from headwater.errors import CallerFault, HeadwaterError, NotSupported
from headwater.hooks import Hooks
from headwater.outbox.accounted import accounted_ids, whole
from headwater.outbox.batching import Limits
from headwater.outbox.desk import Desk
from headwater.outbox.encode import Encoder, Target
from headwater.outbox.filling import filling_batches
from headwater.outbox.position import Position
from headwater.outbox.relay import Publisher
from headwater.outbox.segment import Batch
from headwater.outbox.source import OutboxSource, position_topic_of
from headwater.outbox.starting import check_source, read_position, targets_of
from headwater.outbox.store import (
    MendableSession,
    MendableStore,
    NewSlot,
    OutboxSession,
    Retained,
    ServerIdentity,
    SourceAdmin,
)
from headwater.ports.protocol import Broker, TransactionalSink
from headwater.schemas.registry import Registry
from headwater.timeline.clock import Clock
from headwater.timeline.instant import Instant
from headwater.timeline.recorded import Stamp

LEASE_PATIENCE, LEASE_AGAIN = 15_000_000, 100_000  # above `wal_sender_timeout`: a relay that was killed lets go by then
COMMIT_MARGIN = 600_000_000  # ten minutes: how far two commits may lie in the other order than their times
OPEN_MARGIN = 86_400_000_000  # a day: how long a transaction may stay open, where only its start is known
ORPHANS_SHOWN = 1_000


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair found and did. `trouble` is None where slot and position agree: then nothing was done."""

    source: str
    trouble: HeadwaterError | None
    missing: int = 0
    quarantined: int = 0
    dated: bool = True
    orphans: int = 0
    orphan_ids: list[str] = field(default_factory=list)
    unknown: tuple[int, int] | None = None  # rows committed between these were dropped from the table


@dataclass(frozen=True, slots=True)
class Repair:
    """Mends one source. `failpoint` is called at each named step."""

    source: OutboxSource
    store: MendableStore
    admin: SourceAdmin
    broker: Broker
    registry: Registry
    clock: Clock
    hooks: Hooks = field(default_factory=Hooks)
    failpoint: Callable[[str], None] = lambda name: None
    limits: Limits = field(default_factory=Limits)

    def run(self, *, dry: bool = False) -> RepairReport:
        """Mend it, or with `dry` only say what is to be mended. Raises `CallerFault` HW-O082 while a relay serves."""
        name = self.source.name
        if self.source.lane != "native" or self.source.captured:
            raise _not_native(name)
        with ExitStack() as held:
            session = self.store.session()
            held.callback(session.close)
            self._take_lease(session)
            sink = self.broker.sink(naming.relay_transactional_id(name))
            held.callback(sink.close)
            if not dry:
                self.broker.create_topic(position_topic_of(self.source))  # nothing happens where it is there
            targets = targets_of(self.source.products, name, self.broker, self.registry)
            if not dry:
                sink.open()
            position = read_position(self.broker, name)
            identity = session.identify()
            trouble = self._trouble(session, position)
            if trouble is None:
                return RepairReport(name, None)
            base = position or Position.start(identity.system_id, identity.timeline, 0)
            slot = NewSlot(0, "") if dry else self._renewed(session)
            retained = self.store.retained(slot.snapshot)
            held.callback(retained.close)
            window = _Window(base, identity, retained)
            if window.since is None and not whole(self.source.products, self.broker):
                raise _cannot_judge(name)
            retained.account(accounted_ids(self.source.products, self.broker, window.read_since))
            if dry:
                missing = sum(1 for _ in retained.missing(window.since, dated=window.dated))
                return self._report(trouble, window, retained, missing=missing)
            self.failpoint("repair.after_slot")
            heard = _Heard(self.hooks)
            publisher, position, missing = self._publisher(sink, targets, identity, heard), window.start, 0
            rows = retained.missing(window.since, dated=window.dated)
            for batch in filling_batches(
                rows, position, dated=window.dated, at=slot.consistent_lsn, limits=self.limits
            ):
                publisher.publish(batch)
                position, missing = batch.position, missing + batch.rows
            self.failpoint("repair.after_fill")
            made = Position(
                identity.system_id,
                identity.timeline,
                commit_lsn=0,  # nothing of the new slot is published
                end_lsn=slot.consistent_lsn,
                ordinal=0,
                stamp=Stamp(position.stamp.value, Instant(retained.taken_at), position.stamp.marked),
                publication=session.published(),
            )
            publisher.publish(Batch((), made, 0, None))
            self.hooks.announce("relay.repaired", source=name, rows=missing)
            return self._report(trouble, window, retained, missing=missing, quarantined=heard.quarantined)

    def _trouble(self, session: OutboxSession, position: Position | None) -> HeadwaterError | None:
        try:
            check_source(self.source.name, session, position)
        except HeadwaterError as error:
            if error.retriable:
                raise
            return error
        return None

    def _renewed(self, session: MendableSession) -> NewSlot:
        # The publication first: the stream has no row that was committed while there was none.
        if not session.published():
            self.admin.create_publication()
            self.failpoint("repair.after_publication")
        return session.renew_slot()

    def _publisher(
        self, sink: TransactionalSink, targets: list[Target], identity: ServerIdentity, heard: _Heard
    ) -> Publisher:
        return Publisher(
            source=self.source.name,
            sink=sink,
            encoder=Desk(
                Encoder(targets, source=self.source.name, system_id=identity.system_id),
                targets,
                self.broker,
                source=self.source.name,
                system_id=identity.system_id,
                limits=self.limits,
            ),
            progress={},
            ends={},  # a repair writes no marks: the relay's next are above all its stamps
            hooks=Hooks([heard]),
            failpoint=self.failpoint,
            clock=self.clock,
        )

    def _report(
        self, trouble: HeadwaterError, window: _Window, retained: Retained, *, missing: int, quarantined: int = 0
    ) -> RepairReport:
        dropped = retained.dropped_before
        orphans = (0, list[str]())
        if window.forked:
            since = 0 if dropped is None else dropped + OPEN_MARGIN
            orphans = retained.orphans(max(since, window.read_since or 0), ORPHANS_SHOWN)
        published = window.base.stamp.clock
        unknown = (published, dropped) if dropped is not None and 0 <= published < dropped else None
        return RepairReport(
            self.source.name, trouble, missing, quarantined, window.dated, orphans[0], orphans[1], unknown
        )

    def _take_lease(self, session: OutboxSession) -> None:
        left = LEASE_PATIENCE
        while not session.take_lease():
            if left <= 0:
                raise CallerFault(
                    f"{self.source.name}: a relay serves this source",
                    code="HW-O082",
                    detail="a repair takes its place, and two must not publish at once",
                    hint="stop it, then call again; a relay that found trouble has stopped by itself",
                )
            self.clock.sleep(LEASE_AGAIN)
            left -= LEASE_AGAIN


class _Window:
    """From when on rows may be missing. All that was committed before the position is published for sure."""

    def __init__(self, base: Position, identity: ServerIdentity, retained: Retained) -> None:
        self.base = base
        # On another cluster commit times are those of its restore: there everything is compared, by id alone.
        self.since: int | None = None
        self.read_since: int | None = None
        self.dated = False
        self.start = base
        self.forked = identity.system_id != base.system_id or identity.timeline != base.timeline
        if identity.system_id == base.system_id:
            published = base.stamp.clock
            self.dated = retained.dated(max(0, published - COMMIT_MARGIN - OPEN_MARGIN)) and not base.filling
            if published >= 0:
                self.since = published - COMMIT_MARGIN - (0 if self.dated else OPEN_MARGIN)
                self.read_since = self.since - COMMIT_MARGIN
        if not self.dated:
            # Begun before, or a transaction published in part: its rows have the stamp that the others have already.
            begun = base.filling or base.partial
            value = base.stamp.value if begun else base.stamp.next(retained.taken_at).value
            # The clock's reading stays: should this be cut off, the next repair looks at the same window.
            self.start = replace(base, stamp=Stamp(value, base.stamp.clock, base.stamp.marked), filling=True)


class _Heard:
    """Hears what the publisher says: passes it on, and counts."""

    def __init__(self, hooks: Hooks) -> None:
        self.quarantined = 0
        self._hooks = hooks

    def __call__(self, happening: str, fields: dict[str, object]) -> None:
        self.quarantined += happening == "relay.quarantined"
        self._hooks.announce(happening, **fields)


def _not_native(source: str) -> NotSupported:
    return NotSupported(
        f"{source}: a repair needs an outbox table that the relay itself reads",
        code="HW-O085",
        detail="with the Debezium lane Kafka Connect holds the slot; a captured table keeps no history to fill from",
        hint="headwater connector status for the lane; a captured table is loaded anew",
    )


def _cannot_judge(source: str) -> CallerFault:
    return CallerFault(
        f"{source}: which rows are published cannot be told any more",
        code="HW-O083",
        detail="the relay's position is gone or of another cluster, and the topics' retention has removed records: "
        "rows of the table that are not in them may have been published and removed",
        hint="restore the position topic from a backup, then call again",
    )
