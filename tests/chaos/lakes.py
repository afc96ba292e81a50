"""Lives of the lake's writer: real processes over one log that each makes anew from a seed, and one table on disk.

The log is in memory, so that a life costs a tenth of a second and hundreds can be ended; writer, table, catalogue and
files are those that are shipped. What a life is to do is a `Life`; how it ended is its exit code, or the signal.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import duckdb

from headwater.errors import HeadwaterError
from headwater.hooks import Hooks, arm
from headwater.mesh.products import ResolvedProduct
from headwater.ports.access import WHOLE, Access, DenyClassified, View
from headwater.ports.keys import key_bytes, partition_of
from headwater.ports.lake.catalog_iceberg import IcebergLake, open_catalog
from headwater.ports.lake.maintain_iceberg import Kept, Maintenance, Tended
from headwater.ports.lake.progress import Progress, Seen
from headwater.ports.lake.table import Files, Refused, Unsure
from headwater.ports.lake.table_iceberg import IcebergTable
from headwater.ports.lake.writer import Around, LakeOptions, LakeWriter
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import TopicPartition
from headwater.schemas.codec import RowCodec, frame
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.source_products import make_topics, order_events, source_product
from headwater.timeline.clock import SystemClock
from headwater.timeline.instant import Duration, Instant

PARTITIONS, TICK = 4, 100_000
STOPPED = 40  # the exit code of a writer that stopped by itself; its code's digits come from the log
DAY = 86_400_000_000


def secret_product() -> ResolvedProduct:
    """People with a field that is personal, and an address that holds one."""
    street = {"name": "street", "type": "string", "confluent:tags": ["PII"]}
    address = {"type": "record", "name": "Address", "fields": [{"name": "city", "type": "string"}, street]}
    fields: list[dict[str, object]] = [
        {"name": "customer", "type": "string"},
        {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "email", "type": "string", "confluent:tags": ["PII"]},
        {"name": "address", "type": address},
    ]
    return source_product("people.seen", fields, key=("customer",), partitions=PARTITIONS, ports=("topic", "lake"))


PRODUCT = order_events(partitions=PARTITIONS, ports=("topic", "lake"))


class Log(MemoryBroker):
    """A topic with so many records of a seed, each in a transaction of its own; the same in every life.

    `identity` tells a topic that was made anew; `lying` says the same of every topic of the name.
    """

    def __init__(self, seed: int, count: int, *, anew: bool = False, lying: bool = False) -> None:
        super().__init__()
        self.seed, self.registry = seed, MemoryRegistry()
        self._identity = f"{seed}-{anew and not lying}"
        make_topics([PRODUCT], self, self.registry)
        found = self.registry.find(PRODUCT.output.subject, PRODUCT.output.schema)
        assert found is not None
        sink, encode = self.sink("writer"), RowCodec(PRODUCT.output.schema).encode
        sink.open()
        for record in records(seed, count):
            sink.begin()
            key = key_bytes([record["customer"]])
            value = frame(found.id, encode(record))
            place = partition_of(key, PARTITIONS)
            sink.send(PRODUCT.output.topic, key, value, timestamp=0, partition=place)
            sink.commit()

    def identity(self, topic: str) -> str:
        return self._identity


def records(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """The first so many records of a seed."""
    chance = random.Random(seed)
    for number in range(count):
        yield {
            "event_id": f"{seed}-{number}", "customer": f"c{chance.randrange(50)}", "number": number, "note": None,
            "occurred_at": number, "recorded_at": number * DAY // 200, "kind": "assert", "revision": 1,
        }  # fmt: skip


class Unfenced(IcebergTable):
    """A saboteur: PyIceberg's own retries, on whatever head they find."""

    def append(self, seen: Seen, files: Files, progress: Progress) -> Seen:
        transaction = self.load().transaction()  # the newest head, whatever was seen
        with transaction.update_snapshot(snapshot_properties=progress.properties()).fast_append() as append:
            for one in files.state:
                append.append_data_file(one)
        transaction.commit_transaction()
        return self.look()


class Careless(IcebergTable):
    """A saboteur: rows are one commit, and what was read another."""

    def append(self, seen: Seen, files: Files, progress: Progress) -> Seen:
        before = seen.progress or replace(progress, offsets={}, commit="none")
        between = super().append(seen, files, replace(before, commit=progress.commit))
        if random.random() < 0.5:  # where the machine stops between the two
            os.kill(os.getpid(), 9)
        return super().append(between, Files((), 0, []), progress)


class Topmost(IcebergTable):
    """A saboteur: progress is what the current snapshot says, and where it says none, nothing was read."""

    def look(self) -> Seen:
        seen = super().look()
        head = seen.state.metadata.current_snapshot()
        said = head.summary.additional_properties if head is not None and head.summary is not None else {}
        return replace(seen, head=seen.head if said.get("headwater.offsets") else "", progress=Progress.of(said))

    def append(self, seen: Seen, files: Files, progress: Progress) -> Seen:
        return super().append(super().look(), files, progress)


class Deaf(IcebergTable):
    """The catalogue's answers get lost, in half of the attempts: after the deed, or before it."""

    def append(self, seen: Seen, files: Files, progress: Progress) -> Seen:
        fate = random.random()
        if fate < 0.2:
            raise Unsure
        found = super().append(seen, files, progress)
        if fate < 0.5:
            raise Unsure
        return found


class Repeating(Deaf):
    """A saboteur: an answer that did not come is a reason to do it again."""

    def append(self, seen: Seen, files: Files, progress: Progress) -> Seen:
        while True:
            try:
                return super().append(seen, files, progress)
            except (Refused, Unsure):
                seen = self.look()


