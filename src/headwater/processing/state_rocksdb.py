"""State on disk: one RocksDB for the tasks of one stage in one worker, a cache of what the changelog holds.

It is written only after the transaction that carries the changes has committed, in one batch per task, together with
the position that the batch reflects: the changelog's next offset and the offsets of the sources. So a store always is
what the task was at some commit, never half of one, and its changelog's tail brings it up to date.
"""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
)

from headwater.errors import CallerFault, Fault, Unreachable
from headwater.processing.state import Change, Span
from headwater.timeline.clock import Clock, SystemClock

WRITE_BUFFER_BYTES = 32 << 20
CACHE_BYTES = 64 << 20
DAMAGED = "HW-P031"
_PLACES = b"\xff\xff"  # the keys of positions; partitions are numbered below


@dataclass(frozen=True, slots=True)
class Position:
    """What a store reflects: the changelog up to this offset, and the next offset of each source topic.

    `history` is the changelog topic's identity: offsets of another topic of the same name say nothing. `at` is when it
    was written, by the wall clock in microseconds: what was deleted since is told by the changelog for a time only.
    `recalled` is, of each topic from whose records something is remembered without a changelog, up to which offset.
    """

    changelog: int = 0
    sources: Mapping[str, int] = field(default_factory=dict)
    history: str = ""
    at: int = field(default=0, compare=False)
    recalled: Mapping[str, int] = field(default_factory=dict)


class RocksStates:
    """The states of one stage's tasks in one folder. One thread uses it, and one process: RocksDB keeps a lock."""

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self._folder = folder
        self._clock = clock or SystemClock()
        if _damage_mark(folder).exists():
            shutil.rmtree(folder, ignore_errors=True)
            _damage_mark(folder).unlink()
        make_folder(folder)
        self._database = self._opened()

    def task(self, partition: int) -> RocksStore:
        """The state of one partition."""
        return RocksStore(self._database, partition, self._folder, self._clock)

    def close(self) -> None:
        """Let go. What a full disk keeps from being flushed is in RocksDB's own log, or in the changelog."""
        if self._database is not None:
            with contextlib.suppress(Exception):  # rocksdict raises bare ones, and would hide why this is dropped
                self._database.close()
            self._database = None

    def _opened(self) -> Any:
        path = str(self._folder)
        try:
            return Rdict(path, options=_options())
        except Exception as error:  # rocksdict raises bare exceptions
            why = str(error)
        if "lock hold by current process" in why:
            gc.collect()  # a dropped predecessor whose iterators still linger
            try:
                return Rdict(path, options=_options())
            except Exception as error:
                raise disk_refuses(self._folder, str(error)) from None
        if "While lock file" in why:  # and not any "block checksum mismatch"
            raise CallerFault(
                f"the state in {path} is in use by another process",
                code="HW-P030",
                hint="end the other runner first",
            )
        if _full(why):
            raise disk_refuses(self._folder, why)
        # It is a cache: what cannot be opened, be it torn or damaged, is made anew from the changelog.
        shutil.rmtree(path, ignore_errors=True)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return Rdict(path, options=_options())
        except Exception as error:
            raise disk_refuses(self._folder, str(error)) from None


