"""`aggregate` over columns: many ticks in one step, each cell's state read and written once. `aggregate` is the rule.

Only for what comes and never goes (inputs that are never corrected), whose fold is published as it is, and only for
windows and measures in the lists below: whatever is not in them is folded row by row. The cells are those of `Fold`, in
the same table and form, so that each batch may take either way. `tests/simulation/test_columns.py` holds them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.blocks import OutputBlock, Part
from headwater.processing.operators.aggregate import FoldSpec
from headwater.processing.operators.publish import PublishSpec
from headwater.processing.packing import ordered_integer, sized
from headwater.processing.state import Table
from headwater.processing.windows import WHOLE_START, Window
from headwater.schemas.unsure import Unsure

_BOUND = 1 << 61  # sums stay below it, so that 64 bits hold them and what they are compared with
_GROUPED = ("string", "integer", "instant", "boolean")
_KINDS = pa.array(["assert", "correct"])


def foldable(fold: FoldSpec, publish: PublishSpec) -> bool:
    """Whether this fold and what it is published as can be made over columns."""
    types = dict(zip(fold.columns, fold.types, strict=True))
    if fold.window not in (Window(), Window(length=fold.window.length)) or type(fold.window) is not Window:
        return False
    if publish.conversions or publish.shape != "fact" or not set(publish.columns) <= set(fold.gives):
        return False
    if any(types[name].kind not in _GROUPED or types[name].nullable for name in fold.by):
        return False
    return all(_summed(measure, types) for _, measure in fold.measures)


def _summed(measure: Any, types: Mapping[str, Any]) -> bool:
    if measure.field is None:
        return bool(measure.function == "count")
    type_ = types[measure.field]
    return not type_.nullable and (
        measure.function == "count" or (measure.function == "total" and type_.kind == "integer")
    )


class _Cells(NamedTuple):
    """The cells that some parts touch, in the order of first touch: which one each row is of, and where they stand."""

    of_row: Any
    keys: list[bytes]
    starts: Any
    rank: Any  # in the order of key and interval
    first: Any  # the first row of each


class _Groups(NamedTuple):
    """Rows by cell and tick: their order, where each group begins, and of which cell and tick it is."""

    order: Any
    begins: Any
    sizes: Any
    of_cell: Any
    of_tick: Any
    first: Any  # the first group of each cell
    counts: Any  # how many groups each cell has

    def running(self, change: Any, base: Any) -> Any:
        """What a cell holds after each of its groups, which change it by so much from what it held at first."""
        sums = np.cumsum(change)
        return sums + np.repeat(base - (sums[self.first] - change[self.first]), self.counts)


class ColumnFold:
    """Folds parts of blocks into the cells of a `Fold`, and makes the records that publish them."""

    def __init__(self, spec: FoldSpec, publish: PublishSpec, table: Table, tick: int) -> None:
        self._table = table
        self._spec = spec
        self._published = publish.columns
        self._tick = tick
        self._members = len(spec.by)
        # By slot of a cell, from the number of members on: the field that is summed, or None where rows are counted.
        self._slots: list[str | None] = [None]
        self._measures: dict[str, int] = {}
        for name, measure in spec.measures:
            if name in publish.columns:
                self._measures[name] = len(self._slots) if measure.field is not None else 0
            if measure.field is not None:
                self._slots += [measure.field, None] if measure.function == "total" else [None]

    def fold(self, parts: Sequence[Part]) -> OutputBlock:
        """All these, oldest tick first; raises `Unsure`, before anything is changed, where rows must be looked at."""
        cells = self._cells(parts)
        ticks = np.unique([part.tick for part in parts])
        groups = _grouped(cells, np.searchsorted(ticks, [part.tick for part in parts]), parts, len(ticks))
        places = self._places(cells)
        known = self._known(cells, places, parts)
        held = list(zip(*known, strict=True))
        before, after = [], []
        for slot, field in enumerate(self._slots):
            change = groups.sizes if field is None else _sums(parts, field, groups)
            total = groups.running(change, _base(held[self._members + slot], change))
            after.append(total)
            before.append(total - change)
        new = before[0] == 0
        changed = new.copy()
        for slot in self._measures.values():
            changed |= before[slot] != after[slot]
        revision = groups.running(changed.astype(np.int64), np.array(held[-1], np.int64))
        self._write(places, held, groups, [*after, revision])
        told = np.flatnonzero(changed)
        places = groups.of_tick[told] * len(cells.keys) + cells.rank[groups.of_cell[told]]
        told = told[np.argsort(places, kind="stable")]
        recorded = (ticks[groups.of_tick[told]] + 1) * self._tick - 1
        columns = self._given(cells, held, groups.of_cell[told], [total[told] for total in after])
        columns["recorded_at"] = pa.array(recorded)
        columns["kind"] = _KINDS.take(pa.array(np.where(new[told], 0, 1)))
        columns["revision"] = pa.array(revision[told])
        keys = cells.keys
        return OutputBlock([keys[cell] for cell in groups.of_cell[told].tolist()], recorded, columns)

    def _cells(self, parts: Sequence[Part]) -> _Cells:
        coded = pa.chunked_array([part.keys() for part in parts]).combine_chunks().dictionary_encode()
        codes, keys = coded.indices.to_numpy().astype(np.int64), coded.dictionary
        rank = np.empty(len(keys), np.int64)
        rank[pc.array_sort_indices(keys).to_numpy()] = np.arange(len(keys))
        names, length = keys.to_pylist(), self._spec.window.length
        if not length:
            # Codes are given in the order of first touch: a new one is above all before it.
            above = np.maximum.accumulate(codes)
            first = np.flatnonzero(np.concatenate(([True], above[1:] != above[:-1])))
            return _Cells(codes, names, np.full(len(keys), WHOLE_START), rank, first)
        at = _joined(parts, self._spec.instant)
        starts, of_start = np.unique(at // length * length, return_inverse=True)
        pairs, first, of_row = np.unique(codes * len(starts) + of_start, return_index=True, return_inverse=True)
        touched = np.argsort(first, kind="stable")
        of_key, of_time = np.divmod(pairs[touched], len(starts))
        cells = [names[key] for key in of_key.tolist()]
        return _Cells(
            _inverse(touched)[of_row],
            cells,
            starts[of_time],
            _inverse(np.argsort(rank[of_key] * len(starts) + of_time, kind="stable")),
            first[touched],
        )

    def _known(self, cells: _Cells, places: Sequence[bytes], parts: Sequence[Part]) -> list[Any]:
        """What the table has of each cell, or what a new one begins with."""
        known = self._table.get_many(places)
        fresh = [cell for cell, values in enumerate(known) if not values]
        if fresh:
            rows = pa.array(cells.first[fresh])
            by = [_chunks(parts, name).take(rows).to_pylist() for name in self._spec.by]
            start = (0,) * (len(self._slots) + 1)
            for cell, *values in zip(fresh, *by, strict=True):
                known[cell] = (*values, *start)
        return known

    def _places(self, cells: _Cells) -> list[bytes]:
        if not self._spec.window.length:
            end = ordered_integer(WHOLE_START)
            return [sized(key) + end for key in cells.keys]
        return [sized(key) + ordered_integer(at) for key, at in zip(cells.keys, cells.starts.tolist(), strict=True)]

    def _write(self, places: Sequence[bytes], held: Sequence[Any], groups: _Groups, totals: Sequence[Any]) -> None:
        last = groups.first + groups.counts - 1
        numbers = (total[last].tolist() for total in totals)
        self._table.put_many(places, list(zip(*held[: self._members], *numbers, strict=True)))

    def _given(self, cells: _Cells, held: Sequence[Any], of_cell: Any, totals: Sequence[Any]) -> dict[str, Any]:
        """The columns of the row that is published, for these groups."""
        columns, which = {}, pa.array(of_cell)
        for name in self._published:
            if name in self._measures:
                columns[name] = pa.array(totals[self._measures[name]])
            elif name == "valid_from":
                columns[name] = pa.array(cells.starts[of_cell])
            elif name == "valid_to":
                length = self._spec.window.length
                columns[name] = pa.array(cells.starts[of_cell] + length) if length else pa.nulls(len(which), pa.int64())
            else:
                at = self._spec.by.index(name)
                columns[name] = pa.array(held[at]).take(which)
        return columns


def _grouped(cells: _Cells, of_part: Any, parts: Sequence[Part], ticks: int) -> _Groups:
    of_row = np.repeat(of_part, [part.last - part.first for part in parts])
    places = cells.of_row * ticks + of_row
    order = np.argsort(places, kind="stable")
    places = places[order]
    begins = _begins(places)
    of_cell, of_tick = np.divmod(places[begins], ticks)
    first = _begins(of_cell)
    sizes = np.diff(begins, append=len(places))
    return _Groups(order, begins, sizes, of_cell, of_tick, first, np.diff(first, append=len(of_cell)))


def _base(held: Sequence[int], change: Any) -> Any:
    """What cells hold in a slot; raises `Unsure` where that and the changes might not be held by 64 bits."""
    try:
        base = np.array(held, np.int64)
    except OverflowError:
        raise Unsure from None
    if np.abs(base.astype(np.float64)).max() + np.abs(change.astype(np.float64)).sum() >= _BOUND:
        raise Unsure
    return base


def _sums(parts: Sequence[Part], field: str, groups: _Groups) -> Any:
    values = _joined(parts, field)
    if np.abs(values.astype(np.float64)).sum() >= _BOUND:
        raise Unsure
    return np.add.reduceat(values[groups.order], groups.begins)


def _begins(values: Any) -> Any:
    """Where a value differs from the one before it."""
    return np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))


def _inverse(order: Any) -> Any:
    found = np.empty(len(order), np.int64)
    found[order] = np.arange(len(order))
    return found


def _chunks(parts: Sequence[Part], name: str) -> Any:
    return pa.chunked_array([part.column(name) for part in parts])


def _joined(parts: Sequence[Part], name: str) -> Any:
    return np.concatenate([part.column(name).to_numpy() for part in parts])
