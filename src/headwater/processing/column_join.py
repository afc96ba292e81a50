"""`join_as_of` over columns: rows that are new are joined many at once; what facts of a tick change goes by rows.

`join_as_of` is the rule, and both keep the same state: a batch may go either way. What is corrected or taken back on
the left goes by rows beside what is new. `tests/simulation/test_column_join.py` holds both together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.blocks import Block, OutputBlock, Part
from headwater.processing.chain import Chain
from headwater.processing.column_changes import ColumnChanges, NewRows
from headwater.processing.column_intake import EventsIntake, FactsBlocks, Folded, fields_of, takes_events
from headwater.processing.column_state import (
    arrow_type,
    joined_keys,
    ordered_integers,
    packable,
    packed_rows,
    sized_keys,
)
from headwater.processing.column_steps import column_steps
from headwater.processing.column_timelines import held_at
from headwater.processing.compiler import Operation
from headwater.processing.expressions import Column
from headwater.processing.graph import Map
from headwater.processing.lanes import Lane
from headwater.processing.operators.changes import ChangesSpec
from headwater.processing.operators.core import Change, key_function
from headwater.processing.operators.join_as_of import FactsSpec, FactVersion, JoinSpec
from headwater.processing.operators.publish import Publish, PublishSpec, two_values
from headwater.processing.packing import sized
from headwater.processing.steps import Stage
from headwater.processing.work import OutputRecord
from headwater.schemas.unsure import Unsure

LEAST_ROWS = 32  # of ticks joined in one step: below, the row road costs less


def joinable(stage: Stage) -> bool:
    """Whether a stage is one join of events and what columns can do to joined rows, of what columns can hold."""
    if not stage.ticks or len(stage.inputs) != 2 or stage.output.kind != "product" or stage.further:
        return False
    changes, facts = (entry.logic for entry in stage.inputs)
    operations, publish = stage.logic.operations, stage.output.logic
    if not takes_events(changes) or not isinstance(facts, FactsSpec) or len(operations) != 1:
        return False
    join = operations[0].spec
    if type(join) is not JoinSpec or join.right is not facts or not _stepped(operations[0]):
        return False
    if type(publish) is not PublishSpec or publish.shape != "event" or publish.pieces or publish.conversions:
        return False
    if join.columns != changes.gives or not set(publish.columns) <= operations[0].wanted.keys():
        return False
    types = dict(zip(join.columns, join.types, strict=True))
    if any(types[name].nullable for name in (*join.on, join.instant, "event_id")):
        return False
    # What is computed of facts may not fit into 64 bits, and is not looked at before it is joined.
    whole = not _computes(facts) or all(type_.kind != "integer" for type_ in facts.types)
    return whole and packable(join.types) and packable(facts.types)


def _stepped(operation: Operation) -> bool:
    """Whether what is done to joined rows can be done over columns, and leaves them their identity."""
    if any("event_id" in dict(step.fields) for step in operation.rows if isinstance(step, Map)):
        return False
    return operation.picks or column_steps(operation.rows, operation.given, operation.wanted) is not None


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
        self._step, self._wanted = operation.step, list(operation.wanted)
        self._steps = None if operation.picks else column_steps(operation.rows, operation.given, operation.wanted)
        self._published: tuple[str, ...] = stage.output.logic.columns
        self._chain = chain
        self._join = chain.operators[0]
        assert isinstance(chain.publish, Publish)
        self._publish = chain.publish
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
        records = sum(part.end - part.start for part in waiting)
        if records < LEAST_ROWS:
            return None
        if not waiting:
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
        block, said, counts = self._joined(rows, changes, facts)
        for name, number in split.counts.items():
            counts[name] = counts.get(name, 0) + number
        return Folded(block, split.records, counts, said)

    def _new_rows(self, new: NewRows) -> _Rows:
        """These rows with their places; raises `Unsure`, with nothing changed, where one of them may not be new."""
        rows = self._placed(new)
        if not self._kept:
            # Events of one identity, and those that were said and corrected, are left to what can tell them apart.
            if len(set(rows.identities)) < len(rows.identities) or any(self._join.rows.has_many(rows.places)):
                raise Unsure
            if any(self._publish.revisions.has_many(rows.identities)):
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
    ) -> tuple[OutputBlock | None, list[OutputRecord], dict[str, int]]:
        """Join; what the changes of each tick and the facts of an only one give is said with the new rows, as records
        where the steps behind the join are not sure of those.
        """
        again: list[OutputRecord] = []
        counts: dict[str, int] = {}
        if facts or any(changes.values()):
            for tick, some in changes.items():
                made, counts = self._join.tick(some, facts)  # where there are facts there is one tick
                end = (tick + 1) * self._tick - 1
                said = self._publish.tick(self._chain.stepped(0, made), end)
                again += [OutputRecord(key, record, end) for key, record in said]
        if again:
            _require_apart(again, rows)
        self._put(rows)
        joined = self._given(rows, self._taken(rows))
        try:
            made, kept = (joined, None) if self._steps is None else self._steps(joined)
            return self._block(rows, made, kept, again), [], counts
        except (Unsure, OverflowError, pa.ArrowInvalid):
            return None, sorted([*again, *self._by_rows(rows, joined)], key=_place), counts

    def _put(self, rows: _Rows) -> None:
        """Keep new rows."""
        if rows.places:
            bodies = packed_rows([rows.columns[name] for name in self._spec.columns])
            self._join.rows.put_packed(rows.places, bodies)

    def _block(self, rows: _Rows, made: Any, kept: Any, again: Sequence[OutputRecord]) -> OutputBlock | None:
        """What is published of new rows and of those that are said again, in the order of `publish`."""
        recorded, keys = (rows.ticks + 1) * self._tick - 1, rows.keys.take(rows.codes)
        if kept is not None:
            recorded, keys = recorded[kept], keys.take(pa.array(kept))
        if not again and not len(recorded):
            return None
        columns = {name: made.column(name) for name in self._published}
        columns["recorded_at"] = pa.array(recorded, pa.int64())
        columns["kind"] = pa.repeat("assert", len(recorded))
        columns["revision"] = pa.repeat(1, len(recorded))
        if again:
            keys = pa.concat_arrays([keys, pa.array([one.key for one in again], pa.binary())])
            recorded = np.concatenate([recorded, [one.recorded_at for one in again]])
            columns = {
                name: pa.concat_arrays([column, pa.array([one.record[name] for one in again], column.type)])
                for name, column in columns.items()
            }
        told = pa.table({"recorded_at": recorded, "key": keys, "event": columns["event_id"]})
        order = pc.sort_indices(told, [(name, "ascending") for name in told.column_names])
        columns = {name: column.take(order) for name, column in columns.items()}
        return OutputBlock(keys.take(order).to_pylist(), recorded[order.to_numpy()], columns)

    def _by_rows(self, rows: _Rows, joined: Any) -> Iterator[OutputRecord]:
        """What is published of new rows, each through the steps behind the join by itself."""
        keys = rows.keys.take(rows.codes).to_pylist()
        values = zip(*(joined.column(name).to_pylist() for name in joined.schema.names), strict=True)
        for key, tick, row in zip(keys, rows.ticks.tolist(), values, strict=True):
            made = row if self._step is None else self._step(row)
            if made is not None:
                end = (tick + 1) * self._tick - 1
                record = dict(zip(self._wanted, made, strict=True))
                yield OutputRecord(key, record | {"recorded_at": end, "kind": "assert", "revision": 1}, end)

    def _taken(self, rows: _Rows) -> list[Any]:
        """The columns that the right gives to each row; none of them where nothing holds."""
        instants = rows.columns[self._spec.instant].to_numpy()
        held, which = held_at(self._join.facts, rows.keys.to_pylist(), rows.codes.to_numpy(), instants)
        chosen = pa.array(which, mask=which < 0)
        return [
            pa.array([row and row[place] for row in held], arrow_type(type_)).take(chosen)
            for place, type_ in enumerate(self._spec.right.types)
        ]

    def _given(self, rows: _Rows, taken: Sequence[Any]) -> Any:
        """The columns that the join gives."""
        both = [*(rows.columns[name] for name in self._spec.columns), *taken]
        return pa.RecordBatch.from_arrays([both[place] for place in self._spec.gives], names=list(self._spec.names))


def _place(one: OutputRecord) -> tuple[int, bytes, bytes]:
    return one.recorded_at, one.key, one.record["event_id"].encode()


def _require_apart(again: Sequence[OutputRecord], rows: _Rows) -> None:
    """As `publish` has it: a row that is said again and one that is new are not of one identity."""
    identities = set(rows.identities)
    if any(sized(one.key) + one.record["event_id"].encode() in identities for one in again):
        raise two_values()