class RocksStore:
    """A `StateStore` of one partition."""

    def __init__(self, database: Any, partition: int, folder: Path, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        self._folder = folder
        self._prefix = partition.to_bytes(2, "big")
        self._place = _PLACES + self._prefix
        self._get = database.get

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        try:
            value: bytes | None = self._get(self._prefix + key)
        except Exception as error:
            raise self._damaged(error) from None
        return value

    def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """The value of each of these keys, read in one step, in their order on disk: so each block is unpacked once."""
        order = sorted(range(len(keys)), key=keys.__getitem__)
        values: list[bytes | None] = [None] * len(keys)
        try:
            found = self._get([self._prefix + keys[place] for place in order])
        except Exception as error:
            raise self._damaged(error) from None
        for place, value in zip(order, found, strict=True):
            values[place] = value
        return values

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Entries with `start <= key < end`, lazily."""
        # The bounds are judged here: those of RocksDB's read options were not kept when walking backwards.
        first, last = self._prefix + start, self._prefix + end
        walker = self._database.iter()
        if reverse:
            walker.seek_for_prev(last)
            if walker.valid() and walker.key() == last:
                walker.prev()
        else:
            walker.seek(first)
        step = walker.prev if reverse else walker.next
        while walker.valid():
            key = walker.key()
            if key < first or key >= last:
                return
            yield key[2:], walker.value()
            step()
        try:
            walker.status()
        except Exception as error:  # a scan that ends early must not look like one that found nothing more
            raise self._damaged(error) from None

    def scan_many(self, spans: Sequence[Span]) -> Iterator[tuple[int, bytes, bytes]]:
        """The entries of spans in order and apart: one walk, which seeks only where it stands before a span."""
        walker = self._database.iter()
        at: bytes | None = b""
        for number, (start, end) in enumerate(spans):
            first, last = self._prefix + start, self._prefix + end
            if at is None:
                break
            if at < first:
                walker.seek(first)
                at = walker.key() if walker.valid() else None
            while at is not None and at < last:
                yield number, at[2:], walker.value()
                walker.next()
                at = walker.key() if walker.valid() else None
        try:
            walker.status()
        except Exception as error:
            raise self._damaged(error) from None

    def apply(self, changes: Iterable[Change]) -> None:
        """Write changes without moving the position; for callers that keep none."""
        self.commit(changes, None)

    def commit(self, changes: Iterable[Change], position: Position | None) -> None:
        """Write changes and what the store now reflects, as one."""
        batch = WriteBatch(raw_mode=True)
        prefix = self._prefix
        for key, value in changes:
            if value is None:
                batch.delete(prefix + key)
            else:
                batch.put(prefix + key, value)
        if position is not None:
            batch.put(self._place, _written(position, position.at or self._clock.now()))
        try:
            self._database.write(batch)
        except Exception as error:
            raise self._damaged(error) from None

    @property
    def position(self) -> Position | None:
        """What the store reflects; None where it is empty."""
        try:
            written = self._get(self._place)
        except Exception as error:
            raise self._damaged(error) from None
        if written is None:
            return None
        value = json.loads(written)
        recalled = value.get("recalled", {})
        return Position(value["changelog"], value["sources"], value.get("history", ""), value.get("at", 0), recalled)

    def wipe(self) -> None:
        """Forget everything, the position first: a half-wiped store must not look whole."""
        batch = WriteBatch(raw_mode=True)
        batch.delete_range(self._prefix, (int.from_bytes(self._prefix, "big") + 1).to_bytes(2, "big"))
        try:
            self._database.delete(self._place)
            self._database.write(batch)
        except Exception as error:
            raise self._damaged(error) from None

    def close(self) -> None:
        """Nothing of its own to let go of."""

    def _damaged(self, error: Exception) -> Fault | Unreachable:
        """Bytes on disk are not what was written: mark the folder, so that the next opening makes it anew."""
        if _full(str(error)):
            return disk_refuses(self._folder, str(error))  # what is there is whole: the changelog's tail mends it
        with contextlib.suppress(OSError):
            _damage_mark(self._folder).touch()
        return Fault(
            f"the state in {self._folder} cannot be read or written",
            code="HW-P031",
            detail=str(error),
            hint="nothing: it is rebuilt from the changelog; should it come again, look at the disk",
        )


def make_folder(folder: Path) -> None:
    """A folder for state, with those above it. Raises `Unreachable` HW-P035 where the disk refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_refuses(folder, error.strerror or "") from None


def disk_refuses(folder: Path, why: str) -> Unreachable:
    """A disk without room, or that does not let us write: nothing is lost, for the changelog holds the state."""
    return Unreachable(
        f"the disk of {folder} takes no more",
        code="HW-P035",
        detail=f"{why}; nothing is lost: the changelog in Kafka holds the state",
        hint="make room or mend the rights of the folder; the runner goes on by itself, or after a start",
    )


def _full(why: str) -> bool:
    return any(word in why for word in ("No space left", "Disk quota exceeded", "Read-only file system"))


def _damage_mark(folder: Path) -> Path:
    return folder.with_name(folder.name + ".damaged")


def _written(position: Position, at: int) -> bytes:
    value = {"changelog": position.changelog, "sources": dict(position.sources), "history": position.history, "at": at}
    if position.recalled:
        value["recalled"] = dict(position.recalled)
    return json.dumps(value).encode()


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    # Memory is bounded: two write buffers and one cache a stage, indexes and filters inside the cache. Both are cut in
    # pieces, of which the cache holds those that are asked for: whole ones of ten million keys are larger than it, and
    # were read and unpacked for key after key (measured: 23 µs a key of four million, and 5 µs so).
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_max_total_wal_size(4 * WRITE_BUFFER_BYTES)
    options.set_max_open_files(256)
    options.set_max_bytes_for_level_base(8 * WRITE_BUFFER_BYTES)  # fewer levels, each a place to look for a key
    options.set_keep_log_file_num(2)
    options.set_max_background_jobs(1)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_paranoid_checks(True)
    tables = BlockBasedOptions()
    tables.set_block_cache(Cache(CACHE_BYTES))
    tables.set_format_version(6)
    tables.set_bloom_filter(10, False)
    tables.set_index_type(BlockBasedIndexType.two_level_index_search())
    tables.set_partition_filters(True)
    tables.set_pin_top_level_index_and_filter(True)
    tables.set_cache_index_and_filter_blocks(True)
    tables.set_pin_l0_filter_and_index_blocks_in_cache(True)
    options.set_block_based_table_factory(tables)
    return options
