"""`join_as_of` over columns: rows that are new are joined many at once; what facts of a tick change goes by rows.

`join_as_of` is the rule, and both keep the same state: a batch may go either way. What is corrected or taken back on
the left goes by rows beside what is new. `tests/simulation/test_column_join.py` holds both together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import pyarrow as pa

from headwater.processing.blocks import Block, Part
from headwater.processing.chain import Chain
from headwater.processing.column_changes import ColumnChanges, NewRows
from headwater.processing.column_ends import ColumnPublish, Delta, Ended, RowSteps, publishable, steppable
from headwater.processing.column_intake import EventsIntake, FactsBlocks, Folded, enough, fields_of, takes_events
from headwater.processing.column_state import (
    arrow_type,
    joined_keys,
    ordered_integers,
    packable,
    packed_rows,
    sized_keys,
)
from headwater.processing.column_timelines import held_at
from headwater.processing.compiler import Operation
from headwater.processing.expressions import Column
from headwater.processing.graph import Map
from headwater.processing.lanes import Lane
from headwater.processing.operators.changes import ChangesSpec
from headwater.processing.operators.core import Change, key_function
from headwater.processing.operators.join_as_of import FactsSpec, FactVersion, JoinSpec
from headwater.processing.operators.publish import Publish
from headwater.processing.packing import sized
from headwater.processing.steps import Stage
from headwater.schemas.unsure import Unsure


def joinable(stage: Stage) -> bool:
    """Whether a stage is one join of events and what columns can do to joined rows, of what columns can hold."""
    if len(stage.inputs) != 2:
        return False
    changes, facts = (entry.logic for entry in stage.inputs)
    operations, publish = stage.logic.operations, stage.output.logic
    if not takes_events(changes) or not isinstance(facts, FactsSpec) or len(operations) != 1:
        return False
    join = operations[0].spec
    if type(join) is not JoinSpec or join.right is not facts or not steppable(operations[0]):
        return False
    if not publishable(stage) or publish.shape != "event":
        return False
    if join.columns != changes.gives or not set(publish.columns) <= operations[0].wanted.keys():
        return False
    types = dict(zip(join.columns, join.types, strict=True))
    if any(types[name].nullable for name in (*join.on, join.instant, "event_id")):
        return False
    # What is computed of facts may not fit into 64 bits, and is not looked at before it is joined.
    whole = not _computes(facts) or all(type_.kind != "integer" for type_ in facts.types)
    return whole and packable(join.types) and packable(facts.types)


def _computes(facts: FactsSpec) -> bool:
    made = [value for step in facts.rows if isinstance(step, Map) for _, value in step.fields]
    return not all(isinstance(value, Column) for value in made)


class _Rows(NamedTuple):
    """The new rows of some ticks, in the order in which they came; each has the code of its message's key."""

    ticks: Any
    keys: Any
    codes: Any
    columns: Mapping[str, Any]
    identities: list[bytes]
    places: list[bytes]


