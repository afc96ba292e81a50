"""An outbox source: one outbox table of one database, with the products whose rows it carries; and how one is made.

Only `apply` makes the parts; the relay creates nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from headwater import naming
from headwater.contracts.product import Lane
from headwater.errors import CallerFault, Fault
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.outbox.capture_store import TableAdmin
from headwater.outbox.position import CAPTURE_SYSTEM, Position, encode_position
from headwater.outbox.starting import read_position
from headwater.outbox.store import SourceAdmin, SourceParts
from headwater.outbox.validation import validation_of
from headwater.ports.protocol import Broker
from headwater.ports.record import TopicDescription, TopicPartition

# One key in one partition: a small segment lets the cleaner keep a restart's read short.
POSITION_TOPIC_SETTINGS = {
    "cleanup.policy": "compact",
    "segment.bytes": "16777216",
    "segment.ms": "3600000",
    "min.cleanable.dirty.ratio": "0.1",
}


@dataclass(frozen=True, slots=True)
class OutboxSource:
    """One table, `schema.table`, of one of the mesh's databases: an outbox, or a service's own that is captured."""

    database: str
    table: str
    products: tuple[ResolvedProduct, ...]
    lane: Lane = "native"
    captured: bool = False

    @property
    def name(self) -> str:
        """As it stands in names and messages."""
        return naming.source(self.database, self.table)

    @property
    def slot(self) -> str:
        """The replication slot of its lane; the publication has the same name."""
        native = self.lane == "native"
        return naming.slot(self.database, self.table) if native else naming.capture_slot(self.database, self.table)


def sources_of(mesh: Mesh) -> tuple[OutboxSource, ...]:
    """All sources of a mesh, in order of name."""
    found: dict[tuple[str, str, bool], list[ResolvedProduct]] = {}
    for product in mesh.products.values():
        origin = product.product.outbox or product.product.capture
        if origin is not None:
            captured = product.product.capture is not None
            found.setdefault((origin.database, qualified(origin.table), captured), []).append(product)
    return tuple(
        OutboxSource(
            database,
            table,
            tuple(sorted(products, key=lambda product: product.name)),
            "native" if captured else _lane(products),
            captured,
        )
        for (database, table, captured), products in sorted(found.items())
    )


def _lane(products: Sequence[ResolvedProduct]) -> Lane:
    lanes: set[Lane] = {product.product.outbox.lane for product in products if product.product.outbox is not None}
    assert len(lanes) == 1, "a mesh whose files are in order says one lane for each table"
    return lanes.pop()


def chosen_sources(mesh: Mesh, wanted: Sequence[str]) -> list[OutboxSource]:
    """Those that are named, by source or database; all where none is named. `CallerFault` HW-O050 where none is."""
    sources = sources_of(mesh)
    chosen = [source for source in sources if not wanted or source.name in wanted or source.database in wanted]
    if not chosen:
        known = ", ".join(source.name for source in sources) or "none"
        raise CallerFault(
            f"the mesh has no outbox {', '.join(wanted)}" if wanted else "no product of the mesh has an outbox",
            code="HW-O050",
            detail=f"it has: {known}",
            hint="name one of them, or leave --source out",
        )
    return chosen


def address_of(databases: Mapping[str, str], name: str) -> str:
    """Where a database of the environment is; `CallerFault` HW-O051 where the environment does not say."""
    if name not in databases:
        raise CallerFault(
            f"the environment has no address for the database '{name}'",
            code="HW-O051",
            detail="an outbox of the mesh is in it",
            hint="add it under databases of the environment in mesh.yaml",
        )
    return databases[name]


def qualified(table: str) -> str:
    """A table with its schema.

    >>> qualified("outbox"), qualified("crm.outbox")
    ('public.outbox', 'crm.outbox')
    """
    return table if "." in table else f"public.{table}"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that `apply` would do for a source, as a sentence, and how it is done."""

    text: str
    do: Callable[[], object]


