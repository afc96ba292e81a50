"""Fills the input topic of W2 as a relay would have: framed Avro, the key's partition, recorded time, progress marks.

The log holds no transactions and the records no headers, so that offsets count orders and every system reads the same.
"""

from __future__ import annotations

import io
import json
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import fastavro
from confluent_kafka import Producer

from bench.kafka import Kafka
from bench.orders import Order
from bench.stack import MESH
from headwater import naming
from headwater.ports.keys import partition_of
from headwater.ports.progress import encode_mark, mark_key

ORDERS = naming.ProductName("shop", "orders")
INPUT_TOPIC = naming.topic(ORDERS, 1)
PARTITIONS = 4
FLUSH_SECONDS = 120.0


class Encoded(NamedTuple):
    """A record as it is written; `moment` in milliseconds."""

    key: bytes
    body: bytes
    partition: int
    moment: int


@dataclass(frozen=True, slots=True)
class Feed:
    """A product's input: Kafka key, recorded time and value of each record, and until when that is all.

    `encoded` gives the records themselves in place of `records`, from the frame that is to stand before each value.
    """

    product: naming.ProductName
    schema: Path
    records: Iterable[tuple[str, int, Mapping[str, object]]]
    through: int
    encoded: Callable[[bytes], Iterable[Encoded]] | None = None

    @property
    def topic(self) -> str:
        """Where it goes."""
        return naming.topic(self.product, 1)


def order_feed(
    orders: Iterable[Order], through: int, *, product: naming.ProductName = ORDERS, schema: str = "Order"
) -> Feed:
    """Orders for a product of that shape in the bench's mesh."""
    file = MESH / "schemas" / "avro" / product.domain / product.product / f"{schema}.avsc"
    return Feed(product, file, ((order.customer, order.recorded_at, order_value(order)) for order in orders), through)


def fill(kafka: Kafka, registry_url: str, feed: Feed) -> tuple[int, float]:
    """Write a feed and the marks at its end; answers how many records and the mean size of a value in bytes."""
    frame = b"\0" + latest_schema_id(registry_url, naming.subject(feed.topic)).to_bytes(4, "big")
    producer = Producer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 50,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 500_000,
            "log_level": 2,
        }
    )
    failures: list[str] = []
    count = size = 0

    def delivered(error: object, message: object) -> None:
        if error:
            failures.append(str(error))

    for key, body, partition, moment in feed.encoded(frame) if feed.encoded else _encoded(feed, frame):
        count, size = count + 1, size + len(body)
        while True:
            try:
                producer.produce(
                    feed.topic,
                    key=key,
                    value=body,
                    partition=partition,
                    timestamp=moment,
                    on_delivery=delivered,
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush(FLUSH_SECONDS)
    ends = kafka.ends(feed.topic, PARTITIONS)
    if failures or sum(ends) != count:
        raise RuntimeError(f"{sum(ends)} of {count} records were written: {failures[:1]}")
    for number, end in enumerate(ends):
        producer.produce(
            naming.progress_topic(feed.product, 1),
            key=mark_key(number),
            value=encode_mark(feed.through, end),
            partition=number,
            timestamp=feed.through // 1_000,
        )
    producer.flush(FLUSH_SECONDS)
    return count, size / count


def _encoded(feed: Feed, frame: bytes) -> Iterator[Encoded]:
    schema = fastavro.parse_schema(json.loads(feed.schema.read_text()))
    partitions: dict[str, int] = {}
    for key, recorded_at, value in feed.records:
        partition = partitions.get(key)
        if partition is None:
            partition = partitions[key] = partition_of(key.encode(), PARTITIONS)
        yield Encoded(key.encode(), frame + encode(schema, value), partition, recorded_at // 1_000)


def encode(schema: object, value: Mapping[str, object]) -> bytes:
    """A value's Avro body."""
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, schema, value)
    return buffer.getvalue()


def order_value(order: Order) -> dict[str, object]:
    """An order as the schema has it."""
    return {**order._asdict(), "items": [item._asdict() for item in order.items]}


def latest_schema_id(registry_url: str, subject: str) -> int:
    """The id under which a subject's newest schema is registered."""
    with urllib.request.urlopen(f"{registry_url}/subjects/{subject}/versions/latest", timeout=10) as answer:
        return int(json.load(answer)["id"])
