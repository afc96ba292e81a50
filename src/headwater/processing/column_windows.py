"""The cells that rows are of, over columns: their keys and intervals, and which of them each tick touches.

`aggregate` and `windows` are the rule.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from headwater.processing.packing import ordered_integer, sized
from headwater.processing.windows import WHOLE_START, Window


class Cells(NamedTuple):
    """The cells that some rows touch, in the order of first touch: which one each row is of, and where they stand."""

    of_row: Any
    keys: list[bytes]
    starts: Any
    rank: Any  # in the order of key and interval
    first: Any  # the first row of each

    def places(self) -> list[bytes]:
        """Where the state keeps them."""
        return [sized(key) + ordered_integer(at) for key, at in zip(self.keys, self.starts.tolist(), strict=True)]


class Groups(NamedTuple):
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
    """The cells of rows of these keys and instants."""
    coded = keys.dictionary_encode()
    codes, keys = coded.indices.to_numpy().astype(np.int64), coded.dictionary
    rank = np.empty(len(keys), np.int64)
    rank[pc.array_sort_indices(keys).to_numpy()] = np.arange(len(keys))
    names, length = keys.to_pylist(), window.length
    if not length:
        # Codes are given in the order of first touch: a new one is above all before it.
        first = _begins(np.maximum.accumulate(codes))
        return Cells(codes, names, np.full(len(keys), WHOLE_START), rank, first)
    starts, of_start = np.unique(instants // length * length, return_inverse=True)
    pairs, first, of_row = np.unique(codes * len(starts) + of_start, return_index=True, return_inverse=True)
    touched = np.argsort(first, kind="stable")
    of_key, of_time = np.divmod(pairs[touched], len(starts))
    return Cells(
        _inverse(touched)[of_row],
        [names[key] for key in of_key.tolist()],
        starts[of_time],
        _inverse(np.argsort(rank[of_key] * len(starts) + of_time, kind="stable")),
        first[touched],
    )


def grouped(cells: Cells, of_row: Any, ticks: int) -> Groups:
    """The groups of rows of which each is of one of so many ticks."""
    places = cells.of_row * ticks + of_row
    order = np.argsort(places, kind="stable")
    places = places[order]
    begins = _begins(places)
    of_cell, of_tick = np.divmod(places[begins], ticks)
    first = _begins(of_cell)
    sizes = np.diff(begins, append=len(places))
    return Groups(order, begins, sizes, of_cell, of_tick, first, np.diff(first, append=len(of_cell)))


def _begins(values: Any) -> Any:
    """Where a value differs from the one before it."""
    return np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))


def _inverse(order: Any) -> Any:
    found = np.empty(len(order), np.int64)
    found[order] = np.arange(len(order))
    return found
