"""What a measure of a fold amounts to, over columns: after each group of rows, of one cell and tick."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.column_changes import NewRows
from headwater.processing.column_windows import Groups
from headwater.schemas.unsure import Unsure

Held = Sequence[Sequence[Any]]
"""What cells held in some slots at first: of each slot a value for each cell."""


class Weighed(NamedTuple):
    """Rows with their ticks and keys, and how often each counts: once, or less than nothing where it goes."""

    ticks: Any
    keys: Any
    columns: Mapping[str, Any]
    weights: Any = None  # None: all once

    def numbers(self, name: str) -> Any:
        """A column of integers, zero where there is none."""
        column = self.columns[name]
        return (column.fill_null(0) if column.null_count else column).to_numpy()

    def without(self, gone: NewRows) -> Weighed:
        """These, and beside them rows that go."""
        if not len(gone):
            return self
        weights = np.ones(len(self.ticks), np.int64) if self.weights is None else self.weights
        return Weighed(
            np.concatenate([self.ticks, gone.ticks]),
            pa.concat_arrays([self.keys, gone.keys]),
            {name: pa.concat_arrays([column, gone.columns[name]]) for name, column in self.columns.items()},
            np.concatenate([weights, np.full(len(gone), -1)]),
        )


class Touched(NamedTuple):
    """Rows, the groups that they make, where the cells stand, and whether a group's cell had rows before it."""

    rows: Weighed
    groups: Groups
    places: list[bytes]
    filled: Any


def nothing() -> None:
    """Keep nothing."""


class Amounts(NamedTuple):
    """What a measure amounts to after each group: which groups make it another, and which move its slots.

    `shown` is the column published of some groups: of each what it has made of it, or what it was before. `slots` are
    what its slots hold after some groups. `keep` writes what lies beside the cells.
    """

    differs: Any
    moved: Any
    shown: Callable[[Any, Any], Any]
    slots: Callable[[Any], Sequence[Any]]
    keep: Callable[[], None] = nothing

    def where(self, was: Any, is_: Any) -> Amounts:
        """The same, null where no row has the field: before each group, and after it."""

        def shown(some: Any, came: Any) -> Any:
            none = pa.array(~np.where(came, is_[some], was[some]))
            return pc.if_else(none, None, self.shown(some, came))

        return self._replace(differs=self.differs | (was != is_), shown=shown)


class ColumnMeasure(Protocol):
    """A measure of a fold."""

    @property
    def starting(self) -> tuple[Any, ...]:
        """What its slots hold in a new cell."""

    @property
    def packs(self) -> bool:
        """Whether its slots are of types that are packed as columns."""

    def amounts(self, touched: Touched, held: Held) -> Amounts:
        """What it amounts to; raises `Unsure`, with nothing changed."""


def of_numbers(before: Any, after: Any, moved: Any, slots: Sequence[Any]) -> Amounts:
    """Numbers that are published as they are."""
    return Amounts(
        before != after,
        moved,
        lambda some, came: pa.array(np.where(came, after[some], before[some])),
        lambda some: [slot[some] for slot in slots],
    )


def integers(values: Sequence[int]) -> Any:
    """Raises `Unsure` where 64 bits do not hold them."""
    try:
        return np.array(values, np.int64)
    except OverflowError:
        raise Unsure from None
