"""`aggregate` over columns: many ticks in one step, each cell's state read and written once. `aggregate` is the rule.

Only where what is folded is published as it is, and only for windows and measures in the lists below: whatever is not
in them is folded row by row. What goes, since it is corrected or taken back, weighs less than nothing. The cells are
those of `Fold`, in the same table and form, so that each batch may take either way. `tests/simulation/test_columns.py`
and `test_column_changes.py` hold them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from headwater.processing.blocks import OutputBlock
from headwater.processing.cells import FoldSpec
from headwater.processing.column_changes import NewRows
from headwater.processing.column_state import arrow_type, packed_rows
from headwater.processing.column_windows import Cells, Groups, cells_of, grouped
from headwater.processing.operators.core import Change
from headwater.processing.operators.publish import PublishSpec
from headwater.processing.state import CACHE_LIMIT, Table
from headwater.processing.windows import Window
from headwater.schemas.unsure import Unsure

_BOUND = 1 << 61  # sums stay below it, so that 64 bits hold them and what they are compared with
_GROUPED = ("string", "integer", "instant", "boolean")
_EXACT = 1 << 53  # integers up to here are doubles too, so that a quotient of two is rounded once
_KINDS = pa.array(["assert", "correct", "retract"])
_ENDS = {"minimum": np.minimum, "maximum": np.maximum}
_NONE_YET = {"minimum": (1 << 63) - 1, "maximum": -(1 << 63)}  # what is least and greatest of nothing


def foldable(fold: FoldSpec, publish: PublishSpec) -> bool:
    """Whether this fold and what it is published as can be made over columns."""
    types = dict(zip(fold.columns, fold.types, strict=True))
    if fold.window not in (Window(), Window(length=fold.window.length)) or type(fold.window) is not Window:
        return False
    if publish.conversions or publish.shape != "fact" or not set(publish.columns) <= set(fold.gives):
        return False
    if any(types[name].kind not in _GROUPED or types[name].nullable for name in fold.by):
        return False
    return all(_measured(measure, types, fold.grows) for _, measure in fold.measures)


def _measured(measure: Any, types: Mapping[str, Any], grows: bool) -> bool:
    if measure.field is None:
        return bool(measure.function == "count")
    type_ = types[measure.field]
    if type_.nullable:
        return False
    if measure.function in ("total", "average"):
        return bool(type_.kind == "integer")
    if measure.function in _ENDS:
        return grows and type_.kind in ("integer", "instant")
    return bool(measure.function == "count")


class _Weighed(NamedTuple):
    """Rows with their ticks and keys, and how often each counts: once, or less than nothing where it goes."""

    ticks: Any
    keys: Any
    columns: Mapping[str, Any]
    weights: Any = None  # None: all once

    def numbers(self, name: str) -> Any:
        """A column of integers."""
        return self.columns[name].to_numpy()


class _Slot(NamedTuple):
    """A slot of a cell: rows are counted in it (no field), a field is summed, or the least or greatest kept of it."""

    field: str | None = None
    end: str = ""


class ColumnFold:
    """Folds parts of blocks into the cells of a `Fold`, and makes the records that publish them."""

    def __init__(self, spec: FoldSpec, publish: PublishSpec, table: Table, tick: int) -> None:
        self._table = table
        self._spec = spec
        self._published = publish.columns
        self._tick = tick
        self._members = len(spec.by)
        types = dict(zip(spec.columns, spec.types, strict=True))
        self._by_types = [arrow_type(types[name]) for name in spec.by]
        self._slots = [_Slot()]  # of a cell, from the number of members on
        # By the column published: the slot that it shows, and for a mean the one that it is divided by.
        self._measures: dict[str, tuple[int, int]] = {}
        for name, measure in spec.measures:
            if name in publish.columns:
                at = 0 if measure.field is None else len(self._slots)
                self._measures[name] = (at, at + 1 if measure.function == "average" else -1)
            if measure.function in _ENDS:
                self._slots.append(_Slot(measure.field, measure.function))
            elif measure.field is not None:
                summed = [_Slot(measure.field)] if measure.function != "count" else []
                self._slots += [*summed, _Slot()]

    def fold(self, new: NewRows, changes: Mapping[int, Sequence[Change]]) -> OutputBlock:
        """New rows, oldest tick first, and changes of ticks; raises `Unsure`, before anything is changed, where rows
        must be looked at.
        """
        rows = self._weighed(new, changes)
        cells = cells_of(self._spec.window, rows.keys, rows.numbers(self._spec.instant))
        ticks, of_row = np.unique(rows.ticks, return_inverse=True)
        groups = grouped(cells, of_row, len(ticks))
        places = cells.places()
        known = self._table.get_many(places)
        held = list(zip(*self._known(cells, known, rows), strict=True))
        members = groups.sizes if rows.weights is None else np.add.reduceat(rows.weights[groups.order], groups.begins)
        before, after = [], []
        for number, slot in enumerate(self._slots):
            base = held[self._members + number]
            if slot.end:
                start = _integers([_NONE_YET[slot.end] if value is None else value for value in base])
                after.append(groups.reached(_ENDS[slot.end], _best(rows, slot, groups), start))
                before.append(groups.earlier(after[-1], start))
                continue
            change = members if slot.field is None else _sums(rows, slot.field, groups)
            total = groups.running(change, _base(base, change))
            after.append(total)
            before.append(total - change)
        if (after[0] < 0).any():
            raise Unsure
        was, is_ = before[0] > 0, after[0] > 0
        changed, both = was != is_, was & is_
        for name in self._measures:
            changed |= both & (self._shown(name, before) != self._shown(name, after))
        revision = groups.running(changed.astype(np.int64), np.array(held[-1], np.int64))
        self._write(places, known, held, groups, [*after, revision])
        told = np.flatnonzero(changed)
        order = groups.of_tick[told] * len(cells.keys) + cells.rank[groups.of_cell[told]]
        told = told[np.argsort(order, kind="stable")]
        recorded = (ticks[groups.of_tick[told]] + 1) * self._tick - 1
        # A retract carries what it takes back.
        totals = [np.where(is_[told], now[told], then[told]) for then, now in zip(before, after, strict=True)]
        columns = self._given(cells, held, groups.of_cell[told], totals)
        columns["recorded_at"] = pa.array(recorded)
        columns["kind"] = _KINDS.take(pa.array(np.where(is_[told], np.where(was[told], 1, 0), 2)))
        columns["revision"] = pa.array(revision[told])
        keys = cells.keys
        return OutputBlock([keys[cell] for cell in groups.of_cell[told].tolist()], recorded, columns)

    def _shown(self, name: str, totals: Sequence[Any]) -> Any:
        """A measure as it is published, of the slots of some cells."""
        slot, divisor = self._measures[name]
        if divisor < 0:
            return totals[slot]
        if len(totals[slot]) and np.abs(totals[slot]).max() > _EXACT:
            raise Unsure
        return totals[slot] / np.maximum(totals[divisor], 1)  # of no members nothing is said

    def _weighed(self, new: NewRows, changes: Mapping[int, Sequence[Change]]) -> _Weighed:
        """All that is folded; raises `Unsure` where a value does not fit into its column."""
        if not changes:
            return _Weighed(*new)
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
        return _Weighed(
            np.concatenate([new.ticks, ticks]),
            pa.concat_arrays([new.keys, pa.array(keys, pa.binary())]),
            columns,
            np.concatenate([np.ones(len(new), np.int64), weights]),
        )

    def _known(self, cells: Cells, kept: Sequence[Any], rows: _Weighed) -> list[Any]:
        """What the table has of each cell, or what a new one begins with."""
        known = list(kept)
        fresh = [cell for cell, values in enumerate(known) if not values]
        if fresh:
            first = pa.array(cells.first[fresh])
            by = [rows.columns[name].take(first).to_pylist() for name in self._spec.by]
            start = (*(None if slot.end else 0 for slot in self._slots), 0)
            for cell, *values in zip(fresh, *by, strict=True):
                known[cell] = (*values, *start)
        return known

    def _write(
        self,
        places: Sequence[bytes],
        known: Sequence[Any],
        held: Sequence[Any],
        groups: Groups,
        totals: Sequence[Any],
    ) -> None:
        last = groups.first + groups.counts - 1
        numbers = [total[last] for total in totals]
        made = list(zip(*held[: self._members], *(number.tolist() for number in numbers), strict=True))
        differ = [place for place, (now, then) in enumerate(zip(made, known, strict=True)) if now != then]
        if len(differ) > CACHE_LIMIT:  # more than is kept unpacked: packed at once, which is a call for all
            grouped = [pa.array(held[at], type_) for at, type_ in enumerate(self._by_types)]
            which = pa.array(differ)
            bodies = packed_rows([column.take(which) for column in (*grouped, *map(pa.array, numbers))])
            self._table.put_packed([places[place] for place in differ], bodies)
        elif len(differ) == len(made):
            self._table.put_many(places, made)
        else:
            self._table.put_many([places[place] for place in differ], [made[place] for place in differ])

    def _given(self, cells: Cells, held: Sequence[Any], of_cell: Any, totals: Sequence[Any]) -> dict[str, Any]:
        """The columns of the row that is published, for these groups."""
        columns, which = {}, pa.array(of_cell)
        for name in self._published:
            if name in self._measures:
                columns[name] = pa.array(self._shown(name, totals))
            elif name == "valid_from":
                columns[name] = pa.array(cells.starts[of_cell])
            elif name == "valid_to":
                length = self._spec.window.length
                columns[name] = pa.array(cells.starts[of_cell] + length) if length else pa.nulls(len(which), pa.int64())
            else:
                at = self._spec.by.index(name)
                columns[name] = pa.array(held[at]).take(which)
        return columns


def _base(held: Sequence[int], change: Any) -> Any:
    """What cells hold in a slot; raises `Unsure` where that and the changes might not be held by 64 bits."""
    base = _integers(held)
    if np.abs(base.astype(np.float64)).max() + np.abs(change.astype(np.float64)).sum() >= _BOUND:
        raise Unsure
    return base


def _integers(values: Sequence[int]) -> Any:
    """Raises `Unsure` where 64 bits do not hold them."""
    try:
        return np.array(values, np.int64)
    except OverflowError:
        raise Unsure from None


def _best(rows: _Weighed, slot: _Slot, groups: Groups) -> Any:
    """The least or greatest of each group's rows."""
    if rows.weights is not None or slot.field is None:  # no row of a fold that grows goes
        raise Unsure
    return _ENDS[slot.end].reduceat(rows.numbers(slot.field)[groups.order], groups.begins)


def _sums(rows: _Weighed, field: str, groups: Groups) -> Any:
    values = rows.numbers(field)
    if np.abs(values.astype(np.float64)).sum() >= _BOUND:
        raise Unsure
    if rows.weights is not None:
        values = values * rows.weights
    return np.add.reduceat(values[groups.order], groups.begins)
