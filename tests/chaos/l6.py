"""L6: the index of `headwater serve` is killed while it is filled, and goes on; half-way the topic is made anew.

`run(trials=100, seed=1)`: so many SIGKILLs, before a batch is written, while it is, after it, and at chance. After each
of them rows and position agree: what lies before the position is there, each record once, and nothing behind it. In the
end the index answers what the log holds.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos import lakes
from tests.chaos.counted import counted
from tests.chaos.lakes import PARTITIONS, PRODUCT, TICK, Log

from headwater.ports.answers import Question
from headwater.ports.index.answers import IndexAnswers
from headwater.ports.index.directory import Directory
from headwater.ports.index.follower import Index
from headwater.ports.index.layout import (
    BATCHES,
    BATCHES_END,
    OFFSET,
    PLACE,
    RECORDS,
    RECORDS_END,
    Change,
    Store,
    read_place,
    unpack_batch,
)
from headwater.ports.protocol import Reader
from headwater.ports.record import EndOfPartition, Fetched, TopicPartition
from headwater.processing.state_rocksdb import RocksStates
from headwater.timeline.clock import SystemClock

GROWTH = 40  # records more with each life
BATCH = 5
POINTS = ("before", "during", "after", "")
PLACES = [TopicPartition(PRODUCT.output.topic, number) for number in range(PARTITIONS)]


class Paced(Log):
    """A log that gives a few records at a time, so that filling takes many batches."""

    def reader(self, offsets: Mapping[TopicPartition, int]) -> Reader:
        return _Few(super().reader(offsets))  # type: ignore[return-value]


class _Few:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def fetch(self, limit: int, timeout: float) -> list[Fetched | EndOfPartition]:
        return list(self._reader.fetch(min(limit, BATCH), timeout))

    def close(self) -> None:
        self._reader.close()


@dataclass
class Doom:
    """Which write of a life is its last, and where in it the life ends."""

    point: str
    left: int
    chance: random.Random

    def strike(self, point: str) -> None:
        if point == "before":
            self.left -= 1
        if self.left == 0 and point == "before" and self.point == "during":
            threading.Timer(self.chance.uniform(0.0, 0.001), os.kill, (os.getpid(), signal.SIGKILL)).start()
        if self.left == 0 and point == self.point:
            os.kill(os.getpid(), signal.SIGKILL)


class Struck:
    """A store whose writes may be a life's last."""

    def __init__(self, store: Store, doom: Doom) -> None:
        self._store, self._doom = store, doom
        self.get, self.scan, self.wipe = store.get, store.scan, store.wipe

    def apply(self, changes: Iterable[Change]) -> None:
        self._doom.strike("before")
        self._write(list(changes))
        self._doom.strike("after")

    def _write(self, changes: list[Change]) -> None:
        self._store.apply(changes)


class Hasty(Struck):
    """A saboteur: the position is written first, and then what it speaks of."""

    def _write(self, changes: list[Change]) -> None:
        self._store.apply([one for one in changes if one[0] == PLACE])
        if self._doom.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)  # where the machine stops between the two
        self._store.apply([one for one in changes if one[0] != PLACE])


class StruckStores:
    """Stores of a folder; of the products', not of the directory, writes may be the last."""

    def __init__(self, folder: Path, doom: Doom, made: type[Struck]) -> None:
        self._states, self._doom, self._made = RocksStates(folder, clock=SystemClock()), doom, made

    def task(self, number: int, /) -> Any:
        store = self._states.task(number)
        return store if number == 0 else self._made(store, self._doom)

    def close(self) -> None:
        self._states.close()


@dataclass(frozen=True)
class Life:
    """A server's index, filled from a log of so many records until it ends, or is ended."""

    folder: Path
    seed: int
    count: int
    point: str = ""
    writes: int = 0
    saboteur: str = ""
    anew: bool = False
    chance: int = 0

    def live(self) -> None:
        """In a process of its own."""
        doom = Doom(self.point, self.writes, random.Random(self.chance))
        stores = StruckStores(self.folder, doom, Hasty if self.saboteur == "hasty" else Struck)
        index = _index(Paced(self.seed, self.count, anew=self.anew), stores)
        while index.step():
            pass
        index.close()


