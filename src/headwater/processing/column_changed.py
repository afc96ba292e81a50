"""Changes as columns: rows that go and rows that come, and the row steps over them. `operators/core` is the rule.

A change is one row or two, of one number: a row that comes in another's place follows it. What only weighs rows takes
those that go and those that come apart; whoever must know what comes in whose place finds it by the number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from headwater.processing.column_ends import Stepping
from headwater.processing.column_state import differ
from headwater.processing.column_steps import column_steps
from headwater.processing.operators.core import Change, stepped
from headwater.schemas.unsure import Unsure

Changes = Mapping[int, Sequence[Change]]


class ChangedPart(NamedTuple):
    """The rows of one tick, from row `start` to before row `end`."""

    rows: ChangedRows
    tick: int
    start: int
    end: int

    def own(self) -> ChangedRows:
        """These alone."""
        return self.rows.slice(self.start, self.end)

    def changes(self) -> list[Change]:
        """The same one by one."""
        return self.own().one_by_one()


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """Rows of changes, oldest tick first: the tick of each, the number of its change in the tick, its key, its values,
    and whether it goes (None: all come).
    """

    ticks: Any
    numbers: Any
    keys: Any
    columns: Sequence[Any]
    goes: Any = None

    def __len__(self) -> int:
        return len(self.ticks)

    @property
    def count(self) -> int:
        """How many changes they are."""
        return len(self) if self.goes is None else len(self) - int(np.count_nonzero(self.follows()))

    def slice(self, start: int, end: int) -> ChangedRows:
        """Those from row `start` to before row `end`."""
        size = end - start
        columns = [column.slice(start, size) for column in self.columns]
        goes = None if self.goes is None else self.goes[start:end]
        return ChangedRows(self.ticks[start:end], self.numbers[start:end], self.keys.slice(start, size), columns, goes)

    def take(self, places: Any) -> ChangedRows:
        """Those at these places."""
        which = pa.array(places)
        columns = [column.take(which) for column in self.columns]
        goes = None if self.goes is None else self.goes[places]
        return ChangedRows(self.ticks[places], self.numbers[places], self.keys.take(which), columns, goes)

    def follows(self) -> Any:
        """Whether each row comes in the place of the one before it."""
        found = np.zeros(len(self), bool)
        if self.goes is not None:
            found[1:] = (self.numbers[1:] == self.numbers[:-1]) & (self.ticks[1:] == self.ticks[:-1])
        return found

    def coming(self) -> ChangedRows:
        """The rows that come."""
        return self if self.goes is None else self.take(np.flatnonzero(~self.goes))

    def going(self) -> ChangedRows:
        """The rows that go."""
        return self.slice(0, 0) if self.goes is None else self.take(np.flatnonzero(self.goes))

    def apart(self) -> tuple[ChangedRows, ChangedRows]:
        """The rows that come in no other's place, and all others."""
        if self.goes is None:
            return self, self.slice(0, 0)
        alone = ~(self.goes | self.follows())
        return self.take(np.flatnonzero(alone)), self.take(np.flatnonzero(~alone))

    def parts(self) -> Iterator[ChangedPart]:
        """Cut where the tick changes."""
        cuts = [0, *(np.flatnonzero(np.diff(self.ticks)) + 1).tolist(), len(self)]
        for start, end in pairwise(cuts):
            if start < end:
                yield ChangedPart(self, int(self.ticks[start]), start, end)

    def one_by_one(self) -> list[Change]:
        """The same as changes."""
        keys, values = self.keys.to_pylist(), zip(*(column.to_pylist() for column in self.columns), strict=True)
        if self.goes is None:
            return [(key, None, row) for key, row in zip(keys, values, strict=True)]
        found: list[Change] = []
        for key, row, goes, follows in zip(keys, values, self.goes.tolist(), self.follows().tolist(), strict=True):
            if follows:
                found[-1] = (key, found[-1][1], row)
            else:
                found.append((key, row, None) if goes else (key, None, row))
        return found

    def by_tick(self) -> dict[int, list[Change]]:
        """The same as the changes of each tick."""
        return {part.tick: part.changes() for part in self.parts()}


class ChangedSteps:
    """Row steps over changes; `takes` are the columns that they are given, in their order."""

    def __init__(self, operation: Stepping) -> None:
        self.takes = tuple(operation.wanted if operation.picks else operation.given)
        self._wanted = tuple(operation.wanted)
        self._step = operation.step
        self._steps = None if operation.picks else column_steps(operation.rows, operation.given, operation.wanted)

    def __call__(self, rows: ChangedRows | None, changes: Changes) -> tuple[ChangedRows | None, Changes]:
        """Changes as columns and others beside them, of the columns wanted; by rows where columns cannot hold them."""
        if rows is not None and self._steps is not None:
            try:
                rows = self.made(rows)
            except (Unsure, OverflowError, pa.ArrowInvalid):
                changes = together(rows.by_tick(), changes)
                rows = None
        if self._step is not None:
            changes = {tick: stepped(some, self._step) for tick, some in changes.items()}
        return rows, changes

    def made(self, rows: ChangedRows) -> ChangedRows:
        """Changes as columns; raises `Unsure`, or errors of too large numbers, where columns cannot hold them."""
        if self._steps is None:
            return rows
        made, kept = self._steps(pa.RecordBatch.from_arrays(list(rows.columns), names=list(self.takes)))
        left = ChangedRows(
            rows.ticks[kept],
            rows.numbers[kept],
            rows.keys.take(pa.array(kept)),
            [made.column(name) for name in self._wanted],
            None if rows.goes is None else rows.goes[kept],
        )
        return _without_repeats(left)


def together(one: Changes, other: Changes) -> dict[int, list[Change]]:
    """Changes of each tick, oldest first: those of `one`, then those of `other`."""
    return {tick: [*one.get(tick, ()), *other.get(tick, ())] for tick in sorted({*one, *other})}


def _without_repeats(rows: ChangedRows) -> ChangedRows:
    """As `stepped` has it: a row in whose place the same comes says nothing."""
    after = np.flatnonzero(rows.follows())
    now, before = pa.array(after), pa.array(after - 1)
    differs = np.zeros(len(after), bool)
    for column in rows.columns:
        differs |= differ(column.take(now), column.take(before))
    stays = np.ones(len(rows), bool)
    stays[after] = stays[after - 1] = differs
    return rows if differs.all() else rows.take(np.flatnonzero(stays))
