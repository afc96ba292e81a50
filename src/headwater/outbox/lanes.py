"""From lane to lane: the same place in the database's log, as the one lane's position and as the other's.

The capture topic says of each transaction's end where its commit ends in the log. So a position of the one lane has an
exact counterpart in the other, as long as both have seen a common transaction: the new lane must have begun to keep
log at or before the place where the old one stands, and must have come past it.
"""

from __future__ import annotations

from dataclasses import replace

from headwater import naming
from headwater.errors import CallerFault, Unreachable
from headwater.outbox.behind import boundary, ended_before
from headwater.outbox.pgoutput import lsn_text
from headwater.outbox.position import CAPTURE_SYSTEM, Position
from headwater.outbox.source import OutboxSource, write_position
from headwater.outbox.starting import read_position
from headwater.outbox.store import SourceAdmin
from headwater.outbox.store_debezium import Companion
from headwater.ports.protocol import Broker
from headwater.ports.record import Message, TopicPartition
from headwater.timeline.clock import Clock

PATIENCE = 30_000_000  # a pulse comes through Debezium within a second
_PULSE_EVERY = 2_000_000
_POLL_RECORDS = 5_000


def move(
    source: OutboxSource, *, admin: SourceAdmin, companion: Companion, broker: Broker, clock: Clock
) -> Position | None:
    """Make the position that of the source's lane; None where it is already. `admin` is that of the new lane's slot.

    Raises `CallerFault` HW-O130 where something would be lost or repeated, with the way out.
    """
    # Both lanes' relays take this lease: with it in hand, the position stands still until it is written anew.
    if not companion.take_lease():
        raise _refused(source.name, "a relay serves it", "stop the relay, then try again")
    sink = broker.sink(naming.relay_transactional_id(source.name))
    try:
        sink.open()  # ends what a relay that was killed has left open
        position = read_position(broker, source.name)
    finally:
        sink.close()
    if position is None:
        raise _refused(source.name, "nothing is published yet", "headwater apply makes its first position")
    if position.lane == source.lane:
        return None
    if position.partial:
        raise _refused(source.name, "a large transaction is published in part", "try again when it is through")
    if source.lane == "debezium":
        moved = _captured(source.name, position, companion, broker, clock)
    else:
        moved = _native(source.name, position, admin, broker)
    write_position(source.name, moved, broker)
    return moved


def _captured(source: str, position: Position, companion: Companion, broker: Broker, clock: Clock) -> Position:
    """The first transaction in the capture topic that ends behind the position."""
    place = TopicPartition(naming.capture_topic(source), 0)
    reader = broker.reader({place: broker.starts([place])[place]})
    until, pulse_at = clock.monotonic() + PATIENCE, 0
    began, common = 0, False
    try:
        while clock.monotonic() < until:
            if clock.monotonic() >= pulse_at:
                companion.pulse()
                pulse_at = clock.monotonic() + _PULSE_EVERY
            for record in reader.poll(_POLL_RECORDS, 0.5):
                status, end_lsn = boundary(record) if isinstance(record, Message) else ("", 0)
                if status == "BEGIN":
                    began = record.offset
                elif status == "END" and end_lsn <= position.end_lsn:
                    common = True
                elif status == "END":
                    if not common:
                        raise _refused(
                            source,
                            f"the capture begins behind {lsn_text(position.end_lsn)}, where the native relay stands",
                            "let headwater relay --lane native run until it has come past it, then try again",
                        )
                    system = CAPTURE_SYSTEM + broker.identity(place.topic)
                    return replace(position, system_id=system, timeline=0, commit_lsn=0, end_lsn=began, ordinal=0)
    finally:
        reader.close()
    raise Unreachable(
        f"{source}: nothing comes through the Debezium lane",
        code="HW-O126",
        detail="a transaction that was committed just now has not been captured",
        hint="headwater connector status",
    )


def _native(source: str, position: Position, admin: SourceAdmin, broker: Broker) -> Position:
    """Where the last captured transaction that is published ends in the database's log."""
    place = TopicPartition(naming.capture_topic(source), 0)
    end_lsn = ended_before(broker, place, position.end_lsn)
    slot = admin.look().slot
    if slot is None:
        raise _refused(source, "the native lane's slot is missing", "headwater apply makes it")
    if not end_lsn or slot.confirmed_lsn > end_lsn:
        raise _refused(
            source,
            "the native slot begins behind what the Debezium lane has published",
            "let headwater relay --lane debezium run until it has come past it, then try again",
        )
    identity = admin.identify()
    # No commit record lies at the byte before its own end: so this is behind the last transaction, before the next.
    start = Position.start(identity.system_id, identity.timeline, end_lsn)
    return replace(start, commit_lsn=end_lsn - 1, stamp=position.stamp)


def _refused(source: str, why: str, hint: str) -> CallerFault:
    return CallerFault(
        f"{source}: the source cannot change lanes now",
        code="HW-O130",
        detail=why,
        hint=hint,
    )
