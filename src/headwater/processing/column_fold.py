"""`aggregate` over columns: many ticks in one step, each cell's state read and written once. `aggregate` is the rule.

Only for measures that are listed: whatever is not is folded row by row. Of sums, what goes, since it is corrected or
taken back, weighs less than nothing. Other measures take rows that come alone: a cell that any row goes from or is
corrected in goes by rows, with all that the ticks say of it. The cells are those of `Fold`, in the same tables and
forms, so that each batch may take either way.
`tests/simulation/test_columns.py`, `test_column_changes.py`, `test_column_measures.py` and, of what is handed over,
`test_column_handover.py` hold them together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.cells import FoldSpec
from headwater.processing.column_amounts import Amounts, Touched, Weighed, integers, of_numbers
from headwater.processing.column_changes import NewRows, and_rows
from headwater.processing.column_ends import Delta
from headwater.processing.column_intake import Ended
from headwater.processing.column_keys import tells_value
from headwater.processing.column_measures import column_measure, measurable, members, summed
from headwater.processing.column_results import FoldEnd, Results
from headwater.processing.column_state import arrow_type, packed_rows
from headwater.processing.column_windows import Cells, Groups, cells_of, grouped
from headwater.processing.compiler import Operation
from headwater.processing.operators.aggregate import Fold
from headwater.processing.operators.core import Change, Row
from headwater.processing.state import CACHE_LIMIT
from headwater.schemas.unsure import Unsure

_GROUPED = ("string", "integer", "instant", "boolean")


def foldable(fold: FoldSpec) -> bool:
    """Whether this fold can be made over columns."""
    types = dict(zip(fold.columns, fold.types, strict=True))
    if any(types[name].kind not in _GROUPED for name in fold.by):
        return False
    return all(measurable(measure, fold) for _, measure in fold.measures)


class ColumnFold:
    """Folds what some ticks say into the cells of a `Fold`; `end` says what becomes of what that gives.

    A cell holds what it is grouped by, how many rows it has, the slots of its measures, and, where it is published, the
    revision. One that is not published and has no rows is gone.
    """

    def __init__(self, operation: Operation, fold: Fold, end: FoldEnd) -> None:
        self._spec = spec = operation.spec
        self._fold, self._end = fold, end
        self._members = len(spec.by)
        types = dict(zip(spec.columns, spec.types, strict=True))
        self._by_types = [arrow_type(types[name]) for name in spec.by]
        self._starting: tuple[Any, ...] = (0,)
        self._measures = []
        for name, one in spec.measures:
            measure = column_measure(one, spec, fold.values, self._members + len(self._starting))
            self._measures.append((name, measure))
            self._starting += () if measure is None else measure.starting
        self._starting += (0,) if end.numbered else ()
        # Whether all that is asked of a row is whether it comes or goes.
        self.weighs = summed([measure for _, measure in self._measures])
        self._packs = all(measure is None or measure.packs for _, measure in self._measures)

    def fold(self, delta: Delta) -> Ended:
        """What some ticks make; raises `Unsure`, with nothing changed, where rows must be looked at."""
        by_rows: Mapping[int, Sequence[Change]] = {}
        if self.weighs or not delta.changes:
            rows = self._weighed(delta.new, delta.changes).without(delta.gone)
        else:
            assert not len(delta.gone), "who does not only weigh rows is told of changes"
            new, by_rows = self._apart(delta)
            rows = Weighed(*new)
        return self._end(self._made(rows) if len(rows.ticks) else None, by_rows)

    def _made(self, rows: Weighed) -> Results:
        """What some rows make of the cells."""
        self._require_told(rows.columns)
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
        differs = [one.differs for name, one in amounts.items() if name in self._end.names]
        changed = (was != is_) | (was & is_ & np.any(differs, axis=0))
        told, base = np.flatnonzero(changed), None
        if self._end.numbered:
            base = integers(held[-1])
            order = groups.of_tick[told] * len(cells.keys) + cells.rank[groups.of_cell[told]]
            told = told[np.argsort(order, kind="stable")]
        else:
            self._require_nothing_left(rows, np.flatnonzero(~is_), kept)
            told = told[np.lexsort((groups.order[groups.begins[told]], groups.of_tick[told]))]  # as they were touched
        by = self._by(held)

        def number(which: Any) -> Any:
            counts = np.zeros(len(changed), bool)
            counts[told[which]] = True
            revision = groups.running(counts.astype(np.int64), base)
            kept.append(of_numbers(revision, revision, counts, [revision]))
            return revision[told[which]]

        return Results(
            cells,
            told,
            groups.of_cell[told],
            ticks[groups.of_tick[told]],
            was[told],
            is_[told],
            amounts,
            dict(zip(self._spec.by, by, strict=True)),
            number,
            lambda: self._write(places, known, by, _After(groups, is_, kept)),
        )

    def _require_nothing_left(self, rows: Weighed, empty: Any, kept: Sequence[Amounts]) -> None:
        """A cell that has no rows begins anew with the next one: raises `Unsure` where that might be another."""
        if not len(empty):
            return
        if len(self._spec.by) == 1 and _perhaps_alike(rows.columns[self._spec.by[0]]):
            raise Unsure
        if any(slot.any() for one in kept for slot in one.slots(empty)):
            raise Unsure

    def _apart(self, delta: Delta) -> tuple[NewRows, Mapping[int, Sequence[Change]]]:
        """The new rows of cells of which nothing else is said, and all else, tick by tick; raises `Unsure`."""
        new, changes = delta.new, delta.changes
        at = self._spec.columns.index(self._spec.instant)
        other = [(key, row) for some in changes.values() for key, *rows in some for row in rows if row is not None]
        keys, rows = zip(*other, strict=True)
        self._require_told(new.columns, rows)
        cells = cells_of(
            self._spec.window,
            pa.concat_arrays([new.keys, pa.array(keys, pa.binary())]),
            np.concatenate([new.columns[self._spec.instant].to_numpy(), integers([row[at] for row in rows])]),
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

    def _require_told(self, columns: Mapping[str, Any], others: Collection[Row] = ()) -> None:
        """Raises `Unsure` where rows of one key, those of others too, may be grouped by different values: the first one
        says which, and it may be another as columns.
        """
        if len(self._spec.by) == 1:
            [name] = self._spec.by
            place = self._spec.columns.index(name)
            if not tells_value(columns[name], {row[place] for row in others}):
                raise Unsure

    def _weighed(self, new: NewRows, changes: Mapping[int, Sequence[Change]]) -> Weighed:
        """All that is folded; raises `Unsure` where a value does not fit into its column."""
        if not changes:
            return Weighed(*new)
        more = [
            (weight, (tick, key, row))
            for tick, some in changes.items()
            for key, before, after in some
            for weight, row in ((-1, before), (1, after))
            if row is not None
        ]
        weights, rows = zip(*more, strict=True)
        all_ = and_rows(new, rows, self._spec.columns)
        if all_ is None:
            raise Unsure
        return Weighed(*all_, np.concatenate([np.ones(len(new), np.int64), weights]))

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

    def _write(self, places: Sequence[bytes], known: Sequence[Any], by: Sequence[Any], made: _After) -> None:
        """Put each cell that some group moves, even if another moves it back: so does the row road."""
        groups, amounts = made.groups, made.amounts
        differs = np.logical_or.reduceat(np.any([one.moved for one in amounts], axis=0), groups.first)
        last = groups.first + groups.counts - 1
        if self._end.numbered:
            differs |= np.array([not values for values in known])
        else:
            for cell in np.flatnonzero(differs & ~made.filled[last]).tolist():
                self._fold.cells.put(places[cell], None)
            differs &= made.filled[last]
        for one in amounts:
            one.keep()
        self._put(places, by, np.flatnonzero(differs), [slot for one in amounts for slot in one.slots(last[differs])])

    def _put(self, places: Sequence[bytes], by: Sequence[Any], which: Any, slots: Sequence[Any]) -> None:
        put = [places[cell] for cell in which.tolist()]
        own = [column.take(pa.array(which)) for column in by]
        if len(put) > CACHE_LIMIT and self._packs:  # more than is kept unpacked: packed in one call
            self._fold.cells.put_packed(put, packed_rows([*own, *map(_array, slots)]))
        else:
            values = [column.to_pylist() for column in own]
            self._fold.cells.put_many(put, list(zip(*values, *(slot.tolist() for slot in slots), strict=True)))

    def _by(self, held: Sequence[Any]) -> list[Any]:
        """The columns that cells are grouped by."""
        return [pa.array(held[at], type_) for at, type_ in enumerate(self._by_types)]


class _After(NamedTuple):
    """What cells hold after each group, and whether it is of rows."""

    groups: Groups
    filled: Any
    amounts: Sequence[Amounts]


def _perhaps_alike(column: Any) -> bool:
    """Whether rows of these keys may be grouped by a value that no row here has."""
    return column.type == pa.string() and bool(column.null_count or pc.any(pc.equal(column, "null")).as_py())


def _array(values: Any) -> Any:
    return values if isinstance(values, pa.Array) else pa.array(values)
