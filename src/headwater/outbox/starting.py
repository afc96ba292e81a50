"""What must hold before a relay reads: topics, subjects, position and slot are there and agree. It creates nothing."""

from __future__ import annotations

from collections.abc import Sequence

from headwater import naming
from headwater.errors import CallerFault, Fault
from headwater.mesh.products import ResolvedProduct
from headwater.outbox.encode import Target
from headwater.outbox.pgoutput import lsn_text
from headwater.outbox.position import Position, decode_position
from headwater.outbox.store import OutboxSession, Resuming, ServerIdentity, SlotState
from headwater.ports.protocol import Broker
from headwater.ports.reading import read_to_end
from headwater.ports.record import Message, TopicPartition
from headwater.schemas.registry import Finder

_TAIL = 1_000  # offsets at the end that are read first: nearly always the newest position is among them


def read_position(broker: Broker, source: str) -> Position | None:
    """The newest committed position of a source, read to the high watermark; None where there is none.

    Only after the predecessor is fenced: before, its open transaction may still move the position.
    """
    place = TopicPartition(naming.position_topic(source), 0)
    first, end = broker.starts([place])[place], broker.ends([place])[place]
    tail = max(first, end - _TAIL)
    newest = _last_message(broker, place, tail, end)
    if newest is None and tail > first:
        newest = _last_message(broker, place, first, end)
    return None if newest is None or newest.value is None else decode_position(newest.value)


def targets_of(products: Sequence[ResolvedProduct], source: str, broker: Broker, registry: Finder) -> list[Target]:
    """Where each product's rows go; raises `CallerFault` HW-O010 or HW-O011 where a topic or a subject is missing."""
    needed = [naming.position_topic(source)]
    for product in products:
        needed += topics_of(product)
    there = broker.describe(needed)
    missing = [name for name in needed if name not in there]
    if missing:
        raise CallerFault(
            f"{source}: {len(missing)} of the relay's topics do not exist, {missing[0]} among them",
            code="HW-O010",
            detail="the relay creates nothing; a topic that its principal may not see looks the same to it",
            hint="headwater apply",
        )
    return [_target(product, there[product.output.topic].partitions, registry) for product in products]


def topics_of(product: ResolvedProduct) -> list[str]:
    """The topics that the relay writes for a product."""
    name, major = product.name, product.major
    topics = [product.output.topic, naming.progress_topic(name, major), naming.quarantine_topic(name, major)]
    if "current" in product.output.output.ports:
        topics.append(naming.current_topic(name, major))
    return topics


def check_source(source: str, session: OutboxSession, position: Position | None) -> Position:
    """As `check_slot`, asking the database; a publication that is missing or was made anew is refused too."""
    if isinstance(session, Resuming):
        return session.resume(position)
    if position is not None and position.lane != "native":
        raise CallerFault(
            f"{source}: what is published so far came by the Debezium lane",
            code="HW-O125",
            detail="its position is one of the capture topic, not of the database's log",
            hint="headwater connector move says whether the source can change lanes now, and does it",
        )
    publication = session.published()
    if position is None:
        raise _missing(source, "position")
    position = check_slot(source, session.identify(), session.slot(), position)
    if not publication or position.publication not in ("", publication):
        raise publication_gone(source, anew=bool(publication))
    return position.of_publication(publication)


def check_slot(source: str, identity: ServerIdentity, slot: SlotState | None, position: Position) -> Position:
    """The position to go on from, with the timeline that answers now; raises where slot and position do not agree."""
    if slot is None:
        raise slot_gone(source)
    if slot.lost:
        raise slot_lost(source, slot.lost)
    if identity.system_id != position.system_id:
        raise Fault(
            f"{source}: another database cluster answers than the one that was published so far",
            code="HW-O014",
            detail="log positions of two clusters cannot be compared",
            hint="point the mesh at the old cluster; if this one holds its outbox table: headwater relay repair",
        )
    if slot.confirmed_lsn > position.end_lsn:
        raise Fault(
            f"{source}: the slot is at {lsn_text(slot.confirmed_lsn)}, ahead of what is published",
            code="HW-O015",
            detail=f"rows between {lsn_text(position.end_lsn)} and there would be lost silently",
            hint="headwater relay repair; somebody else has read, advanced or made anew the slot",
        )
    if identity.timeline != position.timeline and identity.left(position.timeline) < position.end_lsn:
        raise Fault(
            f"{source}: after a fail-over the database lacks rows that are published",
            code="HW-O016",
            detail=f"it left the old timeline at {lsn_text(identity.left(position.timeline))}, "
            f"published is {lsn_text(position.end_lsn)}",
            hint="headwater relay repair, which lists them; use fail-over slots with synchronized standbys",
        )
    return position.on_timeline(identity.timeline)


def slot_gone(source: str) -> Fault:
    """Dropped, or the database was restored without it."""
    return Fault(
        f"{source}: the replication slot is gone",
        code="HW-O080",
        detail="it was dropped, or the database was restored without it; rows committed since may be unpublished",
        hint="headwater relay repair",
    )


def slot_lost(source: str, why: str) -> Fault:
    """Invalidated by the server."""
    return Fault(
        f"{source}: the replication slot is lost ({why})",
        code="HW-O013",
        detail="the server has removed log that was not published",
        hint="headwater relay repair; then look at max_slot_wal_keep_size",
    )


def publication_gone(source: str, *, anew: bool) -> Fault:
    """Rows that were committed without it are never sent."""
    return Fault(
        f"{source}: the publication {'was made anew' if anew else 'is gone'}",
        code="HW-O081",
        detail="rows committed while there was none are not in the stream",
        hint="headwater relay repair",
    )


def publication_dropped(publication: str) -> Fault:
    """Seen by a relay that reads."""
    return Fault(
        f"the publication {publication} was dropped while the relay read",
        code="HW-O037",
        detail="rows committed while there was none were not sent",
        hint="headwater relay repair",
    )


def _missing(source: str, part: str) -> CallerFault:
    return CallerFault(
        f"{source}: the relay's {part} is missing",
        code="HW-O012",
        detail="the relay creates nothing",
        hint="headwater apply",
    )


def _target(product: ResolvedProduct, partitions: int, registry: Finder) -> Target:
    registered = registry.find(product.output.subject, product.output.schema)
    if registered is None:
        raise CallerFault(
            f"the schema of {product.name} is not registered under {product.output.subject}",
            code="HW-O011",
            detail="the relay registers nothing",
            hint="headwater apply",
        )
    return Target(product, registered.id, partitions)


def _last_message(broker: Broker, place: TopicPartition, start: int, end: int) -> Message | None:
    newest: Message | None = None
    for item in read_to_end(broker, {place: start}, {place: end}):
        newest = item if isinstance(item, Message) else newest
    return newest
