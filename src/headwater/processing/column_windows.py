"""The cells that rows are of, over columns: their keys and intervals, and which of them each tick touches.

`aggregate` and `windows` are the rule. Intervals lie side by side, so that one is found for all the instants in it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from headwater.processing.packing import ordered_integer, sized
from headwater.processing.windows import WHOLE_START, Window
from headwater.schemas.unsure import Unsure

_TOUCHES_LIMIT = 1 << 22  # cells that the rows of one step touch; of more, the arrays would fill the memory


class Cells(NamedTuple):
    """The cells that some rows touch, in the order of first touch, and each touch: the row, and which cell it is of."""

    rows: Any  # None: each row touches one cell, in their order
    touched: Any
    keys: list[bytes]
    starts: Any
    ends: Any  # None: open
    rank: Any  # in the order of key and interval
    first: Any  # the first row of each

    def places(self) -> list[bytes]:
        """Where the state keeps them."""
        return [sized(key) + ordered_integer(at) for key, at in zip(self.keys, self.starts.tolist(), strict=True)]


class Groups(NamedTuple):
    """Rows by cell and tick, once for each cell: their order, and of each group where it begins, its cell and tick."""

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

    def reached(self, better: Any, own: Any, base: Any) -> Any:
        """The best of a cell after each of its groups, of which each has its own, from what it was at first."""
        found = own.copy()
        found[self.first] = better(found[self.first], base)
        place = np.arange(len(found)) - np.repeat(self.first, self.counts)  # of a group in its cell
        step = 1
        while step < self.counts.max():  # each time from twice as far back
            later = np.flatnonzero(place >= step)
            found[later] = better(found[later], found[later - step])
            step *= 2
        return found

    def earlier(self, after: Any, base: Any) -> Any:
        """What a cell held before each of its groups."""
        found = np.concatenate((after[:1], after[:-1]))
        found[self.first] = base
        return found


def cells_of(window: Window, keys: Any, instants: Any) -> Cells:
    """The cells of rows of these keys and instants; raises `Unsure` where they are too many."""
    coded = keys.dictionary_encode()
    codes, keys = coded.indices.to_numpy().astype(np.int64), coded.dictionary
    rank = np.empty(len(keys), np.int64)
    rank[pc.array_sort_indices(keys).to_numpy()] = np.arange(len(keys))
    names = keys.to_pylist()
    if not (window.length or window.unit):
        # Codes are given in the order of first touch: a new one is above all before it.
        first = np.flatnonzero(changed(np.maximum.accumulate(codes)))
        return Cells(None, codes, names, np.full(len(keys), WHOLE_START), None, rank, first)
    rows = None
    if window.hops > 1:
        if len(instants) * window.hops > _TOUCHES_LIMIT:
            raise Unsure
        rows = np.repeat(np.arange(len(instants)), window.hops)
        hops = np.array([*range(1, window.hops), 0])  # as the row road has them: a row's own interval comes last
        codes, instants = codes[rows], np.add.outer(instants, hops * window.length).ravel()
    starts, ends, of_start = _intervals(window, instants)
    pairs, first, of_pair = np.unique(codes * len(starts) + of_start, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    of_key, of_time = np.divmod(pairs[order], len(starts))
    return Cells(
        rows,
        _inverse(order)[of_pair],
        [names[key] for key in of_key.tolist()],
        starts[of_time],
        ends[of_time],
        _inverse(np.argsort(rank[of_key] * len(starts) + of_time, kind="stable")),
        first[order] if rows is None else rows[first[order]],
    )


def grouped(cells: Cells, of_row: Any, ticks: int) -> Groups:
    """The groups of rows of which each is of one of so many ticks."""
    rows = cells.rows
    places = cells.touched * ticks + (of_row if rows is None else of_row[rows])
    order = np.argsort(places, kind="stable")
    places = places[order]
    begins = np.flatnonzero(changed(places))
    of_cell, of_tick = np.divmod(places[begins], ticks)
    first = np.flatnonzero(changed(of_cell))
    sizes = np.diff(begins, append=len(places))
    order = order if rows is None else rows[order]
    return Groups(order, begins, sizes, of_cell, of_tick, first, np.diff(first, append=len(of_cell)))


def _intervals(window: Window, instants: Any) -> tuple[Any, Any, Any]:
    """The intervals of some instants, in order: their starts and ends, and which one each instant is of."""
    if window.length:
        starts, of_start = np.unique(instants // window.length * window.length, return_inverse=True)
        return starts, starts + window.length, of_start
    distinct, of_distinct = np.unique(instants, return_inverse=True)
    interval = window.intervals()
    found, place = list[tuple[int, int]](), 0
    while place < len(distinct):
        try:
            start, end = interval(int(distinct[place]))
        except (OverflowError, ValueError):  # no calendar has such a day
            raise Unsure from None
        assert end is not None and start <= distinct[place] < end, "an interval holds its instant"
        found.append((start, end))
        place = int(np.searchsorted(distinct, end))
    starts, ends = np.array(found, np.int64).T
    return starts, ends, (np.searchsorted(starts, distinct, side="right") - 1)[of_distinct]


def changed(values: Any) -> Any:
    """Where a value is another than the one before it.

    >>> changed(np.array([3, 3, 1])).tolist()
    [True, False, True]
    """
    found = np.ones(len(values), bool)
    found[1:] = values[1:] != values[:-1]
    return found


def _inverse(order: Any) -> Any:
    found = np.empty(len(order), np.int64)
    found[order] = np.arange(len(order))
    return found