def source_steps(source: OutboxSource, admin: SourceAdmin, broker: Broker) -> list[Step]:
    """What is missing of a source, in the order it must be made; empty where all is there. Writes nothing.

    Raises `Fault` HW-O006 where the slot is gone but a position is there: rows may be lost, and a new slot would hide
    it; HW-O007 where the position is gone but the table holds rows: nobody knows which of them are published.
    """
    parts = admin.look()
    topic = naming.position_topic(source.name)
    topic_there = topic in broker.describe([topic])
    position = read_position(broker, source.name) if topic_there else None
    names = [str(product.name) for product in source.products]
    steps: list[Step] = []
    if source.captured:
        if not parts.whole_rows:
            text = f"{source.name}: let the log carry whole old rows (ALTER TABLE {source.table} REPLICA IDENTITY FULL)"
            steps.append(Step(text, cast("TableAdmin", admin).log_whole_rows))
    elif not parts.table or not set(names) <= set(parts.products):
        missing = sorted(set(names) - set(parts.products))
        verb = "let the table take rows of" if parts.table else "create the table for rows of"
        steps.append(Step(f"{source.name}: {verb} {', '.join(missing)}", lambda: admin.create_table(names)))
    if not source.captured:
        steps += _validation_steps(source, admin, parts)
    if not parts.publication:
        steps.append(Step(f"{source.name}: create the publication", admin.create_publication))
    if not topic_there:
        description = position_topic_of(source)
        steps.append(Step(f"{source.name}: create the topic {topic}", lambda: broker.create_topic(description)))
    if position is None:
        written = parts.rows or (source.captured and _published(source, broker))
        # A table of a service's own has rows before any slot; an outbox with rows has had one, or needs a repair.
        if written and (parts.slot is not None or not source.captured):
            raise _position_lost(source)
        steps.append(
            Step(f"{source.name}: create the slot and its first position", lambda: _begin(source, admin, broker))
        )
    elif position.lane != source.lane:
        if parts.slot is None:  # the other lane publishes on meanwhile: `headwater connector move` changes over
            steps.append(Step(f"{source.name}: create the slot of the {source.lane} lane", admin.create_slot))
    elif parts.slot is None or parts.slot.lost:
        raise _slot_lost(source, parts.slot.lost if parts.slot else "")
    return steps


def position_topic_of(source: OutboxSource) -> TopicDescription:
    """The topic of a source's position."""
    return TopicDescription(naming.position_topic(source.name), 1, dict(POSITION_TOPIC_SETTINGS))


def ensure_source(source: OutboxSource, admin: SourceAdmin, broker: Broker) -> list[str]:
    """Make what is missing of a source, whatever of it is there already; what was done. Twice is once."""
    steps = source_steps(source, admin, broker)
    for step in steps:
        step.do()
    return [step.text for step in steps]


def _validation_steps(source: OutboxSource, admin: SourceAdmin, parts: SourceParts) -> list[Step]:
    validation = validation_of(source.table, source.products)
    lacking = validation.missing(parts.routines, trigger=parts.checked)
    text = f"{source.name}: let the database check and emit rows: {_listed(lacking)}"
    return [Step(text, lambda: admin.create_validation(validation))] if lacking else []


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"


def _begin(source: OutboxSource, admin: SourceAdmin, broker: Broker) -> None:
    # A slot without a position and without rows in the table is one whose making was cut short: begin again.
    if admin.look().slot is not None:
        admin.drop_slot()
    consistent_lsn = admin.create_slot()
    if source.lane == "debezium":
        topic = naming.capture_topic(source.name)
        place = TopicPartition(topic, 0)
        position = Position.start(CAPTURE_SYSTEM + broker.identity(topic), 0, broker.ends([place])[place])
    else:
        identity = admin.identify()
        position = Position.start(identity.system_id, identity.timeline, consistent_lsn)
    write_position(source.name, position, broker)


def write_position(source: str, position: Position, broker: Broker) -> None:
    """Make this the position of a source; whoever relays it now is fenced and starts again from here."""
    sink = broker.sink(naming.relay_transactional_id(source))
    try:
        sink.open()
        sink.begin()
        write = encode_position(position)
        stamp_ms = max(0, position.stamp.value // 1_000)
        sink.send(naming.position_topic(source), source.encode(), write, timestamp=stamp_ms, partition=0)
        sink.commit()
    finally:
        sink.close()


def _published(source: OutboxSource, broker: Broker) -> bool:
    """Whether any record of the source is there: a captured table has rows from the first, which says nothing."""
    places = [
        TopicPartition(product.output.topic, partition)
        for product in source.products
        for partition in range(product.output.output.partitions)
    ]
    there = broker.describe([place.topic for place in places])
    return any(broker.ends([place for place in places if place.topic in there]).values())


def _position_lost(source: OutboxSource) -> Fault:
    return Fault(
        f"{source.name}: the table has rows, but there is no position of a relay",
        code="HW-O007",
        detail="nobody knows which rows are published; a slot made now would not send them",
        hint=f"restore the topic {naming.position_topic(source.name)}, or: headwater relay repair",
    )


def _slot_lost(source: OutboxSource, why: str) -> Fault:
    return Fault(
        f"{source.name}: the replication slot is gone, and rows committed since may be unpublished",
        code="HW-O006",
        detail=why or "it was dropped, or the database was restored without it",
        hint="headwater relay repair",
    )
