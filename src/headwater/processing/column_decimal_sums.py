"""What decimals add up to, and their mean, over columns: whole numbers of 64 bits, without their scale.

`measures` is the rule. Only of rows that come: cells that a row goes from go by rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from headwater.processing.column_amounts import Amounts, Held, Touched, integers
from headwater.processing.field_types import FieldType
from headwater.processing.measures import measure_type
from headwater.schemas.column_decimals import DIGITS, of_unscaled, unscaled
from headwater.schemas.unsure import Unsure

_BOUND = 1 << 61  # sums stay below it, so that 64 bits hold them
_EXACT = Context(prec=100)


def addable(type_: FieldType) -> bool:
    """Whether decimals of a type lie in columns that are read as such."""
    return type_.kind == "decimal" and type_.precision <= DIGITS


class DecimalSums:
    """The total or the average of a field of decimals."""

    starting = (Decimal(0), 0)
    packs = False

    def __init__(self, function: str, field: str, type_: FieldType) -> None:
        made = measure_type(function, type_)
        assert made is not None
        self._field, self._mean = field, function == "average"
        self._scale = type_.scale
        self._type, self._shown = (pa.decimal128(one.precision, one.scale) for one in (type_, made))

    def amounts(self, touched: Touched, held: Held) -> Amounts:
        """What it amounts to; raises `Unsure` where 64 bits might not hold it."""
        rows, groups = touched.rows, touched.groups
        column = rows.columns[self._field]
        if rows.weights is not None or column.type != self._type:
            raise Unsure
        values, there = unscaled(column), column.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
        base = self._whole(held[0])
        if np.abs(base.astype(np.float64)).max() + np.abs(values.astype(np.float64)).sum() >= _BOUND:
            raise Unsure
        sums, counts = (np.add.reduceat(one[groups.order], groups.begins) for one in (values, there))
        sum_after, count_after = groups.running(sums, base), groups.running(counts, integers(held[1]))
        sum_before, count_before = sum_after - sums, count_after - counts
        before, after = self._amount(sum_before, count_before), self._amount(sum_after, count_after)
        # What no row has added to stands as it was: zero as a cell begins with it has no places.
        added = groups.running(counts, np.zeros(len(base), np.int64)) > 0
        of_group = groups.of_cell

        def slots(some: Any) -> Sequence[Any]:
            made = np.empty(len(some), object)
            made[:] = [
                Decimal(number).scaleb(-self._scale, context=_EXACT) if new else held[0][cell]
                for number, new, cell in zip(
                    sum_after[some].tolist(), added[some].tolist(), of_group[some].tolist(), strict=True
                )
            ]
            return [made, count_after[some]]

        return Amounts(
            before != after,
            counts > 0,
            lambda some, came: of_unscaled(np.where(came, after[some], before[some]), self._shown),
            slots,
        ).where(count_before > 0, count_after > 0)

    def _whole(self, values: Sequence[Decimal]) -> Any:
        return integers([int(value.scaleb(self._scale, context=_EXACT)) for value in values])

    def _amount(self, sums: Any, counts: Any) -> Any:
        if not self._mean:
            return sums
        counts = np.maximum(counts, 1)
        whole, rest = np.divmod(sums, counts)  # below what is meant, and by how much
        odd = whole & 1
        return whole + ((2 * rest > counts) | ((2 * rest == counts) & (odd == 1)))
