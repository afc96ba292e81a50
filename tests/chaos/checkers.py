"""C1 to C4 and the recorded time, in plain Python over a dump of the topic: nothing of the relay's own is used here.

Each dump waits until nothing is open: the last stable offset is the high watermark, twice.
"""

from __future__ import annotations

import io
import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import fastavro
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka import IsolationLevel as Isolation
from confluent_kafka.admin import AdminClient, OffsetSpec


@dataclass(frozen=True)
class Seen:
    """A record as a read_committed reader sees it."""

    partition: int
    offset: int
    key: str
    row_id: str
    timestamp: int
    record: dict[str, Any]


def ends(bootstrap: str, places: Sequence[TopicPartition], isolation: Isolation) -> dict[tuple[str, int], int]:
    """The end of each partition: high watermarks, or last stable offsets."""
    asked = _admin(bootstrap).list_offsets({place: OffsetSpec.latest() for place in places}, isolation_level=isolation)
    return {(place.topic, place.partition): future.result().offset for place, future in asked.items()}


@lru_cache(maxsize=4)
def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})


def open_transactions(bootstrap: str, places: Sequence[TopicPartition]) -> bool:
    """Whether a transaction is open on any of these partitions."""
    high = ends(bootstrap, places, Isolation.READ_UNCOMMITTED)
    return ends(bootstrap, places, Isolation.READ_COMMITTED) != high


def dump(bootstrap: str, topic: str, partitions: int, schema: str) -> list[Seen]:
    """Everything that is committed, decoded with the schema's own file."""
    places = [TopicPartition(topic, number, 0) for number in range(partitions)]
    deadline = time.monotonic() + 60
    while any(open_transactions(bootstrap, places) for _ in range(2)):
        assert time.monotonic() < deadline, "a transaction stays open"
        time.sleep(0.2)
    high = ends(bootstrap, places, Isolation.READ_UNCOMMITTED)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "chaos-checkers",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,
            "log_level": 2,
        }
    )
    consumer.assign(places)
    parsed, found, left = fastavro.parse_schema(json.loads(schema)), [], set(range(partitions))
    while left:
        for message in consumer.consume(5_000, 1.0):
            if message.error():
                if message.offset() >= high[topic, message.partition()]:
                    left.discard(message.partition())
                continue
            found.append(_seen(message, parsed))
    consumer.close()
    return sorted(found, key=lambda seen: (seen.partition, seen.offset))


def newest_value(bootstrap: str, topic: str) -> bytes:
    """The newest committed value of a topic of one partition."""
    place = TopicPartition(topic, 0)
    high = ends(bootstrap, [place], Isolation.READ_COMMITTED)[topic, 0]
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "chaos-checkers", "enable.partition.eof": True,
                         "enable.auto.commit": False, "fetch.wait.max.ms": 10, "log_level": 2})  # fmt: skip
    consumer.assign([TopicPartition(topic, 0, max(0, high - 500))])
    value = b""
    while True:
        for message in consumer.consume(500, 1.0):
            if message.error():
                consumer.close()
                return value
            value = message.value()


def judge(seen: Sequence[Seen], ledger: Sequence[tuple[str, str, int, str]]) -> dict[str, int]:
    """Counts of what must not be."""
    committed = {row_id: (customer, version, xid) for row_id, customer, version, xid in ledger}
    copies = Counter(one.row_id for one in seen)
    return {
        "rows": len(committed),
        "lost": sum(1 for row_id in committed if row_id not in copies),
        "duplicates": sum(count - 1 for count in copies.values()),
        "phantom": sum(1 for row_id in copies if row_id not in committed),
        "order_breaks": _order_breaks(seen),
        "stamp_breaks": _stamp_breaks(seen, committed),
    }


def _order_breaks(seen: Sequence[Seen]) -> int:
    """The versions of a key rise by one from offset to offset; a key lies in one partition."""
    breaks, last, homes = 0, defaultdict(int), defaultdict(set)
    for one in seen:
        breaks += one.record["number"] != last[one.key] + 1 or one.key != one.record["customer"]
        last[one.key] = one.record["number"]
        homes[one.key].add(one.partition)
    return breaks + sum(len(partitions) - 1 for partitions in homes.values())


def _stamp_breaks(seen: Sequence[Seen], committed: dict[str, tuple[str, int, str]]) -> int:
    """Recorded time never goes back in a partition, is one in a transaction, and is the record's timestamp."""
    breaks, last, stamps = 0, defaultdict(int), defaultdict(set)
    for one in seen:
        recorded_at = int(one.record["recorded_at"].timestamp() * 1_000_000 + 0.5)
        breaks += recorded_at < last[one.partition] or one.timestamp != recorded_at // 1_000
        last[one.partition] = recorded_at
        stamps[committed[one.row_id][2] if one.row_id in committed else ""].add(recorded_at)
    return breaks + sum(len(values) - 1 for xid, values in stamps.items() if xid)


def _seen(message: Any, schema: Any) -> Seen:
    record = fastavro.schemaless_reader(io.BytesIO(message.value()[5:]), schema, None)
    assert isinstance(record, dict)
    row_id = dict(message.headers())["id"].decode()
    return Seen(
        message.partition(), message.offset(), message.key().decode(), row_id, message.timestamp()[1], dict(record)
    )
