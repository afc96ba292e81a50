"""From the call to the topic: a row, a logical message and an Avro payload arrive alike, with their headers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.integration.test_relay import Road, eventually, flight

import headwater
from headwater import EmitOptions
from headwater.ports.kafka import KafkaBroker
from headwater.ports.record import EndOfPartition, Message, TopicPartition
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def road(stack: Stack, tmp_path: Path) -> Iterator[Road]:
    made = Road(stack, tmp_path)
    yield made
    made.close()


def messages(road: Road) -> list[Message]:
    topic = road.product.output.topic
    reader = KafkaBroker({"bootstrap.servers": road.stack.kafka}, clock=SystemClock()).reader(
        {TopicPartition(topic, number): 0 for number in range(4)}
    )
    found: list[Message] = []
    ended: set[int] = set()
    while len(ended) < 4:
        for item in reader.poll(1_000, 1.0):
            if isinstance(item, EndOfPartition):
                ended.add(item.partition)
            else:
                found.append(item)
    reader.close()
    return found


def test_rows_messages_and_avro_arrive_alike_with_their_headers(road: Road) -> None:
    road.relay()
    product = road.product
    ids = {}
    with psycopg.connect(road.dsn) as connection:
        for number, options in enumerate(
            [
                EmitOptions(traceparent=TRACE),
                EmitOptions(traceparent=TRACE, road="message"),
                EmitOptions(traceparent=TRACE, encoding="avro"),
                EmitOptions(traceparent=TRACE, encoding="avro", road="message"),
            ]
        ):
            record = flight(number, delay_minutes=7)
            ids[f"F{number}"] = headwater.emit(
                connection, product, record, event_id=f"e{number}", key_version=9, options=options
            )
        connection.commit()
        headwater.emit(connection, product, flight(9), options=EmitOptions(road="message"))
        connection.rollback()
    eventually(lambda: road.flights() == ["F0", "F1", "F2", "F3"])
    found = {(one.key or b"").decode(): dict(one.headers) for one in messages(road)}
    assert found == {
        key: {"id": row_id.encode(), "key_version": b"9", "traceparent": TRACE.encode()} for key, row_id in ids.items()
    }
    assert {(record["event_id"], record["delay_minutes"]) for record in road.records()} == {
        (f"e{number}", 7) for number in range(4)
    }
