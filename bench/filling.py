"""Fills the input topic of W2 as a relay would have: framed Avro, the key's partition, recorded time, progress marks.

The log holds no transactions and the records no headers, so that offsets count orders and every system reads the same.
"""

from __future__ import annotations

import io
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import fastavro
from confluent_kafka import Producer

from bench.kafka import Kafka
from bench.orders import Order, OrderLog, customer_name
from headwater import naming
from headwater.ports.keys import partition_of
from headwater.ports.progress import encode_mark, mark_key

ORDERS = naming.ProductName("shop", "orders")
INPUT_TOPIC = naming.topic(ORDERS, 1)
PARTITIONS = 4
FLUSH_SECONDS = 120.0


def fill(kafka: Kafka, registry_url: str, schema_file: Path, log: OrderLog) -> float:
    """Write the log and the marks at its end; answers the mean size of a value in bytes."""
    schema = fastavro.parse_schema(json.loads(schema_file.read_text()))
    frame = b"\0" + latest_schema_id(registry_url, naming.subject(INPUT_TOPIC)).to_bytes(4, "big")
    keys = {customer_name(number): customer_name(number).encode() for number in range(log.customers)}
    partitions = {name: partition_of(key, PARTITIONS) for name, key in keys.items()}
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
    size = 0

    def delivered(error: object, message: object) -> None:
        if error:
            failures.append(str(error))

    for order, body in encoded(log, schema):
        value = frame + body
        size += len(value)
        while True:
            try:
                producer.produce(
                    INPUT_TOPIC,
                    key=keys[order.customer],
                    value=value,
                    partition=partitions[order.customer],
                    timestamp=order.recorded_at // 1_000,
                    on_delivery=delivered,
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush(FLUSH_SECONDS)
    ends = kafka.ends(INPUT_TOPIC, PARTITIONS)
    if failures or sum(ends) != log.events:
        raise RuntimeError(f"{sum(ends)} of {log.events} orders were written: {failures[:1]}")
    for number, end in enumerate(ends):
        producer.produce(
            naming.progress_topic(ORDERS, 1),
            key=mark_key(number),
            value=encode_mark(log.through, end),
            partition=number,
            timestamp=log.through // 1_000,
        )
    producer.flush(FLUSH_SECONDS)
    return size / log.events


def encoded(log: OrderLog, schema: object) -> Iterator[tuple[Order, bytes]]:
    """The orders with their Avro bodies."""
    buffer = io.BytesIO()
    for order in log.orders():
        buffer.seek(0)
        buffer.truncate()
        fastavro.schemaless_writer(
            buffer,
            schema,
            {
                "event_id": order.event_id,
                "customer": order.customer,
                "occurred_at": order.occurred_at,
                "amount_cents": order.amount_cents,
                "items": [item._asdict() for item in order.items],
                "recorded_at": order.recorded_at,
                "kind": "assert",
                "revision": 1,
            },
        )
        yield order, buffer.getvalue()


def latest_schema_id(registry_url: str, subject: str) -> int:
    """The id under which a subject's newest schema is registered."""
    with urllib.request.urlopen(f"{registry_url}/subjects/{subject}/versions/latest", timeout=10) as answer:
        return int(json.load(answer)["id"])
