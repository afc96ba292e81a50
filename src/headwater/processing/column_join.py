"""`join_as_of` over columns: rows that are new are joined many at once; what facts of a tick change goes by rows.

`join_as_of` is the rule, and both keep the same state: a batch may go either way. By rows go, beside what is new, what
is corrected or taken back on the left, what may have been said before, and what columns cannot hold. Nothing raises
`Unsure` but `remember`, so that a join may stand behind another. `tests/simulation/test_column_join.py` holds both
together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.column_changes import NO_ROWS, NewRows
from headwater.processing.column_ends import Delta
from headwater.processing.column_keys import key_column
from headwater.processing.column_state import (
    arrow_type,
    joined_keys,
    ordered_integers,
    packable,
    packed_rows,
    require_types,
    rest_columns,
    sized_keys,
)
from headwater.processing.column_timelines import held_at
from headwater.processing.compiler import Operation
from headwater.processing.operators.core import Change
from headwater.processing.operators.join_as_of import FactVersion, Join, JoinSpec
from headwater.processing.work import add_counts
from headwater.schemas.unsure import Unsure


def joinable(operation: Operation, columns: Sequence[str]) -> bool:
    """Whether an operation is a join that can be made over columns, of rows of these columns."""
    spec = operation.spec
    if type(spec) is not JoinSpec or spec.columns != tuple(columns):
        return False
    types = dict(zip(spec.columns, spec.types, strict=True))
    identity = ("event_id",) if spec.shape == "event" else ("valid_from",)
    if any(types[name].nullable for name in (spec.instant, *identity)):
        return False
    return packable(spec.types) and packable(spec.right.types)


class _Rows(NamedTuple):
    """New rows in the order in which they came: each has the code of its key, and its place in the state."""

    ticks: Any
    keys: Any
    codes: Any
    columns: Mapping[str, Any]
    places: list[bytes]


class ColumnJoin:
    """A join of a stage, over the state that the row road's keeps.

    `promised` is false where what comes as new may have been said before.
    """

    def __init__(self, spec: JoinSpec, join: Join, *, promised: bool) -> None:
        self._spec, self._join = spec, join
        self._promised = promised

    def __call__(self, delta: Delta, facts: Mapping[int, Sequence[FactVersion]]) -> tuple[Delta, dict[str, int]]:
        """What the join gives, and what became of the facts: where there are some, all is of one tick."""
        rows, changes = self._apart(delta)
        again: dict[int, list[Change]] = {}
        counts: dict[str, int] = {}
        for tick in sorted({*changes, *facts}):
            made, became = self._join.tick(changes.get(tick, ()), facts.get(tick, ()))
            if made:
                again[tick] = made
            add_counts(counts, became)
        if rows is None:
            return Delta(NO_ROWS, again), counts
        keys = rows.keys.take(rows.codes)
        try:
            given = self._given(rows, self._taken(rows))
        except (OverflowError, pa.ArrowInvalid):  # what was computed of facts is beyond 64 bits
            new = NewRows(rows.ticks, keys, rows.columns)
            for tick, some in Delta(new, {}).by_rows(self._spec.columns).changes.items():
                again[tick] = [*self._join.tick(some, ())[0], *again.get(tick, ())]
            return Delta(NO_ROWS, dict(sorted(again.items()))), counts
        self._put(rows)
        return Delta(NewRows(rows.ticks, keys, given), again), counts

    def remember(self, delta: Delta) -> None:
        """Keep rows, joined to nothing; raises `Unsure`, with nothing kept, where columns cannot hold them."""
        rows = self._placed(delta.new)
        for changes in delta.changes.values():
            self._join.remember(changes, ())
        self._put(rows)

    def _apart(self, delta: Delta) -> tuple[_Rows | None, Mapping[int, Sequence[Change]]]:
        """The rows that are new for sure, if any, and all else as changes."""
        new, changes = delta.new, delta.changes
        if not len(new):
            return None, changes
        try:
            rows = self._placed(new)
            sure = self._surely_new(rows, changes)
        except Unsure:
            return None, delta.by_rows(self._spec.columns).changes
        if sure.all():
            return rows, changes
        changes = Delta(new.filter(~sure), changes).by_rows(self._spec.columns).changes
        return self._placed(new.filter(sure)) if sure.any() else None, changes

    def _surely_new(self, rows: _Rows, changes: Mapping[int, Sequence[Change]]) -> Any:
        """Of each row, whether nothing else lies in its place, neither before nor by these ticks."""
        if self._promised:
            return np.ones(len(rows.places), bool)
        coded = pa.array(rows.places, pa.binary()).dictionary_encode()
        codes = coded.indices.to_numpy()
        known = np.array(self._join.rows.has_many(rows.places)) | (np.bincount(codes)[codes] > 1)
        touched = {
            self._join.place(key, row)
            for some in changes.values()
            for key, before, after in some
            for row in (before, after)
            if row is not None
        }
        if touched:
            found = pc.is_in(coded.dictionary, pa.array(list(touched), pa.binary()))
            known |= found.to_numpy(zero_copy_only=False)[codes]
        return ~known

    def _placed(self, new: NewRows) -> _Rows:
        """Rows with their places; raises `Unsure` where columns cannot hold them."""
        spec, columns = self._spec, new.columns
        require_types(columns, spec.columns, spec.types)
        coded = new.keys.dictionary_encode()
        own = sized_keys(key_column([columns[name] for name in spec.key]))
        instants = ordered_integers(columns[spec.instant].to_numpy())
        places = joined_keys([sized_keys(new.keys), instants, own, *rest_columns(spec.shape, columns)])
        return _Rows(new.ticks, coded.dictionary, coded.indices, columns, places)

    def _put(self, rows: _Rows) -> None:
        """Keep new rows."""
        if rows.places:
            bodies = packed_rows([rows.columns[name] for name in self._spec.columns])
            self._join.rows.put_packed(rows.places, bodies)

    def _taken(self, rows: _Rows) -> list[Any]:
        """The columns that the right gives to each row; none of them where nothing holds."""
        instants = rows.columns[self._spec.instant].to_numpy()
        held, which = held_at(self._join.facts, rows.keys.to_pylist(), rows.codes.to_numpy(), instants)
        nothing = which < 0
        for name in self._spec.on:
            if rows.columns[name].null_count:
                nothing |= pc.is_null(rows.columns[name]).to_numpy(zero_copy_only=False)
        chosen = pa.array(which, mask=nothing)
        return [
            pa.array([row and row[place] for row in held], arrow_type(type_)).take(chosen)
            for place, type_ in enumerate(self._spec.right.types)
        ]

    def _given(self, rows: _Rows, taken: Sequence[Any]) -> dict[str, Any]:
        """The columns that the join gives."""
        both = [*(rows.columns[name] for name in self._spec.columns), *taken]
        return {name: both[place] for name, place in zip(self._spec.names, self._spec.gives, strict=True)}
