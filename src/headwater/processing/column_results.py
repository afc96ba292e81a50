"""What the cells of a fold give, over columns, and its two ends: the product, or changes handed over to another key.

`aggregate`, `publish` and `rekey` are the rule. Neither end raises `Unsure` once it has changed anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from headwater.processing.blocks import OutputBlock
from headwater.processing.cells import FoldSpec
from headwater.processing.column_amounts import Amounts
from headwater.processing.column_changed import ChangedRows, ChangedSteps, Changes
from headwater.processing.column_ends import steppable
from headwater.processing.column_intake import Ended
from headwater.processing.column_order import in_order, kinds_of, said_by_rows
from headwater.processing.column_rekey import movable
from headwater.processing.column_steps import column_steps
from headwater.processing.column_windows import Cells
from headwater.processing.compiler import Operation
from headwater.processing.operators.aggregate import Fold
from headwater.processing.operators.latest import Latest
from headwater.processing.operators.publish import Publish, PublishSpec
from headwater.processing.operators.rekey import RekeySpec
from headwater.processing.operators.sessions import Sessions
from headwater.schemas.unsure import Unsure


def sayable(operation: Operation, fold: FoldSpec, publish: PublishSpec) -> bool:
    """Whether what a fold gives is published as it is, or columns can make the row steps before that, which leave facts
    their identity.
    """
    if publish.conversions or publish.shape != "fact":
        return False
    if operation.picks:
        return set(publish.columns) <= set(fold.gives)
    return steppable(operation) and set(publish.columns) == set(operation.wanted)


def hands_on(operation: Operation, rekey: RekeySpec) -> bool:
    """Whether what an operation gives can be handed over as columns, through the row steps behind it."""
    if rekey.columns != tuple(operation.wanted) or not movable(rekey.types):
        return False
    return operation.picks or column_steps(operation.rows, operation.given, operation.wanted) is not None


class Results(NamedTuple):
    """The groups that make a cell say something else, oldest tick first: of each its cell and tick, whether there was
    something before and is now.

    `amounts` are those of measures, `by` what each cell is grouped by. `number` gives the revisions of those that are
    said, where cells count them; `keep`, once that is done, writes the cells.
    """

    cells: Cells
    groups: Any
    of_cell: Any
    ticks: Any
    was: Any
    comes: Any
    amounts: Mapping[str, Amounts]
    by: Mapping[str, Any]
    number: Callable[[Any], Any]
    keep: Callable[[], None]

    def columns(self, names: Sequence[str], which: Any, came: Any) -> dict[str, Any]:
        """These columns of some of them: what they say now, or, where nothing came, what they said before."""
        groups, of_cell, cells = self.groups[which], self.of_cell[which], self.cells
        place, found = pa.array(of_cell), dict[str, Any]()
        for name in names:
            if name == "valid_from":
                found[name] = pa.array(cells.starts[of_cell])
            elif name == "valid_to":
                ends = cells.ends
                found[name] = pa.nulls(len(place), pa.int64()) if ends is None else pa.array(ends[of_cell])
            elif name in self.by:
                found[name] = self.by[name].take(place)
            else:
                found[name] = self.amounts[name].shown(groups, came)
        return found

    def changed(self, names: Sequence[str]) -> ChangedRows:
        """Of each the row before, where there was one, and the row now."""
        sizes = self.was.astype(np.int64) + self.comes
        which = np.repeat(np.arange(len(sizes)), sizes)
        goes = np.ones(len(which), bool)
        goes[(np.cumsum(sizes) - 1)[self.comes]] = False
        columns = self.columns(names, which, ~goes)
        keys = pa.array(self.cells.keys, pa.binary()).take(pa.array(self.of_cell[which]))
        return ChangedRows(self.ticks[which], which, keys, [columns[name] for name in names], goes)


class Given(Protocol):
    """What some ticks make of what an operator keeps."""

    def changed(self, names: Sequence[str]) -> ChangedRows:
        """The changes that it gives, of these columns; may raise `Unsure`."""

    @property
    def keep(self) -> Callable[[], None]:
        """What writes it."""


ChangedEnd = Callable[[ChangedRows | None, Changes], Ended]
"""What becomes of changes: as columns, some of them or none, and beside them others."""


class FoldEnd(Protocol):
    """What becomes of what a fold gives; `names` are the columns of it that are read."""

    names: tuple[str, ...]
    numbered: bool

    def __call__(self, given: Results | None, by_rows: Changes) -> Ended:
        """Of results, which are kept then, and of what each tick says of cells that go by rows."""


class Published:
    """Results to the records of a product, through the row steps behind the fold."""

    numbered = True

    def __init__(self, operation: Operation, fold: Fold, publish: Publish, tick: int) -> None:
        self._wanted = tuple(operation.wanted)
        self._steps = None if operation.picks else ChangedSteps(operation)
        self.names = self._wanted if self._steps is None else self._steps.takes
        self._step = operation.step
        self._fold, self._publish = fold, publish
        self._tick = tick

    def __call__(self, given: Results | None, by_rows: Changes) -> Ended:
        """In the order of `publish`."""
        block = None
        if given is not None:
            block = self._block(given)
            given.keep()
        if not by_rows:
            return Ended(block)
        said = said_by_rows(by_rows, self._publish, self._tick, self._fold, self._step)
        return Ended(None, said) if block is None else in_order(block, said)

    def _block(self, results: Results) -> OutputBlock:
        """Raises `Unsure`, with nothing changed."""
        which, was, comes, columns = self._said(results)
        recorded = (results.ticks[which] + 1) * self._tick - 1
        columns["recorded_at"] = pa.array(recorded)
        columns["kind"] = kinds_of(~was, comes)
        columns["revision"] = pa.array(results.number(which))
        keys = results.cells.keys
        return OutputBlock([keys[cell] for cell in results.of_cell[which].tolist()], recorded, columns)

    def _said(self, results: Results) -> tuple[Any, Any, Any, dict[str, Any]]:
        """Which results are said, whether something was before and is now, and the columns published."""
        was, comes = results.was, results.comes
        if self._steps is None:  # a retract carries what it takes back
            return slice(None), was, comes, results.columns(self.names, slice(None), comes)
        try:
            rows = self._steps.made(results.changed(self.names))
        except (OverflowError, pa.ArrowInvalid):
            raise Unsure from None
        firsts = np.flatnonzero(~rows.follows())
        lasts = np.append(firsts[1:], len(rows))[: len(firsts)] - 1
        told = rows.take(lasts)
        return told.numbers, rows.goes[firsts], ~told.goes, dict(zip(self._wanted, told.columns, strict=True))


class Changed:
    """What an operator gives to changes, through the row steps behind it, and to what takes those."""

    numbered = False

    def __init__(self, operation: Operation, operator: Fold | Latest | Sessions, end: ChangedEnd) -> None:
        self._steps = ChangedSteps(operation)
        self.names = self._steps.takes
        self._operator, self._end = operator, end

    def __call__(self, given: Given | None, by_rows: Changes) -> Ended:
        """In the order of their ticks."""
        rows = None
        if given is not None:
            rows = given.changed(self.names)
            given.keep()
        return self._end(*self._steps(rows, {tick: self._operator.tick(some) for tick, some in by_rows.items()}))
