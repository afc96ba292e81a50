"""`aggregate` over columns: many ticks in one step, each cell's state read and written once. `aggregate` is the rule.

Only where what is folded is published as it is, and only for measures that are listed: whatever is not is folded row by
row. Of sums, what goes, since it is corrected or taken back, weighs less than nothing. Other measures
take rows that come alone: a cell that any row goes from or is corrected in goes by rows, with all that the ticks say of
it. The cells are those of `Fold`, in the same tables and forms, so that each batch may take either way.
`tests/simulation/test_columns.py`, `test_column_changes.py` and `test_column_measures.py` hold them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.blocks import OutputBlock
from headwater.processing.cells import FoldSpec
from headwater.processing.column_amounts import Amounts, Touched, Weighed, integers, nothing, of_numbers
from headwater.processing.column_changes import NewRows
from headwater.processing.column_ends import Delta
from headwater.processing.column_intake import Ended
from headwater.processing.column_measures import column_measure, measurable, members, summed
from headwater.processing.column_order import in_order, said_by_rows
from headwater.processing.column_state import arrow_type, packed_rows
from headwater.processing.column_windows import Cells, Groups, cells_of, grouped
from headwater.processing.compiler import Operation
from headwater.processing.operators.aggregate import Fold
from headwater.processing.operators.core import Change
from headwater.processing.operators.publish import Publish, PublishSpec
from headwater.processing.state import CACHE_LIMIT
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
    return all(measurable(measure, fold) for _, measure in fold.measures)


class ColumnFold:
    """Folds what some ticks say into the cells of a `Fold`, and makes the records that publish them.

    A cell holds what it is grouped by, how many rows it has, the slots of its measures, and the revision.
    """

    def __init__(self, operation: Operation, fold: Fold, publish: Publish, tick: int) -> None:
        self._spec = spec = operation.spec
        self._step = operation.step
        self._fold, self._publish = fold, publish
        self._published = tuple(operation.wanted)
        self._tick = tick
        self._members = len(spec.by)
        types = dict(zip(spec.columns, spec.types, strict=True))
        self._by_types = [arrow_type(types[name]) for name in spec.by]
        self._starting: tuple[Any, ...] = (0,)
        self._measures = []
        for name, one in spec.measures:
            measure = column_measure(one, spec, fold.values, self._members + len(self._starting))
            self._measures.append((name, measure))
            self._starting += () if measure is None else measure.starting
        self._starting += (0,)
        # Whether all that is asked of a row is whether it comes or goes.
        self.weighs = summed([measure for _, measure in self._measures])
        self._packs = all(measure is None or measure.packs for _, measure in self._measures)

    def fold(self, delta: Delta) -> Ended:
        """What some ticks make; raises `Unsure`, with nothing changed, where rows must be looked at."""
        if self.weighs or not delta.changes:
            made, write = self._made(self._weighed(delta.new, delta.changes).without(delta.gone))
            write()
            return Ended(made)
        assert not len(delta.gone), "who does not only weigh rows is told of changes"
        new, by_rows = self._apart(delta)
        block, write = self._made(Weighed(*new)) if len(new) else (None, nothing)
        said = said_by_rows(by_rows, self._publish, self._tick, self._fold, self._step)
        write()
        return Ended(None, said) if block is None else in_order(block, said)

    def _made(self, rows: Weighed) -> tuple[OutputBlock, Callable[[], None]]:
        """The records of some rows, and what then writes the cells."""
        if len(self._spec.by) == 1 and _alike(rows.columns[self._spec.by[0]]):
            raise Unsure
        cells = cells_of(self._spec.window, rows.keys, rows.numbers(self._spec.instant))
        ticks, of_row = np.unique(rows.ticks, return_inverse=True)
        groups = grouped(cells, of_row, len(ticks))
        places = cells.places()
        known = self._fold.cells.get_many(places)
        held = list(zip(*self._known(cells, known, rows), strict=True))
        before, after = members(rows, groups, held[self._members])
        was, is_ = before > 0, after > 0
        touched = Touched(rows, groups, places, was)
        counted = of_numbers(before, after, before != after, [after])
        amounts = {name: counted for name, measure in self._measures if measure is None}
        kept, at = [counted], self._members + 1
        for name, measure in self._measures:
            if measure is not None:
                end = at + len(measure.starting)
                kept.append(measure.amounts(touched, held[at:end]))
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
        kept.append(of_numbers(revision, revision, changed, [revision]))
        return made, lambda: self._write(places, known, held, groups, kept)

    def _apart(self, delta: Delta) -> tuple[NewRows, Mapping[int, Sequence[Change]]]:
        """The new rows of cells of which nothing else is said, and all else, tick by tick."""
        new, changes = delta.new, delta.changes
        at = self._spec.columns.index(self._spec.instant)
        other = [(key, row[at]) for some in changes.values() for key, *rows in some for row in rows if row is not None]
        keys, instants = zip(*other, strict=True)
        cells = cells_of(
            self._spec.window,
            pa.concat_arrays([new.keys, pa.array(keys, pa.binary())]),
            np.concatenate([new.columns[self._spec.instant].to_numpy(), integers(instants)]),
        )
        of_row = np.arange(len(cells.touched)) if cells.rows is None else cells.rows
        by_rows = np.zeros(len(cells.keys), bool)
        by_rows[cells.touched[of_row >= len(new)]] = True
        if cells.rows is not None:  # a row counts in several cells: those of a key go together
            names = {cells.keys[cell] for cell in np.flatnonzero(by_rows).tolist()}
            by_rows = np.array([key in names for key in cells.keys])
        goes = np.zeros(len(new) + len(other), bool)
        goes[of_row[by_rows[cells.touched]]] = True
        goes = goes[: len(new)]
        return new.filter(~goes), Delta(new.filter(goes), changes).by_rows(self._spec.columns).changes

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
        for one in amounts:
            one.keep()
        which = differ.tolist()
        put = [places[cell] for cell in which]
        if len(which) > CACHE_LIMIT and self._packs:  # more than is kept unpacked: packed in one call
            some = pa.array(differ)
            by = [column.take(some) for column in self._by(held)]
            self._fold.cells.put_packed(put, packed_rows([*by, *map(_array, slots)]))
            return
        by = [[values[cell] for cell in which] for values in held[: self._members]]
        self._fold.cells.put_many(put, list(zip(*by, *(slot.tolist() for slot in slots), strict=True)))

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


def _array(values: Any) -> Any:
    return values if isinstance(values, pa.Array) else pa.array(values)
