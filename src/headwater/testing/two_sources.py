"""The small mesh with a second source beside its departures: for tests of flows of two inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from headwater.plan.desired import desired
from headwater.ports.protocol import Broker
from headwater.ports.record import TopicDescription
from headwater.processing.runners.memory import MemoryRunner
from headwater.testing.broker_mesh import Batch, BrokerMesh, write_renamed_mesh
from headwater.testing.small_mesh import DEPARTURE_SCHEMA, DEPARTURES, HOURLY, HOURLY_FLOW, edit, write


def two_sources(broker: Broker, folder: Path, nonce: str, flow: str) -> BrokerMesh:
    """The small mesh with stops in its departures, arrivals like them, and both counted by the hour and stop."""
    write_renamed_mesh(folder, nonce)
    field = '{"name": "delay_minutes"'
    stops = '{"name": "stops", "type": {"type": "array", "items": "string"}, "default": []},'
    for name in (DEPARTURES, DEPARTURE_SCHEMA):
        text = (folder / name.replace("flights", f"flights{nonce}")).read_text().replace(field, f"{stops} {field}")
        write(folder, name.replace("flights", f"flights{nonce}"), text)
        for old, new in (("departure", "arrival"), ("Departure", "Arrival")):
            name, text = name.replace(old, new), text.replace(old, new)
        write(folder, name.replace("flights", f"flights{nonce}"), text)
    hourly = HOURLY.replace("airports", f"airports{nonce}")
    read = f"{{product: flights{nonce}.departures, major: 1, reads: [origin, occurred_at]}}"
    both = read.replace(", reads: [origin, occurred_at]", "")
    edit(folder, hourly, f"  - {read}", f"  - {both}\n  - {both.replace('departures', 'arrivals')}")
    write(folder, HOURLY_FLOW.replace("airports", f"airports{nonce}"), flow.replace("WINDOW", 'tumbling("1h")'))
    small = BrokerMesh.loaded(broker, folder, nonce)
    for topic in desired(small.mesh, {small.plan.product: small.plan}).topics:
        broker.create_topic(TopicDescription(topic.name, topic.partitions, dict(topic.settings)))
    return small


def as_in_memory(
    small: BrokerMesh, ways: Sequence[BrokerMesh], given: Sequence[Sequence[Batch]]
) -> dict[int, list[tuple[bytes, Mapping[str, Any]]]]:
    """The log that the memory runner writes of what each source was given, by partition."""
    last = max(batches[-1][-1]["recorded_at"] for batches in given)
    memory = MemoryRunner(small.plan)
    for way, batches in zip(ways, given, strict=True):
        for event in (event for batch in batches for event in batch):
            memory.write(way.source.output.topic, [event["flight_id"]], event)
        memory.mark(way.source.output.topic, last + 60_000_000)
    memory.run()
    return {
        number: [(entry.key, dict(entry.record)) for entry in log if entry.record is not None]
        for number, log in enumerate(memory.topics[small.product.output.topic])
    }


def both_ways(small: BrokerMesh, nonce: str) -> list[BrokerMesh]:
    """The mesh seen from each of its sources, to feed it."""
    return [small, replace(small, source=small.mesh.product(f"flights{nonce}.arrivals"), _offsets={})]
