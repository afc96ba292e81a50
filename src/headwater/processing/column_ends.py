"""What becomes of the rows that an operator gives as columns: its row steps, then the product or a rekey topic.

New rows go as columns, what changes beside them by rows. Nothing here raises `Unsure`, since the operator has kept its
state by then: new rows that columns cannot hold go on as changes. Whoever gives new rows promises that nothing was
ever said of their identities, or else says that nobody promises it. `chain` and `publish` are the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from headwater.processing.blocks import OutputBlock
from headwater.processing.column_changes import NO_ROWS, NewRows
from headwater.processing.column_intake import Ended
from headwater.processing.column_order import by_place, merged, said_by_rows
from headwater.processing.column_state import joined_keys, rest_columns, sized_keys
from headwater.processing.column_steps import column_steps
from headwater.processing.field_types import FieldType
from headwater.processing.graph import Filter, Map
from headwater.processing.operators.core import Change, Row, RowStep, rest_function, stepped
from headwater.processing.operators.publish import Publish, PublishSpec, two_values
from headwater.processing.packing import sized
from headwater.processing.work import OutputRecord
from headwater.schemas.unsure import Unsure

_IDENTITY = frozenset({"event_id", "valid_from", "valid_to"})


class Delta(NamedTuple):
    """What some ticks say: rows that are new, oldest tick first, and the changes of each tick beside them.

    Whoever only weighs rows is given `gone` too: rows that go, and among the new ones what comes in their place.
    """

    new: NewRows
    changes: Mapping[int, Sequence[Change]]
    gone: NewRows = NO_ROWS

    @property
    def nothing(self) -> bool:
        """Whether nothing comes, goes or changes."""
        return not (len(self.new) or len(self.gone) or self.changes)

    def by_rows(self, names: Sequence[str]) -> Delta:
        """The same as changes alone, of rows of these columns: of each tick the new ones first."""
        new, changes, gone = self
        assert not len(gone), "whoever asks for rows does not weigh"
        found: dict[int, list[Change]] = {tick: [] for tick in sorted({*new.ticks.tolist(), *changes})}
        values = zip(*(new.columns[name].to_pylist() for name in names), strict=True) if len(new) else ()
        for tick, key, row in zip(new.ticks.tolist(), new.keys.to_pylist(), values, strict=True):
            found[tick].append((key, None, row))
        return Delta(NO_ROWS, {tick: [*some, *changes.get(tick, ())] for tick, some in found.items()})


class Brought(NamedTuple):
    """What some ticks bring of the inputs that wait as columns: what they say, and the account of it.

    `records` went as columns, `counts` are of the others. `taken` keeps what is to be kept of it and lets nothing of it
    wait any longer; whoever is not sure does not call it, and nothing is changed.
    """

    delta: Delta
    records: int
    counts: Mapping[str, int]
    taken: Callable[[], None]


Kernel = Callable[[Delta], Ended]
"""What an operator that keeps something makes of some ticks, to its end; raises `Unsure`, with nothing changed."""


class KeepsRows(Protocol):
    """An operator that keeps the rows that it is given."""

    def remember(self, new: NewRows, changes: Mapping[int, Sequence[Change]]) -> None:
        """Keep what it would of these, and nothing else; raises `Unsure`, with nothing kept."""


class Stepping(Protocol):
    """Row steps behind what all rows go through: an `Operation`, or a `BranchSpec`."""

    @property
    def step(self) -> RowStep | None:
        """All of them as one function; None where there is nothing to do."""

    @property
    def picks(self) -> bool:
        """Whether all that is done is to pick columns."""

    @property
    def rows(self) -> tuple[Map | Filter, ...]:
        """What `step` was compiled from."""

    @property
    def given(self) -> Mapping[str, FieldType]:
        """The columns that they are given."""

    @property
    def wanted(self) -> Mapping[str, FieldType]:
        """The columns of what they give."""


def steppable(operation: Stepping) -> bool:
    """Whether row steps can be made over columns, and leave rows their identity."""
    if any(not _IDENTITY.isdisjoint(dict(step.fields)) for step in operation.rows if isinstance(step, Map)):
        return False
    return operation.picks or column_steps(operation.rows, operation.given, operation.wanted) is not None


class RowSteps:
    """Row steps over what some ticks say."""

    def __init__(self, operation: Stepping) -> None:
        self._step = operation.step
        self._given, self._wanted = list(operation.given), list(operation.wanted)
        self._steps = None if operation.picks else column_steps(operation.rows, operation.given, operation.wanted)

    def __call__(self, delta: Delta) -> Delta:
        """Rows of the columns wanted; raises `Unsure` where some go that columns cannot hold."""
        try:
            return Delta(self._made(delta.new), self._changed(delta.changes), self._made(delta.gone))
        except (Unsure, OverflowError, pa.ArrowInvalid):
            if len(delta.gone):
                raise Unsure from None  # who weighs rows has kept nothing yet
            return Delta(NO_ROWS, self._changed(delta.by_rows(self._given).changes))

    def _made(self, new: NewRows) -> NewRows:
        if not new.columns:
            return new
        if self._steps is None:
            return NewRows(new.ticks, new.keys, {name: new.columns[name] for name in self._wanted})
        arrays = [new.columns[name] for name in self._given]
        made, kept = self._steps(pa.RecordBatch.from_arrays(arrays, names=self._given))
        columns = {name: made.column(name) for name in self._wanted}
        return NewRows(new.ticks[kept], new.keys.take(pa.array(kept)), columns)

    def _changed(self, changes: Mapping[int, Sequence[Change]]) -> Mapping[int, Sequence[Change]]:
        if self._step is None:
            return changes
        return {tick: made for tick, some in changes.items() if (made := stepped(some, self._step))}


class ColumnPublish:
    """Rows to the records of a product; where nobody has `promised` that new ones are new, that is looked for."""

    def __init__(self, spec: PublishSpec, publish: Publish, tick: int, *, promised: bool = True) -> None:
        self._spec, self._publish = spec, publish
        self._tick = tick
        self._promised = promised
        self._event = spec.shape == "event"
        self._rest = rest_function(spec.shape, {name: place for place, name in enumerate(spec.columns)})

    def __call__(self, delta: Delta) -> Ended:
        """The records of some ticks, in the order of `publish`."""
        if not self._promised and len(delta.new):
            delta = self._apart(delta)
        said = self._said(delta.changes)
        new = delta.new
        if not len(new):
            return Ended(None, said)
        if said and self._promised:
            self._require_apart(new, said)
        try:
            return Ended(self._block(new, said))
        except (OverflowError, pa.ArrowInvalid, pa.ArrowTypeError):
            again = self._said(Delta(new, {}).by_rows(self._spec.columns).changes)
            return Ended(None, by_place([*again, *said], moving=self._spec.moving, event=self._event))

    def _said(self, changes: Mapping[int, Sequence[Change]]) -> list[OutputRecord]:
        return said_by_rows(changes, self._publish, self._tick)

    def _block(self, new: NewRows, said: Sequence[OutputRecord]) -> OutputBlock:
        recorded = (new.ticks + 1) * self._tick - 1
        columns = {name: new.columns[name] for name in self._spec.columns}
        columns["recorded_at"] = pa.array(recorded, pa.int64())
        columns["kind"] = pa.repeat("assert", len(recorded))
        columns["revision"] = pa.repeat(1, len(recorded))
        if said and any(pa.types.is_nested(column.type) for column in columns.values()):
            raise pa.ArrowTypeError("members that a record alone has would be lost")
        return merged(new.keys, recorded, columns, said, moving=self._spec.moving, event=self._event)

    def _rest_of(self, one: OutputRecord) -> bytes:
        return self._rest(tuple(one.record[name] for name in self._spec.columns))

    def _apart(self, delta: Delta) -> Delta:
        """As new the rows of identities that come once, and of which nothing else is said or was; the others as
        changes.
        """
        new, changes = delta.new, delta.changes
        try:
            identities = self._identities(new)
        except Unsure:
            return delta.by_rows(self._spec.columns)
        codes = pa.array(identities, pa.binary()).dictionary_encode().indices.to_numpy()
        alone = (np.bincount(codes)[codes] == 1) & ~np.array(self._publish.revisions.has_many(identities))
        if changes:
            told = {self._identity(*change) for some in changes.values() for change in some}
            alone &= np.fromiter((identity not in told for identity in identities), bool, len(identities))
        if alone.all():
            return delta
        return Delta(new.filter(alone), Delta(new.filter(~alone), changes).by_rows(self._spec.columns).changes)

    def _identity(self, key: bytes, before: Row | None, after: Row | None) -> bytes:
        row = before if after is None else after
        assert row is not None
        return sized(key) + self._rest(row)

    def _require_apart(self, new: NewRows, said: Sequence[OutputRecord]) -> None:
        """As `publish` has it: a row that is said again and one that is new are not of one identity."""
        identities = set(self._identities(new))
        if any(sized(one.key) + self._rest_of(one) in identities for one in said):
            raise two_values()

    def _identities(self, new: NewRows) -> list[bytes]:
        return joined_keys([sized_keys(new.keys), *rest_columns(self._spec.shape, new.columns)])
