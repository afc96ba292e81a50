"""What is in the topics, read without anything of the product's own: ends, records, whether something is still open."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import IsolationLevel as Isolation
from confluent_kafka.admin import AdminClient, OffsetSpec

OPEN_SECONDS = 60.0
ASKS_SECONDS = 300.0  # a broker that is short of CPU is put out of its own cluster, and back in, with all it leads
_CONSUMER = {
    "group.id": "chaos-checkers",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "fetch.wait.max.ms": 10,
    "log_level": 2,
}


@dataclass(frozen=True, slots=True)
class Raw:
    """A committed record as it lies in its partition."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: dict[str, bytes]
    tombstone: bool = False

    def digest(self) -> bytes:
        """What tells it from every other record."""
        parts = (self.key, self.value, repr(sorted(self.headers.items())).encode(), str(self.timestamp).encode())
        return hashlib.blake2b(b"\x00".join(parts), digest_size=12).digest()


@lru_cache(maxsize=4)
def admin(bootstrap: str) -> AdminClient:
    """A client that asks for offsets."""
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})


def places_of(topics: Sequence[str], partitions: int) -> list[TopicPartition]:
    """Every partition of the topics, at its first offset."""
    return [TopicPartition(topic, number, 0) for topic in topics for number in range(partitions)]


def ends(bootstrap: str, places: Sequence[TopicPartition], isolation: Isolation) -> dict[tuple[str, int], int]:
    """The end of each partition: high watermarks, or last stable offsets."""
    wanted = {place: OffsetSpec.latest() for place in places}
    deadline = time.monotonic() + ASKS_SECONDS
    while True:
        client = admin(bootstrap)  # held until it has answered: another thread may clear the cache, and who asks waits
        try:
            asked = client.list_offsets(wanted, isolation_level=isolation)
            return {(place.topic, place.partition): future.result().offset for place, future in asked.items()}
        except KafkaException:
            admin.cache_clear()  # after a broker was away a client may hold on to what it knew of leaders
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def open_transactions(bootstrap: str, places: Sequence[TopicPartition]) -> bool:
    """Whether a transaction is open on any of these partitions."""
    high = ends(bootstrap, places, Isolation.READ_UNCOMMITTED)
    return ends(bootstrap, places, Isolation.READ_COMMITTED) != high


def wait_until_closed(bootstrap: str, places: Sequence[TopicPartition]) -> None:
    """Until nothing is open: the last stable offset is the high watermark, twice."""
    deadline = time.monotonic() + OPEN_SECONDS
    while any(open_transactions(bootstrap, places) for _ in range(2)):
        assert time.monotonic() < deadline, "a transaction stays open"
        time.sleep(0.2)


def read(bootstrap: str, places: Sequence[TopicPartition]) -> Iterator[Raw]:
    """Everything that is committed up to now, partition by partition in order of offsets."""
    stable = ends(bootstrap, places, Isolation.READ_COMMITTED)
    left = {(place.topic, place.partition) for place in places if stable[place.topic, place.partition]}
    consumer = Consumer({"bootstrap.servers": bootstrap, **_CONSUMER})
    consumer.assign([place for place in places if (place.topic, place.partition) in left])
    while left:
        for message in consumer.consume(5_000, 1.0):
            place = (message.topic(), message.partition())
            if message.error():
                if message.offset() >= stable[place]:
                    left.discard(place)
            elif message.offset() < stable[place]:
                yield _raw(message)
    consumer.close()


def newest_value(bootstrap: str, topic: str) -> bytes:
    """The newest committed value of a topic of one partition."""
    place = TopicPartition(topic, 0)
    high = ends(bootstrap, [place], Isolation.READ_COMMITTED)[topic, 0]
    value = b""
    for raw in read(bootstrap, [TopicPartition(topic, 0, max(0, high - 500))]):
        value = raw.value
    return value


def _raw(message: Any) -> Raw:
    return Raw(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        timestamp=message.timestamp()[1],
        key=message.key() or b"",
        value=message.value() or b"",
        headers=dict(message.headers() or ()),
        tombstone=message.value() is None,
    )
