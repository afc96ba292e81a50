"""What ticks say of keys whose state has a front, its newest event or session: what comes there, and what lies behind.

What is said behind a front and what is said at it do not touch each other: the first may go by rows once the second is
kept, though later ticks have brought the front on since. `column_latest` and `column_sessions` say what is behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from headwater.processing.column_changes import NewRows, and_rows
from headwater.processing.column_ends import Delta
from headwater.processing.column_state import require_types
from headwater.processing.field_types import FieldType
from headwater.processing.operators.core import OPEN, Change


class Touches(NamedTuple):
    """Where rows come, and where others change or go: first those that come, in their order, then the others."""

    codes: Any
    ticks: Any
    instants: Any

    def order(self) -> Any:
        """By key, tick and instant."""
        return np.lexsort((self.instants, self.ticks, self.codes))


def with_all_that_comes(delta: Delta, names: Sequence[str], types: Sequence[FieldType]) -> Delta:
    """The same, where rows that only come, though more is said of them later, are new ones; they need not be in order.

    Raises `Unsure` where columns do not lie in these types.
    """
    new, changes, _ = delta
    require_types(new.columns, names, types)
    come = [
        (tick, key, row) for tick, some in changes.items() for key, old, row in some if old is None and row is not None
    ]
    all_ = and_rows(new, come, names)
    if all_ is None:
        return delta
    left = {tick: [change for change in some if change[1] is not None] for tick, some in changes.items()}
    return Delta(all_, {tick: some for tick, some in left.items() if some})


def touches(
    new: NewRows, codes: Any, names: Sequence[bytes], changes: Mapping[int, Sequence[Change]], at: tuple[str, int]
) -> Touches:
    """Where new rows come, of keys of these codes, and where what is there of these keys changes; `at` names the column
    of instants, and its place in a row.
    """
    column, place = at
    of_key = {name: code for code, name in enumerate(names)} if changes else {}
    others = [
        (of_key[key], tick, row[place])
        for tick, some in changes.items()
        for key, *rows in some
        for row in rows
        if row is not None and key in of_key
    ]
    more = np.array(others, np.int64).reshape(-1, 3).T
    rows = codes, new.ticks, new.columns[column].to_numpy()
    return Touches(*(np.concatenate(pair) for pair in zip(rows, more, strict=True)))


def greatest_before(codes: Any, ticks: Any, instants: Any, reached: Any) -> Any:
    """The greatest instant of each one's key in the ticks before its own, of what lies by key and tick; `reached` is
    that of each key before all.

    >>> codes, ticks = np.array([0, 0, 0, 1]), np.array([5, 6, 6, 5])
    >>> greatest_before(codes, ticks, np.array([7, 9, 8, 1]), np.array([3, -1])).tolist()
    [3, 7, 7, -1]
    """
    if not len(codes):
        return instants
    values, rank = np.unique(np.concatenate([instants, reached]), return_inverse=True)
    base = codes * len(values)  # so that whatever is of a key ranks above all of those before it
    own, start = base + rank[: len(codes)], base + rank[len(codes) :][codes]
    until = np.maximum(np.maximum.accumulate(own), start)
    begins = np.ones(len(codes), bool)
    begins[1:] = (codes[1:] != codes[:-1]) | (ticks[1:] != ticks[:-1])
    first = np.maximum.accumulate(np.where(begins, np.arange(len(codes)), 0))
    before = np.maximum(np.concatenate([start[:1], until[:-1]])[first], start)
    return values[before - base]


def first_ticks(codes: Any, ticks: Any, size: int) -> Any:
    """The first of the ticks of each of so many keys, or one that never comes.

    >>> first_ticks(np.array([0, 0]), np.array([9, 8]), 2).tolist() == [8, OPEN]
    True
    """
    found = np.full(size, OPEN, np.int64)
    np.minimum.at(found, codes, ticks)
    return found
