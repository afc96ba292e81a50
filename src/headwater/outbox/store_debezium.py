"""The outbox as Debezium captures it: an `OutboxStore` over the capture topic, for the relay's encoding half.

What a replication slot is to the native lane, the relay's own position is here: an offset of the capture topic, kept
in the Kafka transaction of the rows. Nothing is acknowledged; the topic's retention forgets. The lease is the native
relay's, an advisory lock in the source's database, so that two relays of a source exclude each other over both lanes;
behind it the transactional id fences whoever lost it. `docs/concepts/debezium.md` says what follows from that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from headwater import naming
from headwater.errors import CallerFault, Fault, Unreachable
from headwater.outbox.capture import CaptureDecoder
from headwater.outbox.position import CAPTURE_SYSTEM, Position
from headwater.outbox.store import ServerIdentity, SlotState
from headwater.ports.protocol import Broker, Reader
from headwater.ports.record import Message, TopicPartition
from headwater.timeline.clock import Clock

PULSE_LEAST = 200_000  # microseconds between two pulses: each is a transaction of the database
SILENCE_LIMIT = 30_000_000  # a pulse comes back in milliseconds; a worker that was killed is back within seconds


class Companion(Protocol):
    """What the lane still asks of the source's database. An error of it is an `Unreachable` or a `CallerFault`."""

    def take_lease(self) -> bool:
        """Try to become the only relay of this source."""

    def keep_lease(self) -> None:
        """Say that this relay lives; raises `Unreachable` where the lease is gone."""

    def pulse(self) -> None:
        """Commit a transaction without rows: its end, with the server's time, comes back through the lane."""

    def published(self) -> bool:
        """Whether the lane's publication is there."""

    def close(self) -> None:
        """Let go of the lease."""


class DebeziumOutbox:
    """An `OutboxStore`: the capture topic of one outbox table, `schema.table`. `companion` connects to the database."""

    def __init__(
        self, broker: Broker, companion: Callable[[], Companion], *, source: str, table: str, clock: Clock
    ) -> None:
        self.broker = broker
        self.companion = companion
        self.source = source
        self.table = table
        self.clock = clock

    def session(self) -> DebeziumSession:
        """A new reader of the capture topic; it reads from where `resume` says."""
        return DebeziumSession(self)


class DebeziumSession:
    """One life of the lane: lease, reader, decoder. `resume` comes before `start`."""

    def __init__(self, outbox: DebeziumOutbox) -> None:
        self._outbox = outbox
        self._clock = outbox.clock
        self._place = TopicPartition(naming.capture_topic(outbox.source), 0)
        self._companion = outbox.companion()
        self._decoder = CaptureDecoder(table=outbox.table)
        self._reader: Reader | None = None
        self._from = 0
        self._kept_at = self._pulsed_at = self._clock.monotonic()
        self._waiting_since: int | None = None  # since when a pulse has had no answer

    def take_lease(self) -> bool:
        """The advisory lock of the source."""
        return self._companion.take_lease()

    def identify(self) -> ServerIdentity:
        """The capture topic, and where it ends."""
        broker, place = self._outbox.broker, self._place
        return ServerIdentity(CAPTURE_SYSTEM + broker.identity(place.topic), 0, broker.ends([place])[place])

    def slot(self) -> SlotState | None:
        """What of the capture topic is still there."""
        place = self._place
        if place.topic not in self._outbox.broker.describe([place.topic]):
            return None
        return SlotState(self._outbox.broker.starts([place])[place], active=True)

    def published(self) -> str:
        """The lane's publication."""
        return "debezium" if self._companion.published() else ""

    def resume(self, position: Position | None) -> Position:
        """The position to go on from; raises where the capture topic cannot give what follows it."""
        source, slot = self._outbox.source, self.slot()
        if slot is None or position is None or not self.published():
            part = "capture topic" if slot is None else "position" if position is None else "publication"
            raise CallerFault(
                f"{source}: the Debezium lane's {part} is missing",
                code="HW-O121",
                detail="the relay creates nothing",
                hint="headwater apply, then headwater connector deploy",
            )
        identity = self.identify()
        if position.lane != "debezium":
            raise CallerFault(
                f"{source}: what is published so far came by the native lane",
                code="HW-O124",
                detail="its position is one of the database's log, not of the capture topic",
                hint="headwater connector move says whether the source can change lanes now, and does it",
            )
        if identity.system_id != position.system_id or identity.written_lsn < position.end_lsn:
            raise Fault(
                f"{source}: the capture topic is another one than that which was published so far",
                code="HW-O122",
                detail="it was made anew, or lost its end; what it had and was not published is gone with it",
                hint="headwater relay repair fills the gap from the outbox table",
            )
        first = position.commit_lsn if position.partial else position.end_lsn
        if slot.confirmed_lsn > first:
            raise Fault(
                f"{source}: the capture topic begins at {slot.confirmed_lsn}, behind what is published ({first})",
                code="HW-O123",
                detail="its retention has removed rows that were not published",
                hint="headwater relay repair fills the gap from the outbox table; then raise the topic's retention.ms",
            )
        self._from = first
        return position

    def start(self) -> None:
        """Read from the position on."""
        self._reader = self._outbox.broker.reader({self._place: self._from})

    def read(self, limit: int, timeout: float) -> list[bytes]:
        """Messages as the replication stream has them. Keeps the lease, and says when the lane is silent."""
        assert self._reader is not None, "start comes first"
        polled = self._reader.poll(limit, timeout)
        now = self._clock.monotonic()
        if now - self._kept_at >= 1_000_000:
            self._companion.keep_lease()
            self._kept_at = now
        records = [record for record in polled if isinstance(record, Message)]
        if records:
            self._waiting_since = None
            return self._decoder.feed(records)
        if self._waiting_since is not None and now - self._waiting_since > SILENCE_LIMIT:
            raise Unreachable(
                f"{self._outbox.source}: nothing comes through the Debezium lane",
                code="HW-O126",
                detail=f"a transaction that was committed {SILENCE_LIMIT // 1_000_000} s ago has not been captured",
                hint="headwater connector status; nothing is lost: the replication slot keeps what was not captured",
            )
        return []

    def confirm(self, lsn: int) -> None:
        """Nothing: the position is in the Kafka transaction, and the capture topic forgets by its own retention."""

    def probe(self) -> None:
        """A transaction without rows; its end tells the server's time. Not before the last one was answered."""
        now = self._clock.monotonic()
        if self._waiting_since is None and now - self._pulsed_at >= PULSE_LEAST:
            self._companion.pulse()
            self._waiting_since = self._pulsed_at = now

    def heartbeat(self) -> None:
        """Debezium has its own. Raises `CallerFault` where the publication is gone meanwhile."""
        if not self.published():
            raise CallerFault(
                f"{self._outbox.source}: the Debezium lane's publication was dropped while the relay read",
                code="HW-O128",
                detail="rows committed since then were not captured",
                hint="headwater apply; then headwater relay repair",
            )

    def close(self) -> None:
        """Let go of reader and lease."""
        if self._reader is not None:
            self._reader.close()
        self._companion.close()
