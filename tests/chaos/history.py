"""C8: history is never rewritten. D(T) is the digest of all that is recorded up to a settled T; it stays for ever.

Plain Python over dumps, nothing of the product's own: marks and records are decoded here by themselves.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import fastavro
from tests.chaos import topics

FRAME = 5  # a magic byte and the schema's id


@dataclass(frozen=True, slots=True)
class Row:
    """A record: where it lies, its bytes, and what it says, with instants in microseconds."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    timestamp: int
    record: dict[str, Any]
    digest: bytes

    @property
    def body(self) -> bytes:
        """What tells it from any other, whatever its schema's id."""
        return b"\x00".join((self.key, self.value[FRAME:], str(self.timestamp).encode()))


def rows(kafka: str, topic: str, schema: str) -> list[Row]:
    """All committed records of a topic, by partition and offset."""
    parsed = fastavro.parse_schema(json.loads(schema.replace(', "logicalType": "timestamp-micros"', "")))
    count = len(topics.admin(kafka).list_topics(timeout=30).topics[topic].partitions)
    found = []
    for raw in topics.read(kafka, topics.places_of([topic], count)):
        record = fastavro.schemaless_reader(io.BytesIO(raw.value[FRAME:]), parsed, None)
        assert isinstance(record, dict)
        found.append(Row(raw.partition, raw.offset, raw.key, raw.value, raw.timestamp, record, raw.digest()))
    return sorted(found, key=lambda row: (row.partition, row.offset))


def settled(kafka: str, progress: str, partitions: int) -> int:
    """The least of the newest marks; -1 before every partition has one."""
    newest: dict[int, int] = {}
    for raw in topics.read(kafka, topics.places_of([progress], partitions)):
        newest[raw.partition] = _first_long(raw.value)
    return min(newest.values()) if len(newest) == partitions else -1


def digest(found: Iterable[Row], until: int) -> str:
    """D(T): of all rows with recorded time up to T, in the order of their partitions."""
    total = hashlib.blake2b(digest_size=16)
    for row in found:
        if row.record["recorded_at"] <= until:
            total.update(row.partition.to_bytes(4) + row.offset.to_bytes(8) + row.digest)
    return total.hexdigest()


@dataclass
class Digests:
    """Digests taken while things happen, each looked at again at every later look.

    `read` gives a product's rows, `settled` up to when it is settled; both are asked anew each time.
    """

    read: Callable[[str], list[Row]]
    settled: Callable[[str], int]
    products: Iterable[str]
    kept: dict[str, dict[int, str]] = field(default_factory=dict)
    checked: int = 0
    changed: int = 0
    notes: list[str] = field(default_factory=list)

    def look(self, when: str = "") -> None:
        """Recompute all that is kept, then keep D of what is settled now. T is read first: what follows lies above."""
        for product in self.products:
            until = self.settled(product)
            found = self.read(product)
            kept = self.kept.setdefault(product, {})
            for earlier, told in kept.items():
                self.checked += 1
                if digest(found, earlier) != told:
                    self.changed += 1
                    self.notes.append(f"{product} as of {earlier} changed: {when}")
            if until >= 0:
                kept[until] = digest(found, until)

    def report(self) -> Mapping[str, Any]:
        taken = sum(map(len, self.kept.values()))
        return {"digests": taken, "digests_checked": self.checked, "digests_changed": self.changed, "notes": self.notes}


def _first_long(value: bytes) -> int:
    """Avro's variable-length integer at the start."""
    number = shift = 0
    for byte in value:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return (number >> 1) ^ -(number & 1)
