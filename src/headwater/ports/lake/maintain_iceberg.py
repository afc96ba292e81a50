"""Tables of the lake kept in order: many small files made few, old snapshots and old days dropped, strays removed.

Each deed is one commit on top of what was looked at, or none: a writer that was quicker makes it give up until the next
time, and it makes the writer look again (`commit.py`). What a deed puts on top bears the progress beneath it, so that
nobody's expiry can take it away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import uuid4

from pyarrow.fs import FileInfo, FileSelector, FileType
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, PyArrowFileIO, write_file
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask, Table

from headwater.ports.lake.progress import COMMIT
from headwater.ports.lake.reading_iceberg import IcebergSource
from headwater.ports.lake.table_iceberg import IcebergTable, ancestors, answering, properties_of
from headwater.timeline.instant import Duration, Instant

FILE_BYTES = 128 * 1024 * 1024  # files are put together up to this
SMALL_FILES_LEAST = 4  # of one day, before it is worth it
DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Kept:
    """How long what is kept: snapshots, whole days of records (None: for ever), and files that no snapshot names.

    A stray may belong to a commit that is under way: `strays` is longer than any takes.
    """

    snapshots: Duration = Duration.parse("1d")  # noqa: RUF009 - a value
    records: Duration | None = None
    strays: Duration = Duration.parse("1d")  # noqa: RUF009 - a value


@dataclass(frozen=True, slots=True)
class Tended:
    """What was done: files put together, and into how many; days and snapshots dropped; strays removed."""

    files_before: int = 0
    files_after: int = 0
    days: int = 0
    snapshots: int = 0
    strays: int = 0


class Maintenance:
    """Tends one table; `source` knows the defaults of its columns, which a file that is written anew then holds."""

    def __init__(self, table: IcebergTable, source: IcebergSource, kept: Kept) -> None:
        self._table, self._source, self._kept = table, source, kept

    @answering
    def tend(self, now: Instant) -> Tended:
        """All of it, once; what a writer came in between of is left for the next time."""
        before, after = self._compact()
        days = self._drop_days(now)
        snapshots = self._expire(now)
        return Tended(before, after, days, snapshots, self._remove_strays(now))

    def _compact(self) -> tuple[int, int]:
        before = after = 0
        for files in _small(self._table.load()).values():
            table = self._table.load()
            there = {task.file.file_path: task for task in table.scan().plan_files()}
            tasks = [there[path] for path in files if path in there]
            if len(tasks) != len(files):
                continue
            made = self._write(table, tasks)
            if _overwrite(table, [task.file for task in tasks], made):
                before, after = before + len(tasks), after + len(made)
            else:
                for one in made:
                    table.io.delete(one.file_path)
        return before, after

    def _write(self, table: Table, tasks: list[FileScanTask]) -> list[DataFile]:
        schema = Schema(*self._source.with_defaults(table))
        rows = ArrowScan(table.metadata, table.io, schema, AlwaysTrue()).to_table(tasks)
        return list(write_file(table.io, table.metadata, self._table.tasks(table, rows, uuid4())))

    def _drop_days(self, now: Instant) -> int:
        """Whole days of records that the contract's retention has passed; the topic has dropped them, too."""
        if self._kept.records is None:
            return 0
        table, last = self._table.load(), (now - self._kept.records) // DAY
        old = [task.file for task in table.scan().plan_files() if task.file.partition[0] < last]
        return len({one.partition[0] for one in old}) if old and _overwrite(table, old, []) else 0

    def _expire(self, now: Instant) -> int:
        """Old snapshots, but for those from the current one down to the newest with progress."""
        table = self._table.load()
        needed: set[int] = set()
        for one in ancestors(table):
            needed.add(one.snapshot_id)
            if COMMIT in properties_of(one):
                break
        until = (now - self._kept.snapshots) // 1_000
        named = {ref.snapshot_id for ref in table.metadata.refs.values()}
        old = [
            one.snapshot_id
            for one in table.metadata.snapshots
            if one.timestamp_ms < until and one.snapshot_id not in needed | named
        ]
        if not old:
            return 0
        try:
            table.maintenance.expire_snapshots().by_ids(old).commit()
        except CommitFailedException:
            return 0
        return len(old)

    def _remove_strays(self, now: Instant) -> int:
        """Files under the table's folder that no snapshot names, and that are old enough to be nobody's."""
        table = self._table.load()
        files = list(_stored(table))  # looked at first: what is named later cannot be among the old ones
        table = self._table.load()
        named, until = set(_named(table)), (now - self._kept.strays) * 1_000
        strays = [one for one in files if one.mtime_ns < until and one.path not in named]
        for one in strays:
            table.io.delete(_uri(table, one.path))
        return len(strays)


def _small(table: Table) -> Mapping[int, list[str]]:
    """The small files of each day that has enough of them, up to the size of one file."""
    days: dict[int, list[DataFile]] = defaultdict(list)
    for task in table.scan().plan_files():
        if task.file.file_size_in_bytes < FILE_BYTES // 2:
            days[task.file.partition[0]].append(task.file)
    found: dict[int, list[str]] = {}
    for day, files in days.items():
        taken, size = list[str](), 0
        for one in files:
            if size + one.file_size_in_bytes <= FILE_BYTES:
                taken.append(one.file_path)
                size += one.file_size_in_bytes
        if len(taken) >= SMALL_FILES_LEAST:
            found[day] = taken
    return found


def _overwrite(table: Table, old: list[DataFile], new: list[DataFile]) -> bool:
    """Put new files in the place of old ones, with the progress that is beneath; whether nobody came in between."""
    progress: Mapping[str, str] = next((said for one in ancestors(table) if COMMIT in (said := properties_of(one))), {})
    carried = {name: value for name, value in progress.items() if name.startswith("headwater.")}
    transaction = table.transaction()
    try:
        with transaction.update_snapshot(snapshot_properties=carried).overwrite() as overwrite:
            for one in old:
                overwrite.delete_data_file(one)
            for one in new:
                overwrite.append_data_file(one)
        transaction.commit_transaction()
    except CommitFailedException:
        return False
    return True


def _stored(table: Table) -> Iterator[FileInfo]:
    assert isinstance(table.io, PyArrowFileIO)
    scheme, netloc, path = table.io.parse_location(table.location())
    found = table.io.fs_by_scheme(scheme, netloc).get_file_info(FileSelector(path, recursive=True))
    return (one for one in found if one.type == FileType.File)


def _named(table: Table) -> Iterator[str]:
    """Every file that the table needs, as the storage's paths."""
    assert isinstance(table.io, PyArrowFileIO)
    for location in _locations(table):
        yield table.io.parse_location(location)[2]


def _locations(table: Table) -> Iterator[str]:
    yield table.metadata_location
    yield from (entry.metadata_file for entry in table.metadata.metadata_log)
    seen: set[str] = set()
    for snapshot in table.metadata.snapshots:
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path in seen:
                continue
            seen.add(manifest.manifest_path)
            yield manifest.manifest_path
            yield from (entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io))


def _uri(table: Table, path: str) -> str:
    scheme = table.location().partition("://")[0]
    return f"{scheme}://{path}"
