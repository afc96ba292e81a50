"""Orders written straight to their topic, as a relay would: each batch a transaction, records first, then marks.

Seeded: new orders, corrections that move an order to another hour or number, retractions, orders that come back, and
repeats. Stamps rise from batch to batch, and are the clock's: what runs beside is caught up with at all times.
"""

from __future__ import annotations

import io
import json
import random
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import fastavro
from confluent_kafka import Producer
from tests.chaos import service
from tests.chaos.service import PARTITIONS

from headwater.ports.keys import key_bytes, partition_of

HOUR = 3_600_000_000
START = 1_700_000_000_000_000 // HOUR * HOUR
FAR = 60_000_000  # the last marks speak for a minute more, so that every tick closes
CUSTOMERS, NUMBERS, HOURS = 150, 40, 6
KNOWN_MOST = 3_000
PATIENCE = 300.0  # seconds: a broker without CPU is out of its own cluster for minutes, no fault to find here
Event = dict[str, Any]


@dataclass
class Feeder:
    """Writes to one topic. One thread uses it; `paused` and `feeding` are for the others."""

    kafka: str
    registry: str
    product: str
    seed: int
    written: int = 0
    ends: list[int] = field(default_factory=lambda: [0] * PARTITIONS)

    def __post_init__(self) -> None:
        self._topic = f"{self.product}.v1"
        self._chance = random.Random(self.seed)
        self._known: list[Event] = []
        self._stamp = 0
        text = service.schema(self.product)
        self._schema = fastavro.parse_schema(json.loads(text.replace(', "logicalType": "timestamp-micros"', "")))
        with urllib.request.urlopen(f"{self.registry}/subjects/{self._topic}-value/versions/latest") as answer:
            self._frame = b"\x00" + int(json.load(answer)["id"]).to_bytes(4, "big")
        self._producer = Producer(
            {
                "bootstrap.servers": self.kafka,
                "transactional.id": f"feeds-{self._topic}",
                "transaction.timeout.ms": int(2 * PATIENCE * 1_000),
                "linger.ms": 5,
            }
        )
        self._producer.init_transactions(PATIENCE)

    def batch(self, size: int, *, last: bool = False) -> None:
        """One transaction with so many orders, and the marks after them."""
        self._stamp = max(self._stamp + 1, time.time_ns() // 1_000)
        self._producer.begin_transaction()
        for event in [self._event() for _ in range(size)]:
            body = io.BytesIO()
            fastavro.schemaless_writer(body, self._schema, {**event, "recorded_at": self._stamp})
            key = key_bytes([event["customer"]])
            self._send(self._topic, key, self._frame + body.getvalue(), partition_of(key, PARTITIONS), self._told)
        assert self._producer.flush(PATIENCE) == 0
        through = self._stamp + (FAR if last else 0)
        for partition, end in enumerate(self.ends):
            mark = _long(through) + _long(end)
            self._send(f"{self._topic}.progress", str(partition).encode(), mark, partition, None)
        self._producer.commit_transaction(PATIENCE)
        self.written += size
        self._stamp = through

    @contextmanager
    def feeding(self, *, size: int = 40, every: float = 0.1) -> Iterator[None]:
        """Batches all the while, in a thread of its own; the last one closes every tick."""
        stopping, failed = threading.Event(), list[BaseException]()

        def feed() -> None:
            try:
                while not stopping.wait(every):
                    self.batch(self._chance.randint(1, 2 * size))
                self.batch(1, last=True)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=feed, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join(3 * PATIENCE)
        assert not failed, failed

    def _event(self) -> Event:
        chance = self._chance
        if not self._known or chance.random() < 0.7:
            number = f"e{len(self._known)}-{chance.getrandbits(64):x}"
            event = {
                "event_id": number, "customer": f"c{chance.randrange(CUSTOMERS)}", "kind": "assert", "revision": 1,
                **self._said(),
            }  # fmt: skip
            if len(self._known) < KNOWN_MOST:
                self._known.append(event)
            else:
                self._known[chance.randrange(KNOWN_MOST)] = event
            return event
        place = chance.randrange(len(self._known))
        event = self._known[place]
        if chance.random() < 0.2:
            return event  # a repeat
        kind = chance.choice(["correct", "correct", "correct", "retract"])
        event = {
            **event,
            "kind": kind,
            "revision": event["revision"] + 1,
            **(self._said() if kind == "correct" else {}),
        }
        self._known[place] = event
        return event

    def _said(self) -> Event:
        return {
            "number": self._chance.randrange(NUMBERS),
            "occurred_at": START + self._chance.randrange(HOURS * HOUR),
        }

    def _send(self, topic: str, key: bytes, value: bytes, partition: int, told: Any) -> None:
        self._producer.produce(topic, value, key, partition, on_delivery=told, timestamp=max(0, self._stamp) // 1_000)
        self._producer.poll(0)

    def _told(self, error: Any, message: Any) -> None:
        assert error is None, error
        self.ends[message.partition()] = max(self.ends[message.partition()], message.offset() + 1)


def _long(value: int) -> bytes:
    """Avro's variable-length integer."""
    left, out = value << 1, bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)
