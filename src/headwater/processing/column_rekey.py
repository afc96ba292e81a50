"""`rekey` over columns: many changes in one message of a rekey topic. `operators/rekey` is the rule.

Such a message holds rows of one lane for one partition, of one tick or several in their order, as a record batch in
Arrow's IPC form: the tick of each row, the number of its change in the tick, where some go whether it does, its new
key, and its columns. What it says is what a message for each change would say, and a reader takes either, in any order
that the lane allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.column_changed import ChangedRows
from headwater.processing.column_changes import NewRows
from headwater.processing.column_keys import key_column, partitions_of
from headwater.processing.column_state import arrow_type, packable, require_types
from headwater.processing.field_types import FieldType
from headwater.processing.operators.rekey import MANY_CHANGES, MANY_ROWS, Moved, RekeySpec

ROWS_LIMIT = 2_000  # of a message; one more where that would part a change
BYTES_LIMIT = 250_000  # of a message that can be halved: a quarter of what a producer takes
_HEAD = 8  # bytes before the batch: what it is, and its lane


def movable(types: Sequence[FieldType]) -> bool:
    """Whether rows of these types can be handed over as columns."""
    return bool(types) and packable(types)


class ColumnRekey:
    """Rows of one task to messages."""

    def __init__(self, spec: RekeySpec, lane: int) -> None:
        self._spec = spec
        self._lane = str(lane).encode()
        self._lane_bytes = lane.to_bytes(_HEAD - len(MANY_ROWS), "big")

    def new(self, new: NewRows) -> ChangedRows:
        """New rows, as `rows` has them."""
        columns = [new.columns[name] for name in self._spec.columns]
        return self.rows(ChangedRows(new.ticks, np.arange(len(new)), new.keys, columns))

    def rows(self, rows: ChangedRows) -> ChangedRows:
        """Rows, one or more, under their new keys and numbered anew; raises `Unsure` where columns cannot hold them.

        A row that comes under another key than the one before it is a change of its own.
        """
        spec = self._spec
        columns = dict(zip(spec.columns, rows.columns, strict=True))
        require_types(columns, spec.columns, spec.types)
        keys = key_column([columns[name] for name in spec.key])
        begins = np.ones(len(rows), bool)
        if rows.goes is not None:
            begins[1:] = pc.not_equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False)
            begins |= ~rows.follows()
        firsts = np.flatnonzero(np.concatenate(([True], np.diff(rows.ticks) != 0)))
        numbers = np.cumsum(begins)
        numbers -= np.repeat(numbers[firsts], np.diff(firsts, append=len(rows)))
        return replace(rows, numbers=numbers, keys=keys)

    def messages(self, rows: ChangedRows) -> list[Moved]:
        """Rows, one or more, as messages of as many as one may hold."""
        found: list[Moved] = []
        partitions = partitions_of(rows.keys, self._spec.partitions)
        for partition in np.unique(partitions).tolist():
            some, start = rows.take(np.flatnonzero(partitions == partition)), 0
            while start < len(some):
                end = _cut(some, start + ROWS_LIMIT)
                self._add(found, partition, some.slice(start, end))
                start = end
        return found

    def _add(self, found: list[Moved], partition: int, rows: ChangedRows) -> None:
        some_go = rows.goes is not None and bool(rows.goes.any())
        goes = [pa.array(rows.goes)] if some_go else []
        arrays = [pa.array(rows.ticks), pa.array(rows.numbers), *goes, rows.keys, *rows.columns]
        batch = pa.RecordBatch.from_arrays(arrays, names=[str(place) for place in range(len(arrays))])
        value = (MANY_CHANGES if some_go else MANY_ROWS) + self._lane_bytes + batch.serialize().to_pybytes()
        half = _cut(rows, len(rows) // 2)
        if len(value) > BYTES_LIMIT and 0 < half < len(rows):
            self._add(found, partition, rows.slice(0, half))
            self._add(found, partition, rows.slice(half, len(rows)))
        else:
            found.append(Moved(partition, self._lane, value, rows.count))


def read_moved(types: Sequence[FieldType], value: bytes) -> tuple[int, ChangedRows]:
    """The lane and the rows of a message that begins as one of `MANY`.

    >>> from headwater.processing.field_types import STRING
    >>> spec = RekeySpec(("k",), (STRING,), ("k",), 4)
    >>> new = NewRows(np.array([7, 7]), pa.array([b"", b""]), {"k": pa.array(["JFK", "JFK"])})
    >>> rekey = ColumnRekey(spec, 3)
    >>> [message] = rekey.messages(rekey.new(new))
    >>> lane, rows = read_moved(spec.types, message.value)
    >>> message.partition, lane, rows.by_tick()
    (1, 3, {7: [(b'JFK', None, ('JFK',)), (b'JFK', None, ('JFK',))]})
    """
    lane = int.from_bytes(value[len(MANY_ROWS) : _HEAD], "big")
    marks = [pa.bool_()] if value.startswith(MANY_CHANGES) else []
    kinds = [pa.int64(), pa.int64(), *marks, pa.binary(), *map(arrow_type, types)]
    schema = pa.schema([(str(place), kind) for place, kind in enumerate(kinds)])
    batch = pa.ipc.read_record_batch(pa.py_buffer(value)[_HEAD:], schema)
    ticks, numbers, *goes, keys = batch.columns[: len(kinds) - len(types)]
    columns = batch.columns[len(kinds) - len(types) :]
    going = goes[0].to_numpy(zero_copy_only=False) if goes else None
    return lane, ChangedRows(ticks.to_numpy(), numbers.to_numpy(), keys, columns, going)


def _cut(rows: ChangedRows, place: int) -> int:
    """This place, or where there is none the end; one further where it would part a change."""
    if place >= len(rows):
        return len(rows)
    return place + bool(place and rows.slice(place - 1, place + 1).follows()[1])
