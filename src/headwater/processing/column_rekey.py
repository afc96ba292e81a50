"""`rekey` over columns: rows that come, many in one message of a rekey topic. `operators/rekey` is the rule.

Such a message holds rows of one lane for one partition, of one tick or several in their order, as a record batch in
Arrow's IPC form: the tick of each row, its number in the tick, its new key, and its columns. What it says is what a
message for each row would say, and a reader takes either, in any order that the lane allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from headwater.processing.column_changes import NewRows
from headwater.processing.column_keys import key_column, partitions_of
from headwater.processing.column_state import arrow_type, packable, require_types
from headwater.processing.field_types import FieldType
from headwater.processing.operators.core import Change
from headwater.processing.operators.rekey import MANY_ROWS, Moved, RekeySpec

ROWS_LIMIT = 2_000  # of a message
BYTES_LIMIT = 250_000  # of a message that can be halved: a quarter of what a producer takes
_HEAD = 8  # bytes before the batch: what it is, and its lane


def movable(types: Sequence[FieldType]) -> bool:
    """Whether rows of these types can be handed over as columns."""
    return bool(types) and packable(types)


class MovedPart(NamedTuple):
    """The rows of one tick in a message, from row `start` to before row `end`."""

    rows: MovedRows
    tick: int
    start: int
    end: int

    def changes(self) -> list[Change]:
        """The same one by one."""
        rows = self.rows.slice(self.start, self.end)
        values = zip(*(column.to_pylist() for column in rows.columns), strict=True)
        return [(key, None, row) for key, row in zip(rows.keys.to_pylist(), values, strict=True)]


@dataclass(frozen=True, slots=True)
class MovedRows:
    """Rows that come, as columns: the tick of each, its number in its tick, its key and its values."""

    ticks: Any
    numbers: Any
    keys: Any
    columns: Sequence[Any]

    def __len__(self) -> int:
        return len(self.ticks)

    def slice(self, start: int, end: int) -> MovedRows:
        """Those from row `start` to before row `end`."""
        size = end - start
        columns = [column.slice(start, size) for column in self.columns]
        return MovedRows(self.ticks[start:end], self.numbers[start:end], self.keys.slice(start, size), columns)

    def take(self, places: Any) -> MovedRows:
        """Those at these places."""
        which = pa.array(places)
        columns = [column.take(which) for column in self.columns]
        return MovedRows(self.ticks[places], self.numbers[places], self.keys.take(which), columns)

    def parts(self) -> Iterator[MovedPart]:
        """Cut where the tick changes."""
        cuts = [0, *(np.flatnonzero(np.diff(self.ticks)) + 1).tolist(), len(self)]
        for start, end in pairwise(cuts):
            yield MovedPart(self, int(self.ticks[start]), start, end)


class ColumnRekey:
    """Rows of one task to messages."""

    def __init__(self, spec: RekeySpec, lane: int) -> None:
        self._spec = spec
        self._lane = str(lane).encode()
        self._head = MANY_ROWS + lane.to_bytes(_HEAD - len(MANY_ROWS), "big")

    def rows(self, new: NewRows) -> MovedRows:
        """New rows, oldest tick first, under their new keys and numbered; raises `Unsure` where columns cannot hold
        them.
        """
        spec = self._spec
        require_types(new.columns, spec.columns, spec.types)
        firsts = np.flatnonzero(np.concatenate(([True], np.diff(new.ticks) != 0)))
        sizes = np.diff(firsts, append=len(new))
        numbers = np.arange(len(new)) - np.repeat(firsts, sizes)
        keys = key_column([new.columns[name] for name in spec.key])
        return MovedRows(new.ticks, numbers, keys, [new.columns[name] for name in spec.columns])

    def messages(self, rows: MovedRows) -> list[Moved]:
        """Rows, one or more, as messages of as many as one may hold."""
        found: list[Moved] = []
        partitions = partitions_of(rows.keys, self._spec.partitions)
        for partition in np.unique(partitions).tolist():
            some = rows.take(np.flatnonzero(partitions == partition))
            for start in range(0, len(some), ROWS_LIMIT):
                self._add(found, partition, some.slice(start, min(start + ROWS_LIMIT, len(some))))
        return found

    def _add(self, found: list[Moved], partition: int, rows: MovedRows) -> None:
        arrays = [pa.array(rows.ticks), pa.array(rows.numbers), rows.keys, *rows.columns]
        batch = pa.RecordBatch.from_arrays(arrays, names=[str(place) for place in range(len(arrays))])
        value = self._head + batch.serialize().to_pybytes()
        if len(value) > BYTES_LIMIT and len(rows) > 1:
            half = len(rows) // 2
            self._add(found, partition, rows.slice(0, half))
            self._add(found, partition, rows.slice(half, len(rows)))
        else:
            found.append(Moved(partition, self._lane, value, len(rows)))


def read_moved(types: Sequence[FieldType], value: bytes) -> tuple[int, MovedRows]:
    """The lane and the rows of a message that begins as `MANY_ROWS`.

    >>> from headwater.processing.field_types import STRING
    >>> spec = RekeySpec(("k",), (STRING,), ("k",), 4)
    >>> new = NewRows(np.array([7, 7]), pa.array([b"", b""]), {"k": pa.array(["JFK", "JFK"])})
    >>> rekey = ColumnRekey(spec, 3)
    >>> [message] = rekey.messages(rekey.rows(new))
    >>> lane, rows = read_moved(spec.types, message.value)
    >>> message.partition, lane, [part.changes() for part in rows.parts()]
    (1, 3, [[(b'JFK', None, ('JFK',)), (b'JFK', None, ('JFK',))]])
    """
    lane = int.from_bytes(value[len(MANY_ROWS) : _HEAD], "big")
    kinds = [pa.int64(), pa.int64(), pa.binary(), *map(arrow_type, types)]
    schema = pa.schema([(str(place), kind) for place, kind in enumerate(kinds)])
    batch = pa.ipc.read_record_batch(pa.py_buffer(value)[_HEAD:], schema)
    ticks, numbers, keys, *columns = batch.columns
    return lane, MovedRows(ticks.to_numpy(), numbers.to_numpy(), keys, columns)
