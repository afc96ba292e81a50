"""Folds of the author's own beside columns: their functions take one row after another, and all else is columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from headwater.errors import CallerFault
from headwater.processing.column_amounts import Amounts, Held, Touched
from headwater.processing.graph import Measure
from headwater.processing.measures import custom_slot
from headwater.schemas.unsure import Unsure


class Own:
    """A fold of the author's own, published as a column of this type."""

    packs = False

    def __init__(self, measure: Measure, type_: Any) -> None:
        assert measure.custom is not None
        self._fields = measure.fields
        self._type = type_
        slot = custom_slot(measure.custom, range(len(measure.fields)), 0)
        assert slot.update is not None
        self._update, self._result = slot.update, slot.result
        self.starting = slot.starting

    def amounts(self, touched: Touched, held: Held) -> Amounts:
        """What it amounts to; raises `Unsure` where a function cannot go on: the row road says so."""
        if touched.rows.weights is not None:
            raise Unsure
        try:
            states, before, after = self._folded(touched, held)
            column = pa.array([*before, *after], self._type)
        except (CallerFault, OverflowError, pa.ArrowInvalid, pa.ArrowTypeError):
            raise Unsure from None
        size = len(after)
        # As rows are compared: what is the same object is equal, even if it is not a number.
        differs = np.array([(was,) != (now,) for was, now in zip(before, after, strict=True)], bool)
        return Amounts(
            differs,
            np.ones(size, bool),
            lambda some, came: column.take(pa.array(np.where(came, some + size, some))),
            lambda some: [slot[some] for slot in states],
        )

    def _folded(self, touched: Touched, held: Held) -> tuple[list[Any], list[Any], list[Any]]:
        """The state after each group, slot by slot, and the results before and after it."""
        groups = touched.groups
        given = list(zip(*(touched.rows.columns[name].to_pylist() for name in self._fields), strict=True))
        order, filled = groups.order.tolist(), touched.filled.tolist()
        states = [np.empty(len(filled), object) for _ in held]
        before, after = list[Any](), list[Any]()
        begun = list(zip(*held, strict=True))
        cell, values = -1, list[Any]()
        for group, (of, begin, size) in enumerate(
            zip(groups.of_cell.tolist(), groups.begins.tolist(), groups.sizes.tolist(), strict=True)
        ):
            if of != cell:
                cell, values = of, list(begun[of])
                before.append(self._result(values) if filled[group] else None)
            else:
                before.append(after[-1])
            for row in order[begin : begin + size]:
                self._update(values, given[row], 1)
            after.append(self._result(values))
            for slot, value in zip(states, values, strict=True):
                slot[group] = value
        return states, before, after
