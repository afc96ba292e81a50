"""Rows of two sides that are of one key and lie near each other in time, as arrays of numpy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from headwater.processing.column_state import joined_keys, ordered_integers
from headwater.processing.state import Span
from headwater.schemas.unsure import Unsure

PAIRS_LIMIT = 1_000_000  # made in one step, of some hundred bytes each
_FAR = 1 << 62  # what is computed of two instants before it still fits into 64 bits


class Places(NamedTuple):
    """Rows by the code of their key and their instant."""

    codes: Any
    instants: Any

    def __len__(self) -> int:
        return len(self.codes)

    def some(self, which: Any) -> Places:
        """Those that a mask or numbers choose."""
        return Places(self.codes[which], self.instants[which])


def require_countable(places: Places, distance: int) -> None:
    """Raises `Unsure` where 64 bits might not hold what lies so far from one of these."""
    if len(places):
        first, last = int(places.instants.min()), int(places.instants.max())
        if first - distance < -_FAR or last + distance >= _FAR:
            raise Unsure


def near(left: Places, right: Places, distance: int) -> tuple[Any, Any]:
    """Which of the left's rows are of one key with which of the right's, and at most so far from them in time.

    Raises `Unsure` where they are too many.

    >>> left, right = Places(np.array([0, 1]), np.array([5, 5])), Places(np.array([1, 0, 0]), np.array([7, 3, 8]))
    >>> [which.tolist() for which in near(left, right, 2)]
    [[0, 1], [1, 0]]
    """
    order, first, sizes = _bounds(left, right, distance)
    pairs = int(sizes.sum())
    if pairs > PAIRS_LIMIT:
        raise Unsure
    of_left = np.repeat(np.arange(len(left)), sizes)
    number = np.arange(pairs) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return of_left, order[np.repeat(first, sizes) + number]


def beside(left: Places, right: Places, distance: int) -> Any:
    """Whether each of the left's rows is near one of the right's."""
    return _bounds(left, right, distance)[2] > 0


def _bounds(left: Places, right: Places, distance: int) -> tuple[Any, Any, Any]:
    """The right's rows in order, and for each of the left's the first of them that is near it, and how many are."""
    order = np.lexsort((right.instants, right.codes))
    instants = np.unique(right.instants)
    width = len(instants) + 1  # numbers of instants, and one for what comes after all of a key
    lined = right.codes[order] * width + np.searchsorted(instants, right.instants[order])
    first = np.searchsorted(lined, left.codes * width + np.searchsorted(instants, left.instants - distance))
    beyond = np.searchsorted(instants, left.instants + distance, "right")
    return order, first, np.searchsorted(lined, left.codes * width + beyond) - first


def spans_around(places: Places, prefixes: Any, distance: int) -> tuple[Any, list[Span]]:
    """The spans of a table by key and instant in which all lies that is near these, in order and apart, and the key of
    each. Codes are numbers of `prefixes`, whose order is that of the table.
    """
    order = np.lexsort((places.instants, places.codes))
    codes, instants = places.codes[order], places.instants[order]
    begins = np.ones(len(order), bool)
    begins[1:] = (codes[1:] != codes[:-1]) | (np.diff(instants) > 2 * distance)
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(order)) - 1 if len(starts) else starts
    parts = prefixes.take(codes[starts])
    lows = joined_keys([parts, ordered_integers(instants[starts] - distance)])
    highs = joined_keys([parts, ordered_integers(instants[ends] + distance + 1)])
    return codes[starts], list(zip(lows, highs, strict=True))