TABLES: dict[str, type[IcebergTable]] = {
    "": IcebergTable, "unfenced": Unfenced, "careless": Careless, "topmost": Topmost, "deaf": Deaf,
    "repeating": Repeating,
}  # fmt: skip


@dataclass(frozen=True)
class Life:
    """What a writer does before it ends: fill the table from a log of so many records."""

    folder: Path
    seed: int
    count: int
    failpoint: str = ""
    table: str = ""
    anew: bool = False
    lying: bool = False
    batch: int = 10
    chance: int = 0

    def live(self) -> None:
        """In a process of its own."""
        random.seed(self.chance)
        log = Log(self.seed, self.count, anew=self.anew, lying=self.lying)
        around = Around(log, log.registry, TICK, SystemClock(), Hooks(), failpoint=arm(self.failpoint))
        options = LakeOptions(until_end=True, held_bytes=1, at_once=self.batch)
        plain = lake(self.folder).table(PRODUCT)
        table = TABLES[self.table](plain._catalog, plain.name, PRODUCT.output.output.key)
        try:
            LakeWriter(PRODUCT, table, around, options).run(lambda: False)
        except HeadwaterError as error:
            (self.folder / "stopped").write_text(error.code)
            sys.exit(STOPPED)


_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.chaos.lakes"])


def start(life: Life) -> BaseProcess:
    """A life, begun."""
    process = _CONTEXT.Process(target=life.live, daemon=True)
    process.start()
    return process


def end(process: BaseProcess, seconds: float = 60.0) -> int:
    """How it ended: 0, `STOPPED`, or minus a signal's number."""
    process.join(seconds)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
        return 99
    return code


def stopped_by(folder: Path) -> str:
    """The code of the error that the last writer stopped with."""
    said = folder / "stopped"
    return said.read_text() if said.exists() else ""


def lake(folder: Path, access: Access | None = None) -> IcebergLake:
    """The lake in a folder."""
    return IcebergLake(open_catalog({"uri": f"sqlite:///{folder}/c.db", "warehouse": f"file://{folder}/t"}), access)


@contextmanager
def shore(product: ResolvedProduct = PRODUCT, access: Access | None = None) -> Iterator[Path]:
    """A folder with the product's table in it, empty."""
    folder = Path(tempfile.mkdtemp(prefix="lake", dir="/var/tmp"))
    try:
        lake(folder, access).ensure(product)
        yield folder
    finally:
        shutil.rmtree(folder)


def tend(folder: Path, *, strays: int = 1, ahead: int = 5_000_000) -> Tended:
    """Maintenance that keeps nothing for anybody, as of so many microseconds from now."""
    made = lake(folder)
    kept = Kept(snapshots=Duration(1), strays=Duration(strays))
    now = Instant(SystemClock().now() + ahead)
    return Maintenance(made.table(PRODUCT), made.source(PRODUCT), kept).tend(now)


def judge(folder: Path, seed: int, count: int) -> dict[str, int]:
    """What is in the table against what the log holds, by DuckDB over the files of the current snapshot."""
    log = Log(seed, count)
    places = [TopicPartition(PRODUCT.output.topic, number) for number in range(PARTITIONS)]
    wanted = Counter[tuple[int, int, str]]()
    for place in places:
        for offset in range(log.ends([place])[place]):
            message = log.visible(place, offset)
            if message is not None and message.value is not None:
                record = RowCodec(PRODUCT.output.schema).decode(message.value[5:])
                wanted[place.partition, offset, str(record["event_id"])] += 1
    named = files(folder)
    rows = f"read_parquet({sorted(set(named))})" if named else "(SELECT 0 a, 0 b, '' c WHERE false)"
    columns = "headwater_partition, headwater_offset, event_id" if named else "a, b, c"
    found = Counter(duckdb.connect().execute(f"SELECT {columns} FROM {rows}").fetchall())
    for path, times in Counter(named).items():
        if times > 1:  # a file that a snapshot names twice has its rows twice
            found.update(duckdb.connect().execute(f"SELECT {columns} FROM read_parquet(['{path}'])").fetchall())
    return {
        "rows": sum(found.values()),
        "lost": len(wanted.keys() - found.keys()),
        "duplicates": sum(times - 1 for times in found.values()),
        "phantom": len(found.keys() - wanted.keys()),
        "order_breaks": 0,
        "files_twice": len(named) - len(set(named)),
    }


def files(folder: Path) -> Sequence[str]:
    """The files that the current snapshot names, as often as it names them."""
    tasks = lake(folder).table(PRODUCT).load().scan().plan_files()
    return [task.file.file_path.removeprefix("file://") for task in tasks]


def stored(folder: Path) -> int:
    """The data files on disk."""
    return len(list(folder.rglob("*.parquet")))


def answer(
    program: str, seed: int, trials: int, counts: dict[str, int], asked: dict[str, bool], **more: Any
) -> dict[str, Any]:
    """The result as `make chaos` writes it."""
    against = [name for name in ("lost", "duplicates", "phantom", "order_breaks", "files_twice") if counts[name]]
    against += [name for name, right in asked.items() if not right]
    passed = not against and counts["rows"] > 0
    return {"id": program, "trials": trials, "seed": seed, **counts, **more, "against": against, "passed": passed}


class Open:
    """A saboteur: everything is for everybody."""

    def view(self, principal: str, product: ResolvedProduct) -> View | None:
        return WHOLE


ACCESS: dict[str, Callable[[], Access]] = {"": DenyClassified, "open": Open}
