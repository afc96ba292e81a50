"""The measures that a fold can make over columns: a list, and those that are sums. `measures` is the rule.

The slots of a cell are the same on both roads. Sums are made of rows that come and rows that go, all others
(`column_multisets`, `column_custom`) of rows that come alone. What is not on the list is folded row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headwater.processing.cells import FoldSpec
from headwater.processing.column_amounts import Amounts, ColumnMeasure, Held, Touched, Weighed, integers, of_numbers
from headwater.processing.column_custom import Own
from headwater.processing.column_decimal_sums import DecimalSums, addable
from headwater.processing.column_multisets import Beside, Distinct, Edges, Ends
from headwater.processing.column_state import arrow_type, packable
from headwater.processing.column_windows import Groups
from headwater.processing.field_types import FieldType
from headwater.processing.graph import Measure
from headwater.processing.state import Table
from headwater.schemas.unsure import Unsure

_BOUND = 1 << 61  # sums stay below it, so that 64 bits hold them and what they are compared with
_EXACT = 1 << 53  # integers up to here are doubles too, so that a quotient of two is rounded once
_SUMS = ("count", "total", "average")
_ENDS = ("minimum", "maximum")
_EDGES = ("first", "last")


def measurable(measure: Measure, fold: FoldSpec) -> bool:
    """Whether columns can make a measure of a fold."""
    types = _types(fold)
    if measure.custom is not None:
        return packable([types[name] for name in measure.fields]) and _result(measure.custom.type) is not None
    if measure.field is None:
        return summable(measure, fold)
    type_ = types[measure.field]
    if measure.function in (*_ENDS, "count_distinct"):
        return packable([type_])
    if measure.function in _EDGES:
        return packable([type_, *(types[name] for name in fold.order)])
    return summable(measure, fold) or (measure.function in ("total", "average") and addable(type_))


def summable(measure: Measure, fold: FoldSpec) -> bool:
    """Whether `column_sums` can make it: of integers, or a count."""
    if measure.function not in _SUMS:
        return False
    return measure.function == "count" or _types(fold)[measure.field or ""].kind == "integer"


def column_measure(measure: Measure, fold: FoldSpec, table: Table, position: int) -> ColumnMeasure | None:
    """What makes a measure that is on the list, in the slots from this position of a cell; beside the cells it keeps
    what it has in the table. None for how many rows a cell has, which it holds in any case.
    """
    if measure.custom is not None:
        return Own(measure, _result(measure.custom.type))
    if measure.field is None or summable(measure, fold):
        return column_sums(measure)
    if measure.function in _SUMS:
        return DecimalSums(measure.function, measure.field, _types(fold)[measure.field])
    types = {name: arrow_type(type_) for name, type_ in _types(fold).items() if packable([type_])}
    beside = Beside(table, position)
    if measure.function == "count_distinct":
        return Distinct(measure.field, types[measure.field], beside)
    goes = None if fold.grows else beside
    if measure.function in _ENDS:
        return Ends(measure.field, types[measure.field], goes, greatest=measure.function == "maximum")
    return Edges(measure.field, (fold.instant, *fold.order), types, goes, last=measure.function == "last")


def column_sums(measure: Measure) -> Sums | None:
    """The same for sums alone, which keep nothing beside the cells."""
    return None if measure.field is None else Sums(measure.function, measure.field)


def summed(measures: Sequence[ColumnMeasure | None]) -> bool:
    """Whether these are sums, which rows that go can be taken out of as columns."""
    return all(measure is None or isinstance(measure, Sums) for measure in measures)


def members(rows: Weighed, groups: Groups, held: Sequence[int]) -> tuple[Any, Any]:
    """How many rows cells had before each group, and have after it; raises `Unsure` where more went than came."""
    change = _counts(rows, groups)
    after = groups.running(change, _base(held, change))
    if (after < 0).any():
        raise Unsure
    return after - change, after


class Sums:
    """How many rows have a field, what it adds up to, or the mean of it."""

    packs = True

    def __init__(self, function: str, field: str) -> None:
        self._field = field
        self._function = function
        self.starting = (0,) if function == "count" else (0, 0)

    def amounts(self, touched: Touched, held: Held) -> Amounts:
        """What it amounts to; raises `Unsure` where 64 bits might not hold it."""
        rows, groups = touched.rows, touched.groups
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


def _base(held: Sequence[int], change: Any) -> Any:
    """What cells hold in a slot; raises `Unsure` where that and the changes might not be held by 64 bits."""
    base = integers(held)
    if np.abs(base.astype(np.float64)).max() + np.abs(change.astype(np.float64)).sum() >= _BOUND:
        raise Unsure
    return base


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


def _types(fold: FoldSpec) -> dict[str, FieldType]:
    return dict(zip(fold.columns, fold.types, strict=True))


def _result(type_: FieldType) -> Any:
    """What a result of the author's own is published in; None where columns do not hold it."""
    if type_.kind == "double":
        return pa.float64()
    return arrow_type(type_) if packable([type_]) else None
