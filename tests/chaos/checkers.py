"""C1 to C4 and C6, the stamps and the quarantine, in plain Python over a dump: nothing of the relay's own is used here.

The ledger says of every committed row what must become of it: a record of its product's topic, or one in quarantine.
"""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import fastavro
from tests.chaos.topics import Raw

BAD = ("lost", "duplicates", "phantom", "order_breaks", "stamp_breaks", "wrong", "unstable_offsets", "torn")
Place = tuple[str, int, int]


class Entry(NamedTuple):
    """A row of the ledger: what was committed, and what must become of it."""

    row_id: str
    topic: str
    customer: str
    version: int
    xid: str
    event_id: str
    kind: str
    revision: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as a read_committed reader sees it."""

    topic: str
    partition: int
    offset: int
    key: str
    row_id: str
    timestamp: int
    customer: str
    number: int
    recorded_at: int
    event_id: str
    kind: str
    revision: int
    digest: bytes

    @property
    def place(self) -> Place:
        return self.topic, self.partition, self.offset


def decode(raw: Iterable[Raw], schemas: Mapping[str, str]) -> list[Seen]:
    """Records by topic, partition and offset; decoded with the schema's own file."""
    parsed = {topic: fastavro.parse_schema(json.loads(text)) for topic, text in schemas.items()}
    found = [_seen(one, parsed[one.topic]) for one in raw]
    return sorted(found, key=lambda seen: seen.place)


def judge(seen: Sequence[Seen], aside: Sequence[Raw], ledger: Sequence[Entry]) -> dict[str, int]:
    """Counts of what must not be."""
    committed = {entry.row_id: entry for entry in ledger}
    published = Counter(one.row_id for one in seen)
    quarantined = Counter(one.headers["id"].decode() for one in aside)
    copies = published + quarantined
    return {
        "rows": len(committed),
        "quarantined": sum(quarantined.values()),
        "lost": sum(1 for row_id in committed if row_id not in copies),
        "duplicates": sum(count - 1 for count in copies.values()),
        "phantom": sum(1 for row_id in copies if row_id not in committed),
        "order_breaks": _order_breaks(seen),
        "stamp_breaks": _stamp_breaks(seen, committed),
        "wrong": sum(_wrong(one, committed[one.row_id]) for one in seen if one.row_id in committed)
        + sum(committed[row_id].outcome != "quarantined" for row_id in quarantined if row_id in committed),
    }


def unstable(seen: Sequence[Seen], others: Mapping[Place, bytes]) -> int:
    """C6: offsets at which two readers, at two times, saw different things; `others` may have read less far."""
    mine = {one.place: one.digest for one in seen}
    return sum(mine.get(place) != digest for place, digest in others.items())


def _wrong(one: Seen, entry: Entry) -> bool:
    told = (one.topic, one.customer, one.number, one.event_id, one.kind, one.revision, "published")
    return told != (
        entry.topic,
        entry.customer,
        entry.version,
        entry.event_id,
        entry.kind,
        entry.revision,
        entry.outcome,
    )


def _order_breaks(seen: Sequence[Seen]) -> int:
    """The versions of a key rise by one from offset to offset; a key lies in one partition."""
    breaks, last, homes = 0, defaultdict(int), defaultdict(set)
    for one in seen:
        breaks += one.number != last[one.topic, one.key] + 1 or one.key != one.customer
        last[one.topic, one.key] = one.number
        homes[one.topic, one.key].add(one.partition)
    return breaks + sum(len(partitions) - 1 for partitions in homes.values())


def _stamp_breaks(seen: Sequence[Seen], committed: Mapping[str, Entry]) -> int:
    """Recorded time never goes back in a partition, is one in a transaction, and is the record's timestamp."""
    breaks, last, stamps = 0, defaultdict(int), defaultdict(set)
    for one in seen:
        breaks += one.recorded_at < last[one.topic, one.partition] or one.timestamp != one.recorded_at // 1_000
        last[one.topic, one.partition] = one.recorded_at
        if one.row_id in committed:
            stamps[committed[one.row_id].xid].add(one.recorded_at)
    return breaks + sum(len(values) - 1 for values in stamps.values())


def _seen(raw: Raw, schema: Any) -> Seen:
    record = fastavro.schemaless_reader(io.BytesIO(raw.value[5:]), schema, None)
    assert isinstance(record, dict)
    return Seen(
        topic=raw.topic,
        partition=raw.partition,
        offset=raw.offset,
        key=raw.key.decode(),
        row_id=raw.headers["id"].decode(),
        timestamp=raw.timestamp,
        customer=record["customer"],
        number=record["number"],
        recorded_at=int(record["recorded_at"].timestamp() * 1_000_000 + 0.5),
        event_id=record["event_id"],
        kind=record["kind"],
        revision=record["revision"],
        digest=raw.digest(),
    )
