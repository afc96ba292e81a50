"""What a runner keeps on its disk, against a fresh replay of its changelogs: RocksDB and Kafka read by themselves."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import IsolationLevel as Isolation
from rocksdict import Options, Rdict
from tests.chaos import topics

_POSITIONS = b"\xff\xff"


@dataclass(frozen=True)
class Stage:
    """A stage by its group, with the changelog of what it keeps."""

    group: str
    changelog: str
    partitions: int


@dataclass(frozen=True)
class Store:
    """One partition's entries, and the changelog's offset up to which they are said to be."""

    reflects: int
    entries: Mapping[bytes, bytes]


def stores(folder: Path) -> dict[int, Store]:
    """What lies in a store's folder, by partition; read from a copy, for opening it replays its log."""
    with tempfile.TemporaryDirectory(prefix="headwater-kept-") as copy:
        there = Path(copy) / "store"
        shutil.copytree(folder, there)
        database = Rdict(str(there), options=Options(raw_mode=True))
        entries = [(bytes(key), bytes(value)) for key, value in database.items()]
        database.close()
    positions = {int.from_bytes(key[2:], "big"): json.loads(value) for key, value in entries if key[:2] == _POSITIONS}
    return {
        partition: Store(
            position["changelog"],
            {key[2:]: value for key, value in entries if key[:2] == partition.to_bytes(2, "big")},
        )
        for partition, position in positions.items()
    }


def stale(kafka: str, stage: Stage, state: Path) -> int:
    """Entries, over all slots' folders, that a replay of the changelog up to the store's own position does not make."""
    wrong = 0
    for folder in folders(state, stage):
        for partition, store in stores(folder).items():
            wrong += sum(
                store.entries.get(key) != value
                for key, value in _union(replayed(kafka, stage, partition, store.reflects), store.entries)
            )
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


def replayed(kafka: str, stage: Stage, partition: int, until: int) -> dict[bytes, bytes]:
    """The newest committed value of each key below an offset."""
    made: dict[bytes, bytes] = {}
    for raw in topics.read(kafka, [place for place in topics.places_of([stage.changelog], stage.partitions)
                                   if place.partition == partition]):  # fmt: skip
        if raw.offset >= until:
            break
        if raw.tombstone:
            made.pop(raw.key, None)
        else:
            made[raw.key] = raw.value
    return made


def _union(made: Mapping[bytes, bytes], there: Mapping[bytes, bytes]) -> Iterator[tuple[bytes, bytes | None]]:
    yield from made.items()
    for key in there.keys() - made.keys():
        yield key, None
