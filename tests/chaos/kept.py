"""What a runner keeps on its disk, against a fresh replay of its changelogs and of the inputs that it remembers.

RocksDB and Kafka are read by themselves.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import IsolationLevel as Isolation
from rocksdict import Options, Rdict
from tests.chaos import history, topics

_POSITIONS = b"\xff\xff"
_VERSIONS = b"versions."


@dataclass(frozen=True)
class Stage:
    """A stage by its group, with the changelog of what it keeps, and the schema of the events that it reads."""

    group: str
    changelog: str
    partitions: int
    events: str = ""


@dataclass(frozen=True)
class Store:
    """One partition's entries, and the changelog's offset up to which they are said to be; `remembers` is the same of
    inputs, whose versions are `versions`.
    """

    reflects: int
    entries: Mapping[bytes, bytes]
    remembers: Mapping[str, int]
    versions: Mapping[bytes, bytes]


def stores(folder: Path) -> dict[int, Store]:
    """What lies in a store's folder, by partition; read from a copy, for opening it replays its log."""
    with tempfile.TemporaryDirectory(prefix="headwater-kept-") as copy:
        there = Path(copy) / "store"
        shutil.copytree(folder, there)
        database = Rdict(str(there), options=Options(raw_mode=True))
        entries = [(bytes(key), bytes(value)) for key, value in database.items()]
        database.close()
    positions = {int.from_bytes(key[2:], "big"): json.loads(value) for key, value in entries if key[:2] == _POSITIONS}
    found = {}
    for partition, position in positions.items():
        all_ = {key[2:]: value for key, value in entries if key[:2] == partition.to_bytes(2, "big")}
        remembers = position.get("recalled", {})
        versions = {key: value for key, value in all_.items() if remembers and key.startswith(_VERSIONS)}
        there = {key: value for key, value in all_.items() if key not in versions}
        found[partition] = Store(position["changelog"], there, remembers, versions)
    return found


def stale(kafka: str, stage: Stage, state: Path) -> int:
    """Entries, over all slots' folders, that a replay of the changelog up to the store's own position does not make, or
    of the inputs up to where it remembers them. Each topic is read once, behind all the stores.
    """
    kept = [store for folder in folders(state, stage) for store in stores(folder).items()]
    changes = list(topics.read(kafka, topics.places_of([stage.changelog], stage.partitions)))
    inputs = {
        topic: history.rows(kafka, topic, stage.events)
        for topic in sorted({topic for _, store in kept for topic in store.remembers})
    }
    wrong = 0
    for partition, store in kept:
        made = replayed(changes, partition, store.reflects)
        wrong += sum(store.entries.get(key) != value for key, value in _union(made, store.entries))
        wrong += misremembered(inputs, partition, store)
    return wrong


def behind(kafka: str, stage: Stage, state: Path) -> int:
    """How many partitions' stores reflect less than is committed in their changelog."""
    places = topics.places_of([stage.changelog], stage.partitions)
    stable = topics.ends(kafka, places, Isolation.READ_COMMITTED)
    return sum(
        store.reflects < stable[stage.changelog, partition]
        for folder in folders(state, stage)
        for partition, store in stores(folder).items()
    )


def folders(state: Path, stage: Stage) -> list[Path]:
    """The stores of a stage, one for each slot that has had one."""
    return sorted(folder for folder in (state / stage.group).glob("slot-*") if (folder / "CURRENT").exists())


def replayed(changes: Iterable[topics.Raw], partition: int, until: int) -> dict[bytes, bytes]:
    """The newest committed value of each key of a partition below an offset."""
    made: dict[bytes, bytes] = {}
    for raw in changes:
        if raw.partition != partition or raw.offset >= until:
            continue
        if raw.tombstone:
            made.pop(raw.key, None)
        else:
            made[raw.key] = raw.value
    return made


def misremembered(inputs: Mapping[str, Iterable[history.Row]], partition: int, store: Store) -> int:
    """Versions that are not the newest of their event below the offsets up to which the store remembers its inputs."""
    newest: dict[bytes, dict[str, Any]] = {}
    for topic, until in store.remembers.items():
        for row in inputs[topic]:
            if row.partition != partition or row.offset >= until:
                continue
            identity = len(row.key).to_bytes(2, "big") + row.key + row.record["event_id"].encode()
            known = newest.get(identity)
            if known is None or row.record["revision"] > known["revision"]:
                newest[identity] = row.record
    told = {key.split(b"\0", 1)[1]: json.loads(value) for key, value in store.versions.items()}
    return len(told.keys() ^ newest.keys()) + sum(
        not _tells(told[identity], newest[identity]) for identity in told.keys() & newest.keys()
    )


def _tells(version: list[Any], record: Mapping[str, Any]) -> bool:
    """Whether a version is of this record: its revision, and values of its fields, or none where it was taken back."""
    revision, row = version
    if revision != record["revision"] or (row is None) != (record["kind"] == "retract"):
        return False
    return row is None or all(value in record.values() for value in row)


def _union(made: Mapping[bytes, bytes], there: Mapping[bytes, bytes]) -> Iterator[tuple[bytes, bytes | None]]:
    yield from made.items()
    for key in there.keys() - made.keys():
        yield key, None
