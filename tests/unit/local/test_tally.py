"""What an onlooker counts: records as they become readable, what is outstanding, how long each took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headwater import naming
from headwater.errors import CallerFault
from headwater.local.tally import Tally, topics_of
from headwater.mesh.load import load_mesh
from headwater.mesh.products import ResolvedProduct
from headwater.ports.memory import MemoryBroker
from headwater.ports.progress import encode_mark, mark_key
from headwater.ports.record import TopicDescription
from headwater.schemas.avro import parse
from headwater.schemas.codec import RowCodec, frame
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.small_mesh import write_small_mesh
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant

START = 1_000_000_000
TICK = 100_000


class World:
    """A broker in memory with the topics of one source-aligned product, and what its relay would write."""

    def __init__(self, folder: Path) -> None:
        self.product: ResolvedProduct = load_mesh(write_small_mesh(folder)).product("flights.departures")
        self.clock = ManualClock(Instant(START))
        self.broker = MemoryBroker(self.clock)
        for topic in topics_of(self.product):
            self.broker.create_topic(TopicDescription(topic, 1, {}))
        self._codec = RowCodec(self.product.output.schema)
        self.registry = MemoryRegistry()
        self._id = self.registry.register(self.product.output.subject, self.product.output.schema)
        self._released = False
        self._sink = self.broker.sink("relay")
        self._sink.open()

    def tally(self) -> Tally:
        return Tally(self.broker, [self.product], registry=self.registry, tick=TICK, clock=self.clock)

    def publish(self, recorded_at: int, *, kind: str = "assert", revision: int = 1) -> None:
        record: dict[str, Any] = {
            "event_id": "1",
            "flight_id": "F1",
            "origin": "JFK",
            "occurred_at": 0,
            "delay_minutes": 1,
            "recorded_at": recorded_at,
            "kind": kind,
            "revision": revision,
        }
        record |= {"late": None} if self._released else {}
        self._send(self.product.output.topic, b"F1", frame(self._id, self._codec.encode(record)), recorded_at)

    def release(self) -> None:
        """From here on records have another field, before those of the platform."""
        value = json.loads(self.product.output.schema.text)
        value["fields"].insert(1, {"name": "late", "type": ["null", "boolean"], "default": None})
        schema, self._released = parse(json.dumps(value)), True
        self._id, self._codec = self.registry.register(self.product.output.subject, schema), RowCodec(schema)

    def quarantine(self) -> None:
        self._send(naming.quarantine_topic(self.product.name, 1), b"F1", b"bad", START)

    def mark(self, through: int, offset: int) -> None:
        topic = naming.progress_topic(self.product.name, 1)
        self._send(topic, mark_key(0), encode_mark(through, offset), START)

    def _send(self, topic: str, key: bytes, value: bytes, at: int) -> None:
        self._sink.begin()
        self._sink.send(topic, key, value, timestamp=at // 1_000, partition=0)
        self._sink.commit()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_records_corrections_and_quarantined_are_counted_from_the_first_offset(world: World) -> None:
    world.publish(START - 50)
    tally = world.tally()
    world.publish(START + 10, kind="correct", revision=2)
    world.quarantine()
    world.clock.set(Instant(START + 1_010))
    assert tally.poll(0) == 3
    count = tally.counts["flights.departures"]
    assert (count.published, count.corrections, count.quarantined) == (2, 1, 1)


def test_records_of_an_earlier_version_of_the_schema_are_counted_too(world: World) -> None:
    world.publish(START + 10)
    world.release()
    world.publish(START + 20, kind="correct", revision=2)
    tally = world.tally()
    tally.poll(0)
    count = tally.counts["flights.departures"]
    assert (count.published, count.corrections, count.newest) == (2, 1, START + 20)


def test_only_what_was_recorded_while_it_looked_on_is_timed(world: World) -> None:
    world.publish(START - 50)
    tally = world.tally()
    tally.poll(0)
    count = tally.counts["flights.departures"]
    assert count.latency_at(0.99) is None and count.events_per_second is None
    world.publish(START + 10)
    world.clock.set(Instant(START + 1_010))
    tally.poll(0)
    assert count.latency_at(0.5) == count.latency_at(0.99) == 1_000


def test_nothing_is_outstanding_once_all_rows_are_accounted_for_and_settled(world: World) -> None:
    tally = world.tally()
    world.publish(START + 10)
    tally.poll(0)
    assert (
        tally.outstanding({"flights.departures": 2}) == "1 rows of flights.departures; not settled: flights.departures"
    )
    world.quarantine()
    tally.poll(0)
    assert tally.outstanding({"flights.departures": 2}) == "not settled: flights.departures"
    world.mark(START + TICK, offset=2)  # the record's transaction ended at offset 1
    tally.poll(0)
    assert tally.outstanding({"flights.departures": 2}) == ""


def test_a_missing_topic_is_named_with_the_fix(world: World) -> None:
    world.broker.delete_topic(naming.quarantine_topic(world.product.name, 1))
    with pytest.raises(CallerFault) as raised:
        world.tally()
    assert raised.value.code == "HW-L083" and "headwater apply" in raised.value.hint
