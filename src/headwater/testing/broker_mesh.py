"""A small mesh on a broker, with seeded input and what the memory runner makes of it: for tests of the kafka runner.

The product `airports.hourly` counts departures by origin and hour. Its input is written as the relay would: one
transaction a batch, records first, then progress marks for every partition.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headwater import naming
from headwater.errors import Unreachable
from headwater.hooks import Hooks
from headwater.mesh.load import load_mesh
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.naming import ProductName
from headwater.plan.desired import desired
from headwater.ports.keys import key_bytes, partition_of
from headwater.ports.progress import decode_mark, encode_mark, mark_key
from headwater.ports.protocol import Broker
from headwater.ports.record import Message, TopicDescription, TopicPartition
from headwater.processing.flow_file import load_plan
from headwater.processing.runners.memory import MemoryRunner
from headwater.processing.steps import Plan
from headwater.processing.surroundings import Surroundings
from headwater.schemas.codec import RowCodec, frame, unframe
from headwater.schemas.registry import Registry
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.small_mesh import FILES, add_busy_output, write
from headwater.timeline.clock import SystemClock

START = 1_700_000_000_000_000
HOUR = 3_600_000_000
POLLS_LIMIT = 2_000

Batch = list[dict[str, Any]]


def write_renamed_mesh(folder: Path, nonce: str) -> Path:
    """The small mesh with domains of its own, so that many of them live on one cluster.

    Its departures are kept for ever: they are dated years back, and a broker would remove them at its next look.
    """
    for name, text in FILES.items():
        text = text.replace("retention: 30d", "retention: forever")
        renamed = (name, text)
        name, text = (
            part.replace("flights", f"flights{nonce}").replace("airports", f"airports{nonce}") for part in renamed
        )
        write(folder, name, text)
    return folder


def registered(mesh: Mesh) -> MemoryRegistry:
    """A registry in memory with every schema of the mesh; ids are the same each time."""
    registry = MemoryRegistry()
    for product in mesh.in_order():
        for output in product.outputs:
            registry.register(output.subject, output.schema)
    return registry


def random_batches(seed: int, *, batches: int, size: int) -> list[Batch]:
    """Departures with late ones, corrections, retractions, repeats; one stamp a batch, now and then the same tick."""
    chance = random.Random(seed)
    recorded_at = START
    known: Batch = []
    made: list[Batch] = []
    for number in range(batches):
        recorded_at += chance.choice([1_000, 30_000, 100_000, 250_000, 2_000_000])
        batch: Batch = []
        for place in range(chance.randrange(1, size + 1)):
            if known and chance.random() < 0.25:
                event = dict(chance.choice(known))
                event["revision"] += chance.choice([0, 1, 1, 1])
                if event["revision"] > 1:
                    event["kind"] = chance.choice(["correct", "correct", "retract"])
                    event["occurred_at"] += chance.choice([0, HOUR, -HOUR])
            else:
                event = {
                    "event_id": f"e{number}-{place}",
                    "flight_id": f"f{chance.randrange(200)}",
                    "origin": chance.choice(["JFK", "LGA", "EWR", "ÖÄÜ"]),
                    "occurred_at": START - chance.randrange(48) * HOUR,
                    "delay_minutes": chance.choice([None, -3, 12]),
                    "kind": "assert",
                    "revision": 1,
                }
            if any(event["event_id"] == other["event_id"] for other in batch):
                continue
            event["recorded_at"] = recorded_at
            known = [other for other in known if other["event_id"] != event["event_id"]] + [event]
            batch.append(event)
        made.append(batch)
    return made


def wait_until(reached: Callable[[], bool], *, seconds: float = 60.0, pause: float = 0.05) -> None:
    """Wait for what other threads or processes do, looking again after each pause; an AssertionError where it takes
    too long. A look that costs a consumer or more wants a longer pause; one that the broker refuses for a moment says
    nothing of whoever is waited for.
    """
    clock = SystemClock()
    until = clock.monotonic() + int(seconds * 1_000_000)
    while not _seen(reached):
        assert clock.monotonic() < until, "waited for too long"
        clock.sleep(int(pause * 1_000_000))


def _seen(reached: Callable[[], bool]) -> bool:
    try:
        return reached()
    except Unreachable:
        return False


@dataclass
class BrokerMesh:
    """The mesh with its topics made on a broker."""

    broker: Broker
    mesh: Mesh
    source: ResolvedProduct
    plan: Plan
    registry: Registry
    _offsets: dict[int, int] = field(default_factory=dict)

    @classmethod
    def made(cls, broker: Broker, folder: Path, nonce: str, *, busy: bool = False) -> BrokerMesh:
        """Write the files, load them, create every topic. With `busy` the product has a second output, `busy`."""
        write_renamed_mesh(folder, nonce)
        if busy:
            add_busy_output(folder, nonce)
        made = cls.loaded(broker, folder, nonce)
        plans = {made.plan.product: made.plan}
        for topic in desired(made.mesh, plans).topics:
            broker.create_topic(TopicDescription(topic.name, topic.partitions, dict(topic.settings)))
        return made

    @classmethod
    def loaded(cls, broker: Broker, folder: Path, nonce: str) -> BrokerMesh:
        """Load files whose topics exist."""
        mesh = load_mesh(folder)
        plan = load_plan(mesh, ProductName(f"airports{nonce}", "hourly"))
        return cls(broker, mesh, mesh.product(f"flights{nonce}.departures"), plan, registered(mesh))

    @property
    def product(self) -> ResolvedProduct:
        """The derived product."""
        return self.mesh.product(self.plan.product)

    def surroundings(self, folder: Path, *, hooks: Hooks | None = None, **changes: Any) -> Surroundings:
        """What a runner of this mesh works in."""
        return Surroundings(
            self.broker, self.registry, self.mesh, folder, clock=SystemClock(), hooks=hooks or Hooks(), **changes
        )

    def feed(self, batches: Sequence[Batch], *, last: bool = True) -> None:
        """Write batches, a transaction each; after the last one marks far ahead, so that every tick closes."""
        output = self.source.output
        registered = self.registry.find(output.subject, output.schema)
        assert registered is not None
        encode, partitions = RowCodec(output.schema).encode, output.output.partitions
        sink = self.broker.sink(f"feed-{output.topic}")
        sink.open()
        for number, batch in enumerate(batches):
            sink.begin()
            for event in batch:
                key = key_bytes([event["flight_id"]])
                value = frame(registered.id, encode(event))
                partition = partition_of(key, partitions)
                sink.send(output.topic, key, value, timestamp=event["recorded_at"] // 1_000, partition=partition)
            ends = sink.flush()
            self._offsets.update({place.partition: end for place, end in ends.items()})
            through = batch[-1]["recorded_at"] - 1
            if last and number == len(batches) - 1:
                through += 60_000_000
            for partition in range(partitions):
                mark = encode_mark(through, self._offsets.get(partition, 0))
                progress = naming.progress_topic(self.source.name, self.source.major)
                sink.send(progress, mark_key(partition), mark, timestamp=through // 1_000, partition=partition)
            sink.commit()
        sink.close()

    def output(self, name: str = "") -> ResolvedProduct:
        """The derived product with one of its outputs, the first one if none is named."""
        return self.mesh.product(self.plan.product.of_output(name))

    def expected(self, batches: Sequence[Batch], output: str = "") -> dict[int, list[tuple[bytes, Mapping[str, Any]]]]:
        """The log that the memory runner writes, of an output by partition."""
        runner = MemoryRunner(self.plan)
        topic = self.source.output.topic
        for batch in batches:
            for event in batch:
                runner.write(topic, [event["flight_id"]], event)
        runner.mark(topic, batches[-1][-1]["recorded_at"] + 60_000_000)
        runner.run()
        logs = runner.topics[self.output(output).output.topic]
        return {
            number: [(entry.key, dict(entry.record)) for entry in log if entry.record is not None]
            for number, log in enumerate(logs)
        }

    def written(self, topic: str = "") -> list[Message]:
        """Everything committed in a topic, the product's if none is named; waits for open transactions to end."""
        name = topic or self.product.output.topic
        count = self.broker.describe([name])[name].partitions
        places = [TopicPartition(name, number) for number in range(count)]
        ends = dict(self.broker.ends(places))
        reader = self.broker.reader(dict.fromkeys(places, 0))
        messages = []
        for _ in range(POLLS_LIMIT):
            for found in reader.poll(5_000, 0.1):
                if isinstance(found, Message):
                    messages.append(found)
                elif found.offset >= ends.get(TopicPartition(found.topic, found.partition), found.offset):
                    ends.pop(TopicPartition(found.topic, found.partition), None)
            if not ends:
                break
        reader.close()
        return messages

    def settled(self) -> int:
        """Up to when every partition of every output has a mark; 0 before all have one."""
        return min(self._settled(one) for one in self.product.each)

    def _settled(self, product: ResolvedProduct) -> int:
        marks = self.written(naming.progress_topic(product.name, product.major))
        newest = {message.partition: int(decode_mark(message.value or b"")[0]) for message in marks}
        return min(newest.values()) if len(newest) == self.product.output.output.partitions else 0

    def decoded(self, name: str = "") -> dict[int, list[tuple[bytes, Mapping[str, Any]]]]:
        """The log of an output as it is on the broker, by partition."""
        output = self.output(name).output
        decode = RowCodec(output.schema).decode
        logs: dict[int, list[tuple[bytes, Mapping[str, Any]]]] = {
            number: [] for number in range(output.output.partitions)
        }
        for message in self.written(output.topic):
            record = decode(unframe(message.value)[1])
            assert message.timestamp == record["recorded_at"] // 1_000
            logs[message.partition].append((message.key or b"", record))
        return logs
