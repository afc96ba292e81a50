"""The relay: read, encode, publish records and position in one transaction, and only then acknowledge.

Crash-only, also inside the process: a batch's transaction returned cleanly, or session and sink are dropped and built
again from what the broker holds. There is no rewind by hand, so there is no rewind that can be wrong.

Start order: lease, fence the predecessor, read the position to the high watermark, look at the slot, stream. The
position read before the fence could still be moved by a predecessor's open transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headwater import naming
from headwater.errors import HeadwaterError, Unreachable
from headwater.hooks import Hooks
from headwater.outbox.batching import Assembler, Limits
from headwater.outbox.desk import Desk
from headwater.outbox.encode import Encoded, Encoder, Target
from headwater.outbox.fences import Fences
from headwater.outbox.position import Position, encode_position
from headwater.outbox.refusals import refused
from headwater.outbox.segment import Batch
from headwater.outbox.source import OutboxSource
from headwater.outbox.starting import check_source, read_position, targets_of
from headwater.outbox.store import OutboxSession, OutboxStore
from headwater.ports.progress import encode_mark, mark_key
from headwater.ports.protocol import Broker, TransactionalSink
from headwater.ports.record import TopicPartition
from headwater.schemas.registry import Finder
from headwater.timeline.clock import Clock
from headwater.timeline.instant import Instant
from headwater.timeline.tick import TICK_DEFAULT

if TYPE_CHECKING:
    from headwater.outbox.capturing import Capturing, Serving

CLOSE_AFTER = 100_000  # microseconds after which a batch is published though the stream goes on
CATCHING_UP = 1_000_000  # a relay that is so far behind takes large batches: nobody waits for one row of them
CLOSE_BEHIND = 500_000  # then a batch is published after so long, and
LINGER = 20_000  # only once nothing has come for a while: the server sends in fits
BREATH, FEW = 6_000, 2_000  # and where a read brings few messages, the next one waits: each read costs the same
IDLE_WAIT = 50_000  # how long a read waits for the first message; bounds how late a stop is noticed
PROBE_EVERY = 1_000_000  # while idle: the server's time, for the mark of each second
PROBE_AGAIN = 10_000  # the server's clock had not reached the end of the tick
HEARTBEAT_EVERY = 10_000_000  # as Debezium's recommended heartbeat: `docs/concepts/relay.md`
SENT_AT_ONCE = 200  # records, between two looks at the failpoint
BACKOFF_FIRST, BACKOFF_LAST = 100_000, 5_000_000
FRUITLESS_LIMIT = 20  # attempts in a row that published nothing and failed for a reason that waiting may not mend
_FENCED = "HW-R003"


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """What may be set: tick, size of batches, the clock skew that is believed of a database, and how to capture.

    `release` bounds the rows of parked keys that go out with one batch.
    """

    tick: int = TICK_DEFAULT
    limits: Limits = field(default_factory=Limits)
    release: Limits = field(default_factory=Limits)
    read_limit: int = 4_000  # messages taken from the stream at once
    skew_limit: int = 60_000_000  # microseconds; beyond it one wrong clock would hold back the source until then
    capturing: Capturing | None = None  # where the table is no outbox, but a service's own


class Relay:
    """Serves one source. `failpoint` is called at each named step (`docs/concepts/relay.md`)."""

    def __init__(
        self,
        source: OutboxSource,
        store: OutboxStore,
        broker: Broker,
        registry: Finder,
        *,
        clock: Clock,
        hooks: Hooks | None = None,
        failpoint: Callable[[str], None] = lambda name: None,
        options: RelayOptions | None = None,
    ) -> None:
        self.source = source
        self._store = store
        self._broker = broker
        self._registry = registry
        self._clock = clock
        self._hooks = hooks or Hooks()
        self._failpoint = failpoint
        self._options = options or RelayOptions()
        self._published = False  # since the last doubt
        self._fences = Fences(source.name, clock)

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source.name

    def run(self, stopping: Callable[[], bool]) -> None:
        """Serve until `stopping` says so. Raises what waiting cannot mend: a part that is missing, a lost slot."""
        backoff, fruitless = BACKOFF_FIRST, 0
        while not stopping():
            self._published = False
            try:
                self.serve(stopping)
                return
            except HeadwaterError as raised:
                error = refused(raised)
                fruitless = 0 if self._published else fruitless + 1
                backoff = BACKOFF_FIRST if self._published else min(backoff * 2, BACKOFF_LAST)
                if error.code == _FENCED:
                    self._fences.note()
                if not self._mends_itself(error, fruitless):
                    raise error from None
                self._hooks.announce("relay.waiting", source=self.source.name, code=error.code, reason=error.message)
            self._wait(backoff, stopping)

    def serve(self, stopping: Callable[[], bool]) -> None:
        """One life: from the lease to the first doubt, which it raises."""
        with ExitStack() as held:
            session = self._store.session()
            held.callback(session.close)
            if not self._leased(session, stopping):
                return
            sink = self._broker.sink(naming.relay_transactional_id(self.source.name))
            held.callback(sink.close)
            targets = targets_of(self.source.products, self.source.name, self._broker, self._registry)
            sink.open()
            position = read_position(self._broker, self.source.name)
            position = check_source(self.source.name, session, position)
            publisher = self._publisher(sink, targets, position)
            if self._options.capturing is not None:
                session, position = self._options.capturing.begin(session, position, self._lent(publisher), stopping)
            publisher.confirm = session.confirm
            written_lsn = session.identify().written_lsn
            session.start()
            self._hooks.announce("relay.started", source=self.source.name)
            assembler = Assembler(
                position,
                table=self.source.table,
                tick=self._options.tick,
                limits=self._options.limits,
                written_lsn=written_lsn,
            )
            self._stream(session, publisher, assembler, stopping)

    def _lent(self, publisher: Publisher) -> Serving:
        from headwater.outbox.capturing import Serving  # few sources are captured: the others start without

        def publish(batch: Batch) -> None:
            self._believed(batch)
            publisher.publish(batch)
            self._published = True

        options = self._options
        return Serving(publish, options.tick, self._clock, self._hooks, self._failpoint, options.limits)

    def _publisher(self, sink: TransactionalSink, targets: list[Target], position: Position) -> Publisher:
        places = [
            TopicPartition(target.product.output.topic, partition)
            for target in targets
            for partition in range(target.partitions)
        ]
        return Publisher(
            source=self.source.name,
            sink=sink,
            encoder=Desk(
                Encoder(targets, source=self.source.name, system_id=position.system_id),
                targets,
                self._broker,
                source=self.source.name,
                system_id=position.system_id,
                limits=self._options.release,
            ),
            progress={
                target.product.output.topic: naming.progress_topic(target.product.name, target.product.major)
                for target in targets
            },
            ends=dict(self._broker.ends(places)),
            hooks=self._hooks,
            failpoint=self._failpoint,
            clock=self._clock,
        )

    def _stream(
        self, session: OutboxSession, publisher: Publisher, assembler: Assembler, stopping: Callable[[], bool]
    ) -> None:
        options, clock = self._options, self._clock
        now: int = clock.monotonic()
        opened_at, close_at, probe_at, heartbeat_at, skipped = now, now, now, now + HEARTBEAT_EVERY, 0
        while not stopping():
            waited = assembler.pending
            patience = max(0, min(IDLE_WAIT, probe_at - now))
            if waited:
                patience = LINGER if assembler.behind > CATCHING_UP else 0
            messages = session.read(options.read_limit, patience / 1_000_000)
            now = clock.monotonic()
            if messages:
                assembler.feed(messages)
                catching_up = assembler.behind > CATCHING_UP
                if not waited:
                    opened_at = now
                close_at = opened_at + (CLOSE_BEHIND if catching_up else CLOSE_AFTER)
                if catching_up and len(messages) < FEW:
                    clock.sleep(BREATH)
            if assembler.skipped > skipped:
                self._hooks.announce("relay.skipped", source=self.source.name, rows=assembler.skipped - skipped)
                skipped = assembler.skipped
            batch = None
            if assembler.full or (assembler.pending and (not messages or now >= close_at)):
                batch = assembler.take()
            elif not assembler.pending:
                batch = assembler.extra_batch() if publisher.encoder.backlog else assembler.idle_batch()
            if batch is not None:
                self._believed(batch)
                publisher.publish(batch)
                self._published = True
                now = clock.monotonic()
                probe_at = now + self._probe_after(assembler, batch)
            elif now >= probe_at:
                session.probe()
                probe_at = now + (PROBE_AGAIN if assembler.settles_at is not None else PROBE_EVERY)
            if now >= heartbeat_at:
                session.heartbeat()
                heartbeat_at = now + HEARTBEAT_EVERY

    def _probe_after(self, assembler: Assembler, batch: Batch) -> int:
        # When the tick of the last record will have passed at the source, ask for its time: a mark can then settle it.
        if assembler.settles_at is None:
            return PROBE_EVERY
        return max(1_000, min(self._options.tick, assembler.settles_at - batch.position.stamp.clock + 1_000))

    def _believed(self, batch: Batch) -> None:
        # Rows are not stamped with a time that is not yet: one stamp from next year would hold the source until then.
        ahead = batch.position.stamp.clock - self._clock.now()
        if ahead > self._options.skew_limit:
            raise Unreachable(
                f"{self.source.name}: the database's clock is {ahead // 1_000_000} s ahead of the relay's",
                code="HW-O018",
                detail="rows committed by it wait; nothing is lost",
                hint="set the clocks right",
            )

    def _leased(self, session: OutboxSession, stopping: Callable[[], bool]) -> bool:
        said = False
        while not session.take_lease():
            if stopping():
                return False
            if not said:
                self._hooks.announce(
                    "relay.waiting",
                    source=self.source.name,
                    code="HW-O019",
                    reason="another relay serves this source; this one stands by",
                )
                said = True
            self._wait(BACKOFF_FIRST, stopping)
        return True

    def _mends_itself(self, error: HeadwaterError, fruitless: int) -> bool:
        if error.retriable or error.code == _FENCED:
            return True
        # The broker's doubts come with the letter R: rebuilt from what it holds, unless that never gets anywhere.
        return error.code.startswith(("HW-R007", "HW-R009")) and fruitless < FRUITLESS_LIMIT

    def _wait(self, duration: int, stopping: Callable[[], bool]) -> None:
        while duration > 0 and not stopping():
            self._clock.sleep(min(duration, IDLE_WAIT))
            duration -= IDLE_WAIT


@dataclass(slots=True)
class Publisher:
    """Publishes batches: one Kafka transaction each, then the feedback. `ends` are the next offsets of the topics.

    Until `confirm` is that of a session that streams, nothing is acknowledged: the slot keeps all that comes meanwhile.
    """

    source: str
    sink: TransactionalSink
    encoder: Desk
    progress: dict[str, str]
    ends: dict[TopicPartition, int]
    hooks: Hooks
    failpoint: Callable[[str], None]
    clock: Clock
    confirm: Callable[[int], None] = lambda lsn: None
    owed: Instant | None = None  # the mark of the last batch's records, which goes with the next batch

    def publish(self, batch: Batch) -> None:
        """One batch. An error leaves everything in doubt: drop session and sink."""
        sink, failpoint, position = self.sink, self.failpoint, batch.position
        started = self.clock.monotonic()
        encoded = self.encoder.encode(batch)
        stamp_ms = max(0, position.stamp.value // 1_000)
        failpoint("relay.before_begin")
        sink.begin()
        # The position first: should a stale end of transaction strike now, it takes the position with it.
        topic, key = naming.position_topic(self.source), self.source.encode()
        sink.send(topic, key, encode_position(position), timestamp=stamp_ms, partition=0)
        failpoint("relay.after_position")
        records, marked = encoded.records, batch.marked if encoded.records else None
        through = batch.marked if batch.marked is not None and not records else self.owed
        if through is not None:
            self._mark(through)
        records.reverse()  # from the end they are let go of as they are sent, while they are in the processor's cache
        while records:
            some = records[: -SENT_AT_ONCE - 1 : -1]
            del records[-SENT_AT_ONCE:]
            sink.send_many(some)
            failpoint("relay.after_send")
        for place, end in sink.flush().items():
            if place in self.ends:
                self.ends[place] = end
        # Only now is it known where the mark of these records stands. Sent now, it would be a second turn to the
        # broker, a third of the time to commit on a busy one. What comes next brings it: more rows, or quiet.
        self.owed = marked
        failpoint("relay.in_commit")
        sink.commit()
        failpoint("relay.after_commit")
        self.confirm(position.end_lsn)
        failpoint("relay.after_feedback")
        self._announce(batch, encoded, started)

    def _mark(self, through: int) -> None:
        for place, end in self.ends.items():
            topic, key, value = self.progress[place.topic], mark_key(place.partition), encode_mark(through, end)
            self.sink.send(topic, key, value, timestamp=through // 1_000, partition=place.partition)

    def _announce(self, batch: Batch, encoded: Encoded, started: int) -> None:
        for product, code in encoded.misfits:
            self.hooks.announce("relay.quarantined", product=product, code=code)
        self.encoder.announce(self.hooks)
        if batch.rows:
            self.hooks.announce(
                "relay.committed",
                source=self.source,
                records=batch.rows,
                columnar=encoded.columnar,
                transactions=len(batch.segments),
                recorded_at=batch.position.stamp.value,
                seconds=(self.clock.monotonic() - started) / 1_000_000,
            )
