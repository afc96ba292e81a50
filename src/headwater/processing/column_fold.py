"""`aggregate` over columns: many ticks in one step, each cell's state read and written once. `aggregate` is the rule.

Only where what is folded is published as it is, and only for measures that are listed: whatever is not is folded row by
row. What goes, since it is corrected or taken back, weighs less than nothing. The cells are
those of `Fold`, in the same table and form, so that each batch may take either way. `tests/simulation/test_columns.py`
and `test_column_changes.py` hold them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.blocks import OutputBlock
from headwater.processing.cells import FoldSpec
from headwater.processing.column_changes import NO_ROWS, NewRows
from headwater.processing.column_measures import (
    Amounts,
    Sums,
    Weighed,
    column_measure,
    integers,
    measurable,
    members,
    of_numbers,
)
from headwater.processing.column_state import arrow_type, packed_rows
from headwater.processing.column_windows import Cells, Groups, cells_of, grouped
from headwater.processing.operators.core import Change
from headwater.processing.operators.publish import PublishSpec
from headwater.processing.state import CACHE_LIMIT, Table
from headwater.schemas.unsure import Unsure

_GROUPED = ("string", "integer", "instant", "boolean")
_KINDS = pa.array(["assert", "correct", "retract"])


def foldable(fold: FoldSpec, publish: PublishSpec) -> bool:
    """Whether this fold and what it is published as can be made over columns."""
    types = dict(zip(fold.columns, fold.types, strict=True))
    if publish.conversions or publish.shape != "fact" or not set(publish.columns) <= set(fold.gives):
        return False
    if any(types[name].kind not in _GROUPED for name in fold.by):
        return False
    return all(measurable(measure, types, fold.grows) for _, measure in fold.measures)


class ColumnFold:
    """Folds parts of blocks into the cells of a `Fold`, and makes the records that publish them.

    A cell holds what it is grouped by, how many rows it has, the slots of its measures, and the revision.
    """

    def __init__(self, spec: FoldSpec, publish: PublishSpec, table: Table, tick: int) -> None:
        self._table = table
        self._spec = spec
        self._published = publish.columns
        self._tick = tick
        self._members = len(spec.by)
        types = dict(zip(spec.columns, spec.types, strict=True))
        self._by_types = [arrow_type(types[name]) for name in spec.by]
        self._measures = [(name, column_measure(measure)) for name, measure in spec.measures]
        starting = [one.starting for _, one in self._measures if one is not None]
        self._starting = (0, *(value for some in starting for value in some), 0)

    @property
    def weighs(self) -> bool:
        """Whether all that it asks of a row is whether it comes or goes."""
        return all(one is None or type(one) is Sums for _, one in self._measures)

    def fold(self, new: NewRows, changes: Mapping[int, Sequence[Change]], gone: NewRows = NO_ROWS) -> OutputBlock:
        """New rows, oldest tick first, rows that go, and changes of ticks; raises `Unsure`, before anything is changed,
        where rows must be looked at.
        """
        rows = self._weighed(new, changes).without(gone)
        if len(self._spec.by) == 1 and _alike(rows.columns[self._spec.by[0]]):
            raise Unsure
        cells = cells_of(self._spec.window, rows.keys, rows.numbers(self._spec.instant))
        ticks, of_row = np.unique(rows.ticks, return_inverse=True)
        groups = grouped(cells, of_row, len(ticks))
        places = cells.places()
        known = self._table.get_many(places)
        held = list(zip(*self._known(cells, known, rows), strict=True))
        before, after = members(rows, groups, held[self._members])
        was, is_ = before > 0, after > 0
        counted = of_numbers(before, after, before != after, [after])
        amounts = {name: counted for name, measure in self._measures if measure is None}
        kept, at = [counted], self._members + 1
        for name, measure in self._measures:
            if measure is not None:
                end = at + len(measure.starting)
                kept.append(measure.amounts(rows, groups, held[at:end]))
                amounts[name], at = kept[-1], end
        differs = [one.differs for name, one in amounts.items() if name in self._published]
        changed = (was != is_) | (was & is_ & np.any(differs, axis=0))
        revision = groups.running(changed.astype(np.int64), integers(held[-1]))
        told = np.flatnonzero(changed)
        order = groups.of_tick[told] * len(cells.keys) + cells.rank[groups.of_cell[told]]
        told = told[np.argsort(order, kind="stable")]
        recorded = (ticks[groups.of_tick[told]] + 1) * self._tick - 1
        came = is_[told]  # a retract carries what it takes back
        columns = self._given(cells, held, groups.of_cell[told])
        columns |= {name: one.shown(told, came) for name, one in amounts.items() if name in self._published}
        columns["recorded_at"] = pa.array(recorded)
        columns["kind"] = _KINDS.take(pa.array(np.where(came, np.where(was[told], 1, 0), 2)))
        columns["revision"] = pa.array(revision[told])
        keys = cells.keys
        made = OutputBlock([keys[cell] for cell in groups.of_cell[told].tolist()], recorded, columns)
        self._write(places, known, held, groups, [*kept, of_numbers(revision, revision, changed, [revision])])
        return made

    def _weighed(self, new: NewRows, changes: Mapping[int, Sequence[Change]]) -> Weighed:
        """All that is folded; raises `Unsure` where a value does not fit into its column."""
        if not changes:
            return Weighed(*new)
        more = [
            (tick, key, weight, row)
            for tick, some in changes.items()
            for key, before, after in some
            for weight, row in ((-1, before), (1, after))
            if row is not None
        ]
        ticks, keys, weights, rows = zip(*more, strict=True)
        try:
            columns = {
                name: pa.concat_arrays([new.columns[name], pa.array(values, new.columns[name].type)])
                for name, values in zip(self._spec.columns, zip(*rows, strict=True), strict=True)
            }
        except (OverflowError, pa.ArrowInvalid, pa.ArrowTypeError):
            raise Unsure from None
        return Weighed(
            np.concatenate([new.ticks, ticks]),
            pa.concat_arrays([new.keys, pa.array(keys, pa.binary())]),
            columns,
            np.concatenate([np.ones(len(new), np.int64), weights]),
        )

    def _known(self, cells: Cells, kept: Sequence[Any], rows: Weighed) -> list[Any]:
        """What the table has of each cell, or what a new one begins with."""
        known = list(kept)
        fresh = [cell for cell, values in enumerate(known) if not values]
        if fresh:
            first = pa.array(cells.first[fresh])
            by = [rows.columns[name].take(first).to_pylist() for name in self._spec.by]
            for cell, *values in zip(fresh, *by, strict=True):
                known[cell] = (*values, *self._starting)
        return known

    def _write(
        self,
        places: Sequence[bytes],
        known: Sequence[Any],
        held: Sequence[Any],
        groups: Groups,
        amounts: Sequence[Amounts],
    ) -> None:
        """Put each cell that is new or that some group moves, even if another moves it back: so does the row road."""
        moved = np.logical_or.reduceat(np.any([one.moved for one in amounts], axis=0), groups.first)
        differ = np.flatnonzero(moved | np.array([not values for values in known]))
        last = (groups.first + groups.counts - 1)[differ]
        slots = [slot for one in amounts for slot in one.slots(last)]
        which = differ.tolist()
        put = [places[cell] for cell in which]
        if len(which) > CACHE_LIMIT:  # more than is kept unpacked: packed at once, which is a call for all
            some = pa.array(differ)
            by = [column.take(some) for column in self._by(held)]
            self._table.put_packed(put, packed_rows([*by, *map(pa.array, slots)]))
            return
        by = [[values[cell] for cell in which] for values in held[: self._members]]
        self._table.put_many(put, list(zip(*by, *(slot.tolist() for slot in slots), strict=True)))

    def _by(self, held: Sequence[Any]) -> list[Any]:
        """The columns that cells are grouped by."""
        return [pa.array(held[at], type_) for at, type_ in enumerate(self._by_types)]

    def _given(self, cells: Cells, held: Sequence[Any], of_cell: Any) -> dict[str, Any]:
        """The columns published of these cells but for measures."""
        columns, which, by = {}, pa.array(of_cell), self._by(held)
        for name in self._published:
            if name == "valid_from":
                columns[name] = pa.array(cells.starts[of_cell])
            elif name == "valid_to":
                ends = cells.ends
                columns[name] = pa.nulls(len(which), pa.int64()) if ends is None else pa.array(ends[of_cell])
            elif name in self._spec.by:
                columns[name] = by[self._spec.by.index(name)].take(which)
        return columns


def _alike(column: Any) -> bool:
    """Whether rows of one key may be grouped by different values: of one key the first row says which it is."""
    return bool(column.null_count and column.type == pa.string() and pc.any(pc.equal(column, "null")).as_py())