class JoinRoad:
    """The road of a stage that joins its first input to its second."""

    def __init__(self, stage: Stage, chain: Chain) -> None:
        self._left, self._right = (entry.topic for entry in stage.inputs)
        self._tick = stage.tick
        changes: ChangesSpec = stage.inputs[0].logic
        self._kept = changes.kept
        self._events = EventsIntake(changes, stage.tick)
        self._changes = ColumnChanges(changes, chain.changes[self._left], fields_of(changes))
        self._facts = FactsBlocks(stage.inputs[1].logic, stage.tick)
        operation: Operation = stage.logic.operations[0]
        self._spec: JoinSpec = operation.spec
        self._steps = RowSteps(operation)
        self._join = chain.operators[0]
        assert isinstance(chain.publish, Publish)
        self._revisions = chain.publish.revisions
        self._publish = ColumnPublish(stage.output.logic, chain.publish, stage.tick)
        self._key = key_function(range(len(self._spec.key)))

    def take(self, topic: str, lane: Lane, closed: int, block: Block) -> bool:
        """Let a block wait for its ticks, or not."""
        return (self._events if topic == self._left else self._facts).take(lane, closed, block)

    def rows(self, topic: str, items: Sequence[Any]) -> list[Any]:
        """What waits for a tick, as the row road has it."""
        return (self._events if topic == self._left else self._facts).rows(items)

    def remember(self, topic: str, parts: Sequence[Part]) -> None:
        """Keep the versions and the rows of these, joined to nothing."""
        split = self._changes.split(parts)
        rows = self._placed(split.rows)
        self._changes.write(split)
        for changes in split.changes.values():
            self._join.remember(changes, ())
        self._put(rows)

    def fold(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Iterator[Folded | int]:
        """Close these ticks: one that brings facts by itself, those between them together."""
        [left], [right] = lanes[self._left], lanes[self._right]

        def way(tick: int) -> tuple[bool, int | None]:
            _, items = left.waiting.get(tick, (0, ()))
            return all(type(item) is Part for item in items), tick if tick in right.waiting else None

        for (whole, _), run in groupby(ticks, way):
            some = list(run)
            folded = self._folded(left, right, some) if whole else None
            if folded is None:
                yield from some
            else:
                yield folded

    def _folded(self, left: Lane, right: Lane, ticks: Sequence[int]) -> Folded | None:
        waiting: list[Part] = [part for tick in ticks for part in left.waiting.get(tick, (0, ()))[1]]
        if not waiting or not enough(sum(part.end - part.start for part in waiting)):
            return None
        try:
            split = self._changes.split(waiting)
            rows = self._new_rows(split.rows)
        except Unsure:
            return None
        self._changes.write(split)
        for tick in ticks:
            left.waiting.pop(tick, None)
        facts: list[FactVersion] = [fact for tick in ticks for fact in right.waiting.pop(tick, (0, ()))[1]]
        changes = {tick: split.changes.get(tick, []) for tick in ticks}
        ended, counts = self._joined(rows, changes, facts)
        for name, number in split.counts.items():
            counts[name] = counts.get(name, 0) + number
        return Folded(ended.block, split.records, counts, ended.said)

    def _new_rows(self, new: NewRows) -> _Rows:
        """These rows with their places; raises `Unsure`, with nothing changed, where one of them may not be new."""
        rows = self._placed(new)
        if not self._kept:
            # Events of one identity, and those that were said and corrected, are left to what can tell them apart.
            if len(set(rows.identities)) < len(rows.identities) or any(self._join.rows.has_many(rows.places)):
                raise Unsure
            if any(self._revisions.has_many(rows.identities)):
                raise Unsure
        return rows

    def _placed(self, new: NewRows) -> _Rows:
        """Rows with their places; raises `Unsure` where columns cannot hold them."""
        coded, columns = new.keys.dictionary_encode(), new.columns
        for name, type_ in zip(self._spec.columns, self._spec.types, strict=True):
            if columns[name].type != arrow_type(type_):
                raise Unsure
        prefixes = sized_keys(new.keys)
        events = columns["event_id"].cast(pa.binary())
        return _Rows(
            new.ticks,
            coded.dictionary,
            coded.indices,
            columns,
            joined_keys([prefixes, events]),
            joined_keys([prefixes, self._instants(columns), self._own(columns), events]),
        )

    def _instants(self, columns: Mapping[str, Any]) -> Any:
        return ordered_integers(columns[self._spec.instant].to_numpy())

    def _own(self, columns: Mapping[str, Any]) -> Any:
        """The left's own key of each row, sized."""
        first = columns[self._spec.key[0]]
        if len(self._spec.key) == 1 and first.type == pa.string() and not first.null_count:
            return sized_keys(first.cast(pa.binary()))
        values = list(zip(*[columns[name].to_pylist() for name in self._spec.key], strict=True))
        sizes = {row: sized(self._key(row)) for row in set(values)}
        return pa.array([sizes[row] for row in values], pa.binary())

    def _joined(
        self, rows: _Rows, changes: Mapping[int, list[Change]], facts: Sequence[FactVersion]
    ) -> tuple[Ended, dict[str, int]]:
        """Join; what the changes of each tick and the facts of an only one give goes on beside the new rows."""
        again: dict[int, list[Change]] = {}
        counts: dict[str, int] = {}
        if facts or any(changes.values()):
            for tick, some in changes.items():
                again[tick], counts = self._join.tick(some, facts)  # where there are facts there is one tick
        self._put(rows)
        new = NewRows(rows.ticks, rows.keys.take(rows.codes), self._given(rows, self._taken(rows)))
        return self._publish(self._steps(Delta(new, again))), counts

    def _put(self, rows: _Rows) -> None:
        """Keep new rows."""
        if rows.places:
            bodies = packed_rows([rows.columns[name] for name in self._spec.columns])
            self._join.rows.put_packed(rows.places, bodies)

    def _taken(self, rows: _Rows) -> list[Any]:
        """The columns that the right gives to each row; none of them where nothing holds."""
        instants = rows.columns[self._spec.instant].to_numpy()
        held, which = held_at(self._join.facts, rows.keys.to_pylist(), rows.codes.to_numpy(), instants)
        chosen = pa.array(which, mask=which < 0)
        return [
            pa.array([row and row[place] for row in held], arrow_type(type_)).take(chosen)
            for place, type_ in enumerate(self._spec.right.types)
        ]

    def _given(self, rows: _Rows, taken: Sequence[Any]) -> dict[str, Any]:
        """The columns that the join gives."""
        both = [*(rows.columns[name] for name in self._spec.columns), *taken]
        return {name: both[place] for name, place in zip(self._spec.names, self._spec.gives, strict=True)}
