"""How far a bounded Flink job reads, what of its output is there already, and what is settled once it is done.

A job reads its inputs from their first record up to what their marks settle, and computes all of it again; of that it
writes what its product does not hold yet. Records do not depend on when or in how many runs they are made, so the next
run goes on where the last one ended, by whichever runner that was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headwater import naming
from headwater.errors import CallerFault
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.ports.marks import newest_marks
from headwater.ports.progress import encode_mark, mark_key
from headwater.ports.protocol import Broker
from headwater.ports.reading import places_of, read_to_end
from headwater.ports.record import Message, TopicPartition
from headwater.ports.serde import RecordReader
from headwater.processing.graph import Graph, stateful
from headwater.processing.registered import require_registered
from headwater.processing.reset import without_beginning
from headwater.processing.runners.flink import Schemas
from headwater.processing.runners.flink_tables import Reach
from headwater.schemas.registry import Registry
from headwater.timeline.tick import settled_tick_end


@dataclass(frozen=True, slots=True)
class Held:
    """What a partition of the product holds: the recorded time up to which it is complete, the next offset, and how
    many records no mark speaks of yet.
    """

    through: int
    end: int
    unmarked: int = 0


def schemas_of(graph: Graph, mesh: Mesh, registry: Registry) -> Schemas:
    """The schemas of a flow's products.

    Raises `CallerFault` HW-P021 where the output's is not registered, HW-P240 where its contract asks for more than
    a topic.
    """
    product = mesh.product(graph.output.product)
    output = product.output
    if "current" in output.output.ports:
        raise CallerFault(
            "the flink runner does not take the port 'current'",
            code="HW-P240",
            detail="a record and its newest value are written in one transaction, and a Flink job writes one topic",
            hint="run it with headwater run, or leave the port out",
        )
    registered = require_registered(registry, product)
    inputs = [mesh.product(port.product).output.schema.inlined for port in graph.inputs]
    return Schemas(inputs, output.schema.inlined, registered.id)


def held(product: ResolvedProduct, broker: Broker, registry: Registry) -> dict[int, Held]:
    """What each partition of a product's topic holds: up to its newest mark, and what a run wrote after that."""
    output = product.output
    places = places_of(broker, output.topic)
    marks = newest_marks(broker, product, [place.partition for place in places])
    starts = broker.starts(places)
    reader = RecordReader(registry, subject=output.subject, schema=output.schema)
    found = {}
    for place in places:
        through, end = marks.get(place.partition, (-1, starts[place]))
        found[place.partition] = Held(int(through), end)
    for message in _messages(broker, {place: found[place.partition].end for place in places}):
        # A job publishes all it has to say in one transaction: where its last record is, all before it is.
        recorded = reader.read(message.value)["recorded_at"]
        known = found[message.partition]
        found[message.partition] = Held(max(known.through, recorded), message.offset + 1, known.unmarked + 1)
    return found


def reach_of(graph: Graph, mesh: Mesh, broker: Broker, known: Mapping[int, Held], *, tick: int) -> Reach | None:
    """What a job has to read and write; None where its inputs settle nothing that the product does not hold.

    Raises `CallerFault` HW-P245 where an input's first records are gone, HW-P246 where an input has no mark.
    """
    ends: dict[str, dict[int, int]] = {}
    through: list[int] = []
    for port in graph.inputs:
        product = mesh.product(port.product)
        places = places_of(broker, port.topic)
        marks = newest_marks(broker, product, [place.partition for place in places])
        if len(marks) < len(places):
            raise _unmarked(product)
        _require_whole(broker, places, product)
        ends[port.topic] = {number: end for number, (_, end) in sorted(marks.items())}
        through.append(min(int(settled) for settled, _ in marks.values()))
    settled = min(through)
    if stateful(graph.root):
        settled = int(settled_tick_end(settled, tick))
    if settled <= min(one.through for one in known.values()):
        return None
    return Reach(settled, ends, {number: one.through for number, one in known.items()})


def require_inputs_whole(graph: Graph, mesh: Mesh, broker: Broker) -> None:
    """Refuse a job that would not see the first records of its inputs: `CallerFault` HW-P245."""
    for port in graph.inputs:
        _require_whole(broker, places_of(broker, port.topic), mesh.product(port.product))


def settle(product: ResolvedProduct, broker: Broker, registry: Registry, through: int) -> int:
    """Mark the product as settled up to what a job that is done has read; how many records lie after older marks."""
    known = held(product, broker, registry)
    topic = naming.progress_topic(product.name, product.major)
    sink = broker.sink(f"{naming.topic(product.name, product.major)}-flink-marks")
    sink.open()
    sink.begin()
    for number, one in sorted(known.items()):
        settled = max(through, one.through)
        mark = encode_mark(settled, one.end)
        sink.send(topic, mark_key(number), mark, timestamp=max(0, settled) // 1_000, partition=number)
    sink.flush()
    sink.commit()
    sink.close()
    return sum(one.unmarked for one in known.values())


def fence(graph: Graph, broker: Broker) -> None:
    """End what an earlier job of this product may still have open: from here on it can publish nothing.

    Call it before asking what the product holds. It takes the transactional id of the first writer that Flink makes.
    """
    sink = broker.sink(f"{job_name(graph)}-0-1")
    sink.open()
    sink.close()


def job_name(graph: Graph) -> str:
    """The prefix of a job's transactions, of one product and major."""
    return f"{naming.topic(graph.output.product, graph.output.major)}-flink"


def _messages(broker: Broker, start: Mapping[TopicPartition, int]) -> Iterator[Message]:
    for item in read_to_end(broker, start):
        if isinstance(item, Message):
            yield item


def _require_whole(broker: Broker, places: list[TopicPartition], product: ResolvedProduct) -> None:
    if gone := without_beginning(places, broker):
        raise CallerFault(
            f"the first records of {product.name} are gone from partition {gone[0].partition}",
            code="HW-P245",
            detail="a job computes from the first record on; without it revisions would be others",
            hint="go on with headwater run, whose state reaches back further",
        )


def _unmarked(product: ResolvedProduct) -> CallerFault:
    return CallerFault(
        f"{product.name} has no progress marks yet, so nothing of it is settled",
        code="HW-P246",
        detail="a bounded job ends where every partition of its inputs is settled",
        hint="start what writes it: headwater relay for a source, headwater run for a derived product",
    )
