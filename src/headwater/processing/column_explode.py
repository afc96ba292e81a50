"""`explode` over columns: the elements of many arrays become rows at once. `explode` is the rule.

It keeps nothing, so it may stand before whatever a stage ends with. What changes beside new rows goes through the
operator itself; for whoever only weighs rows, elements that go are made as those that come, and those that stay the
same go and come again. `tests/simulation/test_column_explode.py` holds both together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.column_changes import NO_ROWS, NewRows
from headwater.processing.column_ends import Delta, Kernel, RowSteps, steppable
from headwater.processing.column_intake import Ended
from headwater.processing.column_state import list_sizes
from headwater.processing.compiler import Operation
from headwater.processing.operators.explode import Explode, ExplodeSpec
from headwater.processing.steps import Stage
from headwater.schemas.unsure import Unsure


def explodes(stage: Stage) -> tuple[Operation, ...]:
    """The operations that a stage begins with which are explodes that columns can make; most have none."""
    return tuple(takewhile(lambda one: type(one.spec) is ExplodeSpec and steppable(one), stage.logic.operations))


class ColumnExplode:
    """Rows to those of their elements, through the row steps behind."""

    def __init__(self, operation: Operation, explode: Explode) -> None:
        self._spec: ExplodeSpec = operation.spec
        self._names = list(operation.given)
        self._explode = explode
        self._steps = RowSteps(operation)

    def __call__(self, delta: Delta) -> Delta:
        """Raises `Unsure` where an array does not lie as its type says, or rows that go cannot be had as columns."""
        changes = {tick: made for tick, some in delta.changes.items() if (made := self._explode.tick(some))}
        try:
            new, gone = self._rows(delta.new), self._rows(delta.gone)
        except pa.ArrowException:
            raise Unsure from None
        return self._steps(Delta(new, changes, gone))

    def _rows(self, new: NewRows) -> NewRows:
        """The elements, in the order of their parents and positions."""
        if not new.columns:
            return NO_ROWS
        spec, given = self._spec, new.columns
        array = given[spec.columns[spec.array]]
        sizes = list_sizes(array)
        parents = np.repeat(np.arange(len(new)), sizes)
        positions = np.arange(len(parents)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        of_row, places = pa.array(parents), pa.array(positions)
        width = len(spec.columns)
        columns = {}
        for name, place in zip(self._names, spec.gives, strict=True):
            if place < width:
                columns[name] = given[spec.columns[place]].take(of_row)
            elif place == width:
                assert spec.event_id is not None, "an id that is wanted is made of the parent's"
                columns[name] = _ids(given[spec.columns[spec.event_id]].take(of_row), places)
            elif place == width + 1:
                columns[name] = places
            else:
                columns[name] = self._taken(array.flatten(), place - width - 2)
        return NewRows(new.ticks[parents], new.keys.take(of_row), columns)

    def _taken(self, elements: Any, place: int) -> Any:
        members = self._spec.members
        return elements if members is None else pc.struct_field(elements, members[place])


def exploding(made: Sequence[ColumnExplode], kernel: Kernel, *, of_changes: bool) -> Kernel:
    """A kernel over what these give; `of_changes` says that it also takes changes without columns of new rows."""
    if not made:
        return kernel

    def through(delta: Delta) -> Ended:
        for explode in made:
            delta = explode(delta)
            if delta.nothing:
                return Ended()
            if not (delta.new.columns or of_changes):
                raise Unsure
        return kernel(delta)

    return through


def _ids(parents: Any, places: Any) -> Any:
    """What `element_id` makes of each."""
    if parents.null_count:
        raise Unsure
    return pc.binary_join_element_wise(parents, places.cast(pa.string()), ":")