def run(*, trials: int = 8, seed: int = 1, saboteur: str = "") -> dict[str, Any]:
    """So many kills. The saboteur `hasty` writes a position before the records that it speaks of."""
    chance, started, killed = random.Random(seed), time.monotonic(), 0
    counts = Counter[str](rows=0, lost=0, duplicates=0, phantom=0, order_breaks=0, files_twice=0)
    folder = Path(tempfile.mkdtemp(prefix="index", dir="/var/tmp"))
    try:
        for trial in counted("L6", trials):
            point, anew = POINTS[trial % len(POINTS)], trial >= trials // 2
            size, drawn = (trial + 1) * GROWTH, chance.randrange(1 << 30)
            life = Life(folder, seed, size, point, chance.randint(1, 6), saboteur, anew, drawn)
            process = lakes.start(life)  # type: ignore[arg-type]
            if not point:
                time.sleep(chance.uniform(0.0, 0.4))
                process.kill()
            killed += lakes.end(process) == -9
            counts += _judged(folder, Log(seed, size))
        last = Life(folder, seed, trials * GROWTH, anew=True)
        well = lakes.end(lakes.start(last), 120.0) == 0  # type: ignore[arg-type]
        log, counts["rows"] = Log(seed, trials * GROWTH, anew=True), 0
        counts += _judged(folder, log)
        whole = _answered(folder, log, trials * GROWTH)
    finally:
        shutil.rmtree(folder)
    return lakes.answer(
        "L6", seed, trials, {name: counts[name] for name in ("rows", "lost", "duplicates", "phantom", "order_breaks",
        "files_twice")}, {"ends_well": well, "answers": whole}, kills=killed,
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _index(log: Log, stores: Any) -> Index:
    return Index([PRODUCT], log, log.registry, stores, tick=TICK, clock=SystemClock())


def _judged(folder: Path, log: Log) -> Counter[str]:
    """What the stores on disk say against the log, up to the position that each of them has."""
    states, counts = RocksStates(folder, clock=SystemClock()), Counter[str]()
    try:
        directory = Directory(states)
        for place in PLACES:
            store = directory.store(place)
            reached = read_place(store)
            end = reached.offset if reached is not None else 0
            rows = Counter(OFFSET.unpack(key[-8:])[0] for key, _ in store.scan(RECORDS, RECORDS_END))
            values = {OFFSET.unpack(key[-8:])[0]: value for key, value in store.scan(RECORDS, RECORDS_END)}
            wanted = dict(_committed(log, place, end))
            kept = Counter(key for one in store.scan(BATCHES, BATCHES_END) for key in unpack_batch(*one).keys)
            counts["rows"] += len(values)
            counts["lost"] += sum(values.get(offset) != value for offset, value in wanted.items())
            counts["lost"] += rows.total() - len(kept)  # what no batch has is never removed by retention
            counts["duplicates"] += rows.total() - len(values) + kept.total() - len(kept)
            counts["phantom"] += len(values.keys() - wanted.keys())
    finally:
        states.close()
    return counts


def _committed(log: Log, place: TopicPartition, end: int) -> Iterator[tuple[int, bytes | None]]:
    for offset in range(min(end, log.ends([place])[place])):
        message = log.visible(place, offset)
        if message is not None:
            yield offset, message.value


def _answered(folder: Path, log: Log, count: int) -> bool:
    """Whether the index, opened once more, answers with each event of the log, once."""
    index = _index(log, RocksStates(folder, clock=SystemClock()))
    try:
        while index.step():
            pass
        rows = IndexAnswers(index, PRODUCT.output.topic).history(Question()).rows
    finally:
        index.close()
    return sorted(str(row["event_id"]) for row in rows) == sorted(f"{log.seed}-{number}" for number in range(count))
