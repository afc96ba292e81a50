"""The measures of a fold over columns: what each amounts to after each group of rows, of one cell and tick.

`measures` is the rule: the slots of a cell are the same. What is not on the list is folded row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.column_changes import NewRows
from headwater.processing.column_windows import Groups
from headwater.processing.field_types import FieldType
from headwater.processing.graph import Measure
from headwater.schemas.unsure import Unsure

_BOUND = 1 << 61  # sums stay below it, so that 64 bits hold them and what they are compared with
_EXACT = 1 << 53  # integers up to here are doubles too, so that a quotient of two is rounded once
_SUMS = ("count", "total", "average")
_ENDS = {"minimum": np.minimum, "maximum": np.maximum}
_NONE_YET = {"minimum": (1 << 63) - 1, "maximum": -(1 << 63)}  # what is least and greatest of nothing

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


class Amounts(NamedTuple):
    """What a measure amounts to after each group: which groups make it another, and which move its slots.

    `shown` is the column published of some groups: of each what it has made of it, or what it was before. `slots` are
    what its slots hold after some groups.
    """

    differs: Any
    moved: Any
    shown: Callable[[Any, Any], Any]
    slots: Callable[[Any], Sequence[Any]]

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

    def amounts(self, rows: Weighed, groups: Groups, held: Held) -> Amounts:
        """What it amounts to; raises `Unsure`."""


def measurable(measure: Measure, types: Mapping[str, FieldType], grows: bool) -> bool:
    """Whether columns can make a measure of rows of these types; `grows` where rows are only ever added."""
    if measure.field is None:
        return measure.function == "count"
    type_ = types[measure.field]
    if measure.function in ("total", "average"):
        return type_.kind == "integer"
    if measure.function in _ENDS:
        return grows and type_.kind in ("integer", "instant") and not type_.nullable
    return measure.function == "count"


def column_measure(measure: Measure) -> ColumnMeasure | None:
    """What makes a measure that is on the list; None for how many rows a cell has, which it holds in any case."""
    if measure.field is None:
        return None
    return Sums(measure.function, measure.field) if measure.function in _SUMS else Ends(measure.function, measure.field)


def members(rows: Weighed, groups: Groups, held: Sequence[int]) -> tuple[Any, Any]:
    """How many rows cells had before each group, and have after it; raises `Unsure` where more went than came."""
    change = _counts(rows, groups)
    after = groups.running(change, _base(held, change))
    if (after < 0).any():
        raise Unsure
    return after - change, after


class Sums:
    """How many rows have a field, what it adds up to, or the mean of it."""

    def __init__(self, function: str, field: str) -> None:
        self._field = field
        self._function = function
        self.starting = (0,) if function == "count" else (0, 0)

    def amounts(self, rows: Weighed, groups: Groups, held: Held) -> Amounts:
        """What it amounts to; raises `Unsure` where 64 bits might not hold it."""
        changes = [_counts(rows, groups, self._field)]
        if self._function != "count":
            changes.insert(0, _sums(rows, self._field, groups))
        after = [groups.running(change, _base(base, change)) for change, base in zip(changes, held, strict=True)]
        before = [now - change for now, change in zip(after, changes, strict=True)]
        amount = of_numbers(self._amount(before), self._amount(after), np.any(changes, axis=0), after)
        return amount if self._function == "count" else amount.where(before[1] > 0, after[1] > 0)

    def _amount(self, slots: Sequence[Any]) -> Any:
        if self._function != "average":
            return slots[0]
        sums, counts = slots
        if np.abs(sums).max() > _EXACT:
            raise Unsure
        return sums / np.maximum(counts, 1)


class Ends:
    """The least or greatest where no row is ever taken out."""

    starting = (None,)

    def __init__(self, function: str, field: str) -> None:
        self._field = field
        self._better, self._none = _ENDS[function], _NONE_YET[function]

    def amounts(self, rows: Weighed, groups: Groups, held: Held) -> Amounts:
        """What it amounts to."""
        if rows.weights is not None:
            raise Unsure
        base = integers([self._none if value is None else value for value in held[0]])
        own = self._better.reduceat(rows.numbers(self._field)[groups.order], groups.begins)
        after = groups.reached(self._better, own, base)
        before = groups.earlier(after, base)
        return of_numbers(before, after, before != after, [after])


def of_numbers(before: Any, after: Any, moved: Any, slots: Sequence[Any]) -> Amounts:
    """Numbers that are published as they are."""
    return Amounts(
        before != after,
        moved,
        lambda some, came: pa.array(np.where(came, after[some], before[some])),
        lambda some: [slot[some] for slot in slots],
    )


def _base(held: Sequence[int], change: Any) -> Any:
    """What cells hold in a slot; raises `Unsure` where that and the changes might not be held by 64 bits."""
    base = integers(held)
    if np.abs(base.astype(np.float64)).max() + np.abs(change.astype(np.float64)).sum() >= _BOUND:
        raise Unsure
    return base


def integers(values: Sequence[int]) -> Any:
    """Raises `Unsure` where 64 bits do not hold them."""
    try:
        return np.array(values, np.int64)
    except OverflowError:
        raise Unsure from None


def _counts(rows: Weighed, groups: Groups, field: str = "") -> Any:
    """How many rows more each group makes, or rows that have a field."""
    weights = rows.weights
    if field and rows.columns[field].null_count:
        there = rows.columns[field].is_valid().to_numpy(zero_copy_only=False)
        weights = there.astype(np.int64) if weights is None else there * weights
    return groups.sizes if weights is None else np.add.reduceat(weights[groups.order], groups.begins)


def _sums(rows: Weighed, field: str, groups: Groups) -> Any:
    values = rows.numbers(field)
    if np.abs(values.astype(np.float64)).sum() >= _BOUND:
        raise Unsure
    if rows.weights is not None:
        values = values * rows.weights
    return np.add.reduceat(values[groups.order], groups.begins)
