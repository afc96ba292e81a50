"""Tables of the lake in an Iceberg catalogue, by PyIceberg: one attempt is one attempt, and the base is what was seen.

PyIceberg repeats a refused append four times by itself, on whatever head it finds: that would add the rows of a zombie.
Every table of ours says `commit.retry.num-retries=0`, and it is said again here for each commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.io.pyarrow import pyarrow_to_schema, write_file
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import Table, TableProperties, WriteTask
from pyiceberg.table.snapshots import Snapshot

from headwater.ports.lake.progress import Progress, Seen
from headwater.ports.lake.refusals import not_there, undecided
from headwater.ports.lake.table import OFFSET, PARTITION, RECORDED, Files, Refused, Unsure

P = ParamSpec("P")
R = TypeVar("R")
_DAY = 86_400_000_000  # microseconds
_AWAY = ("sqlalchemy", "requests", "urllib3", "pyiceberg")  # whose errors say that a part is away
FILE_ROWS = 5_000_000  # of one data file at most
PROPERTIES = {
    TableProperties.COMMIT_NUM_RETRIES: "0",
    TableProperties.PARQUET_ROW_GROUP_LIMIT: "122880",  # as DuckDB's own: each can be read, or passed over, by itself
    TableProperties.METADATA_PREVIOUS_VERSIONS_MAX: "20",  # older ones are strays, for maintenance
}


def answering(call: Callable[P, R]) -> Callable[P, R]:
    """What a catalogue or a storage raises, as `Unreachable` HW-I012; nothing of ours is touched."""

    @wraps(call)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except Exception as error:
            if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in _AWAY:
                raise
            raise undecided("in question", f"{type(error).__name__} from the catalogue or the storage") from error

    return called


def ancestors(table: Table) -> Iterator[Snapshot]:
    """The current snapshot and those beneath it, newest first, as far as they are known."""
    one = table.metadata.current_snapshot()
    while one is not None:
        yield one
        one = table.metadata.snapshot_by_id(one.parent_snapshot_id) if one.parent_snapshot_id is not None else None


def properties_of(snapshot: Snapshot) -> Mapping[str, str]:
    """What a snapshot says of itself."""
    return snapshot.summary.additional_properties if snapshot.summary is not None else {}


class IcebergTable:
    """One table. `key` are the columns that rows are sorted by within a file."""

    def __init__(self, catalog: Catalog, identifier: str, key: Sequence[str]) -> None:
        self._catalog, self._identifier, self._key = catalog, identifier, tuple(key)

    @property
    def name(self) -> str:
        """As the catalogue has it."""
        return self._identifier

    @answering
    def load(self) -> Table:
        """The table as PyIceberg has it; raises `CallerFault` HW-I005 where it is not there."""
        try:
            return self._catalog.load_table(self._identifier)
        except NoSuchTableError:
            raise not_there(self._identifier) from None

    def look(self) -> Seen:
        """The table as it is now."""
        return _seen(self.load())

    def columns(self) -> Sequence[str]:
        """Of its current schema."""
        return list(self.load().schema().column_names)

    def counts(self) -> dict[str, int]:
        """How many records, files and snapshots the table has now."""
        table = self.load()
        head = table.metadata.current_snapshot()
        said = properties_of(head) if head is not None else {}
        found = {"records": said.get("total-records", 0), "files": said.get("total-data-files", 0)}
        return {**{name: int(value) for name, value in found.items()}, "snapshots": len(table.metadata.snapshots)}

    @answering
    def write(self, rows: pa.Table, commit: str) -> Files:
        """A file or more for each recorded day."""
        table = self.load()
        written = list(write_file(table.io, table.metadata, self.tasks(table, rows, UUID(commit))))
        return Files(tuple(one.file_path for one in written), rows.num_rows, written)

    def append(self, seen: Seen, files: Files, progress: Progress) -> Seen:
        """One attempt on top of what was seen."""
        base: Table = seen.state
        # A table of its own: a refused attempt leaves PyIceberg's in a state that says nothing.
        metadata = base.metadata.model_copy(update={"properties": {**base.properties, **PROPERTIES}})
        table = Table(base.name(), metadata, base.metadata_location, base.io, self._catalog)
        try:
            transaction = table.transaction()
            with transaction.update_snapshot(snapshot_properties=progress.properties()).fast_append() as append:
                for one in files.state:
                    append.append_data_file(one)
            transaction.commit_transaction()
        except CommitFailedException:
            raise Refused from None
        except Exception:
            raise Unsure from None
        return _seen(table)

    @answering
    def discard(self, files: Files) -> None:
        """Remove the files from the storage."""
        io = self.load().io
        for path in files.paths:
            io.delete(path)

    def tasks(self, table: Table, rows: pa.Table, commit: UUID) -> Iterator[WriteTask]:
        """Rows cut by recorded day and into files, each sorted by the key and then as they were written."""
        days = pa.array(np.floor_divide(rows[RECORDED].cast(pa.int64()).to_numpy(), _DAY))
        sorting = [(name, "ascending") for name in (*self._sortable(rows), PARTITION, OFFSET)]
        spec, number = table.spec(), 0
        # Of the columns that these rows have, by name: what the table has besides is null.
        schema = pyarrow_to_schema(rows.schema, table.schema().name_mapping)
        for day in sorted(pc.unique(days).to_pylist()):
            of_day = rows.filter(pc.equal(days, day)).sort_by(sorting)
            where = PartitionKey([PartitionFieldValue(spec.fields[0], day)], spec, table.schema())
            for first in range(0, of_day.num_rows, FILE_ROWS):
                batches = of_day.slice(first, FILE_ROWS).combine_chunks().to_batches()
                yield WriteTask(commit, number, schema, batches, partition_key=where)
                number += 1

    def _sortable(self, rows: pa.Table) -> list[str]:
        nested = (pa.types.is_nested, pa.types.is_null)
        return [name for name in self._key if not any(is_kind(rows.schema.field(name).type) for is_kind in nested)]


def _seen(table: Table) -> Seen:
    head = table.metadata.current_snapshot()
    properties: Iterator[Mapping[str, Any]] = (properties_of(one) for one in ancestors(table))
    return Seen.walk(str(head.snapshot_id) if head is not None else "", properties, table)
