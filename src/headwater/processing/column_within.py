"""`join_within` over columns: new events of both sides paired at once, with each other and with those kept.

`join_interval` is the rule, over the same tables. What a tick changes of one side alters pairs of the other: a new row
that is near such a row goes by rows, through the operator itself, which then knows neither of the new rows that go as
columns nor of their pairs. So each pair is made once: by rows where both of its rows go so or are kept, else as
columns. `tests/simulation/test_column_within.py` holds both together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.column_changes import NO_ROWS, NewRows
from headwater.processing.column_ends import Delta
from headwater.processing.column_intake import takes_events
from headwater.processing.column_near import beside, near, require_countable, spans_around
from headwater.processing.column_side import Changes, ColumnSide, SideRows, coded
from headwater.processing.column_state import packable
from headwater.processing.compiler import Operation
from headwater.processing.field_types import FieldType
from headwater.processing.operators.core import Change
from headwater.processing.operators.join_interval import IntervalJoin, IntervalSpec
from headwater.schemas.unsure import Unsure


def pairable(operation: Operation, columns: Sequence[str]) -> bool:
    """Whether an operation pairs events, of rows of these columns, and columns can make that."""
    spec = operation.spec
    if type(spec) is not IntervalSpec or spec.columns != tuple(columns) or not takes_events(spec.right.changes):
        return False
    return _holds(spec.columns, spec.types) and _holds(spec.right.columns, spec.right.types)


def _holds(columns: Sequence[str], types: Sequence[FieldType]) -> bool:
    given = dict(zip(columns, types, strict=True))
    return packable(types) and not any(given[name].nullable for name in ("event_id", "occurred_at"))


class ColumnWithin:
    """New rows and changes of both sides to those of pairs.

    `promised` says that new rows are told apart by their identities before they come here; else it is looked whether
    their places are free.
    """

    def __init__(self, operation: Operation, join: IntervalJoin, *, promised: bool) -> None:
        spec: IntervalSpec = operation.spec
        self._join, self._distance, self._gives = join, spec.distance, spec.gives
        self._names = list(operation.given)
        self.left = ColumnSide(join.lefts, spec.columns, spec.types, spec.key, spec.on)
        self.right = ColumnSide(join.rights, spec.right.columns, spec.right.types, (), ())
        self._ids = spec.columns.index("event_id"), spec.right.columns.index("event_id")
        self._promised = promised

    def __call__(self, left: Delta, right: Delta) -> Delta:
        """The pairs that some ticks make, alter or take back; raises `Unsure`, with nothing changed."""
        try:
            return self._paired(left, right)
        except (OverflowError, pa.ArrowInvalid):
            raise Unsure from None

    def surely(self, left: Delta, right: Delta) -> Delta:
        """The same; all by rows where columns are not sure, for whoever cannot go back."""
        try:
            return self(left, right)
        except Unsure:
            sides = zip((self.left, self.right), (left, right), strict=True)
            return Delta(NO_ROWS, self._by_rows(*(delta.by_rows(side.columns).changes for side, delta in sides)))

    def remember(self, left: Delta, right: Delta) -> None:
        """Keep the rows of both sides, paired with nothing; raises `Unsure`, with nothing kept."""
        sides = [(self.left, left), (self.right, right)]
        packed = [side.packed(side.meeting(delta.new)) for side, delta in sides]
        for tick in sorted({*left.changes, *right.changes}):
            self._join.keep(left.changes.get(tick, ()), right.changes.get(tick, ()))
        for (side, _), rows in zip(sides, packed, strict=True):
            side.put(rows)

    def _paired(self, left: Delta, right: Delta) -> Delta:
        news = self.left.meeting(left.new), self.right.meeting(right.new)
        keys, prefixes, codes = coded(news)
        lefts, rights = (side.rows(*one) for side, *one in zip((self.left, self.right), news, codes, strict=True))
        plain = self._plain(lefts, rights, keys, left.changes, right.changes)
        all_ = self._with_kept(lefts, rights, plain, prefixes)
        made = self._made(*all_, plain, keys)
        packed = [
            side.packed(new.filter(which))
            for side, new, which in zip((self.left, self.right), news, plain, strict=True)
        ]
        if not self._promised:
            self.left.require_new(packed[0][0])
            self.right.require_new(packed[1][0])
        # Nothing is unsure from here on.
        by_rows = [
            Delta(new.filter(~which), delta.changes).by_rows(side.columns).changes
            for side, new, which, delta in zip((self.left, self.right), news, plain, (left, right), strict=True)
        ]
        changes = self._by_rows(*by_rows)
        self.left.put(packed[0])
        self.right.put(packed[1])
        return Delta(made, changes)

    def _plain(
        self, lefts: SideRows, rights: SideRows, keys: Any, left_changes: Changes, right_changes: Changes
    ) -> tuple[Any, Any]:
        """Of each new row of both sides whether it is near nothing that changes, and does not change itself."""
        distance = self._distance
        codes = {key: code for code, key in enumerate(keys.to_pylist())}
        left, right = self.left.touched(left_changes, codes), self.right.touched(right_changes, codes)
        for places in (lefts.places, rights.places, left, right):
            require_countable(places, distance)
        # What was handed over as new may have changed since, in the same ticks; of records only what comes once is new.
        changed = beside(lefts.places, left, 0)
        return ~(beside(lefts.places, right, distance) | changed), ~beside(rights.places, left, distance)

    def _with_kept(
        self, lefts: SideRows, rights: SideRows, plain: tuple[Any, Any], prefixes: Any
    ) -> tuple[SideRows, SideRows]:
        """The rows of both sides, and behind them those that are kept near the plain ones of the other."""
        around_left = spans_around(lefts.places.some(plain[0]), prefixes, self._distance)
        around_right = spans_around(rights.places.some(plain[1]), prefixes, self._distance)
        return lefts.and_also(self.left.kept(*around_right)), rights.and_also(self.right.kept(*around_left))

    def _made(self, lefts: SideRows, rights: SideRows, plain: tuple[Any, Any], keys: Any) -> NewRows:
        """The pairs of plain rows, oldest tick first: with all of the other side, and the rest of theirs with those."""
        left_plain, right_plain = np.flatnonzero(plain[0]), np.flatnonzero(plain[1])
        others = np.ones(len(lefts.places), bool)
        others[left_plain] = False
        left_others = np.flatnonzero(others)
        first, second = near(lefts.places.some(left_plain), rights.places, self._distance)
        third, fourth = near(lefts.places.some(left_others), rights.places.some(right_plain), self._distance)
        of_left = np.concatenate([left_plain[first], left_others[third]])
        of_right = np.concatenate([second, right_plain[fourth]])
        ticks = np.maximum(lefts.ticks[of_left], rights.ticks[of_right])
        order = np.argsort(ticks, kind="stable")
        of_left, of_right = of_left[order], of_right[order]
        columns = self._columns(lefts, rights, pa.array(of_left), pa.array(of_right))
        return NewRows(ticks[order], keys.take(pa.array(lefts.places.codes[of_left])), columns)

    def _columns(self, lefts: SideRows, rights: SideRows, of_left: Any, of_right: Any) -> dict[str, Any]:
        width = len(lefts.columns)
        made = {}
        for name, place in zip(self._names, self._gives, strict=True):
            if place < width:
                made[name] = lefts.columns[place].take(of_left)
            elif place < width + len(rights.columns):
                made[name] = rights.columns[place - width].take(of_right)
            else:
                left, right = (_escaped(side.columns[at]) for side, at in zip((lefts, rights), self._ids, strict=True))
                made[name] = pc.binary_join_element_wise(left.take(of_left), right.take(of_right), "&")
        return made

    def _by_rows(self, lefts: Changes, rights: Changes) -> dict[int, list[Change]]:
        found = {}
        for tick in sorted({*lefts, *rights}):
            if made := self._join.pair(lefts.get(tick, ()), rights.get(tick, ())):
                found[tick] = made
        return found


def _escaped(ids: Any) -> Any:
    """As `pair_id` writes each of these beside another."""
    return pc.replace_substring(pc.replace_substring(ids, "~", "~0"), "&", "~1")
