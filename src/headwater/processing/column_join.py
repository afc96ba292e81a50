"""`join_as_of` over columns: rows that are new are joined many at once; what facts of a tick change goes by rows.

`join_as_of` is the rule, and both keep the same state: a batch may go either way. Only for a left that is never
corrected: a row that is there already is not new, and its ticks go by rows. `tests/simulation/test_column_join.py`
holds both together.
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
from headwater.processing.column_intake import EventsIntake, FactsBlocks, Folded, takes_events
from headwater.processing.column_state import arrow_type, joined_keys, ordered_integers, packable, packed_rows
from headwater.processing.expressions import Column
from headwater.processing.graph import Map
from headwater.processing.lanes import Lane
from headwater.processing.operators.core import key_function
from headwater.processing.operators.join_as_of import FactsSpec, FactVersion, JoinSpec
from headwater.processing.operators.publish import Numbered, Publish, PublishSpec, two_values
from headwater.processing.packing import sized
from headwater.processing.steps import Stage
from headwater.schemas.unsure import Unsure

LEAST_ROWS = 32  # of ticks joined in one step: below, the row road costs less


def joinable(stage: Stage) -> bool:
    """Whether a stage is one join of events that are never corrected, published as it is, of what columns can hold."""
    if not stage.ticks or len(stage.inputs) != 2 or stage.output.kind != "product" or stage.further:
        return False
    changes, facts = (entry.logic for entry in stage.inputs)
    operations, publish = stage.logic.operations, stage.output.logic
    if not takes_events(changes) or not isinstance(facts, FactsSpec) or len(operations) != 1:
        return False
    join = operations[0].spec
    if type(join) is not JoinSpec or join.right is not facts or not operations[0].picks:
        return False
    if type(publish) is not PublishSpec or publish.shape != "event" or publish.pieces or publish.conversions:
        return False
    if join.columns != changes.gives or not set(publish.columns) <= set(join.names):
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
    """The new rows of some ticks, in the order in which they came."""

    ticks: Any
    keys: Any  # those of their messages, with which code each row has
    codes: Any
    columns: Mapping[str, Any]
    identities: list[bytes]
    places: list[bytes]


class JoinRoad:
    """The road of a stage that joins its first input to its second."""

    def __init__(self, stage: Stage, chain: Chain) -> None:
        self._left, self._right = (entry.topic for entry in stage.inputs)
        self._tick = stage.tick
        self._events = EventsIntake(stage.inputs[0].logic, stage.tick)
        self._facts = FactsBlocks(stage.inputs[1].logic, stage.tick)
        self._spec: JoinSpec = stage.logic.operations[0].spec
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

    def fold(self, lanes: Mapping[str, Lane], ticks: Sequence[int]) -> Iterator[Folded | int]:
        """Close these ticks: one that brings facts by itself, those between them together."""
        left, right = lanes[self._left], lanes[self._right]

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
        facts: list[FactVersion] = [fact for tick in ticks for fact in right.waiting.get(tick, (0, ()))[1]]
        parts = [part for part in waiting if part.first < part.last]
        if not parts:
            return None
        try:
            rows = self._new_rows(parts)
        except Unsure:
            return None
        for tick in ticks:
            left.waiting.pop(tick, None)
            right.waiting.pop(tick, None)
        block, counts = self._joined(rows, facts)
        return Folded(block, records, counts)

    def _new_rows(self, parts: Sequence[Part]) -> _Rows:
        """What these parts hold; raises `Unsure`, with nothing changed, where one of their rows may not be new."""
        coded = pa.chunked_array([part.keys() for part in parts]).combine_chunks().dictionary_encode()
        columns = {
            name: pa.chunked_array([part.column(name) for part in parts]).combine_chunks()
            for name in self._spec.columns
        }
        for name, type_ in zip(self._spec.columns, self._spec.types, strict=True):
            if columns[name].type != arrow_type(type_):
                raise Unsure
        prefixes = pa.array([sized(key) for key in coded.dictionary.to_pylist()], pa.binary())
        events = columns["event_id"].cast(pa.binary())
        rows = _Rows(
            np.repeat([part.tick for part in parts], [part.last - part.first for part in parts]),
            coded.dictionary,
            coded.indices,
            columns,
            joined_keys([prefixes.take(coded.indices), events]),
            joined_keys([prefixes.take(coded.indices), self._instants(columns), self._own(columns), events]),
        )
        # Events of one identity, and those that were said and corrected, are left to what alone can tell them apart.
        if len(set(rows.identities)) < len(rows.identities) or self._join.rows.holds_any(rows.places):
            raise Unsure
        if self._publish.revisions.holds_any(rows.identities):
            raise Unsure
        return rows

    def _instants(self, columns: Mapping[str, Any]) -> Any:
        return ordered_integers(columns[self._spec.instant].to_numpy())

    def _own(self, columns: Mapping[str, Any]) -> Any:
        """The left's own key of each row, sized."""
        parts = [columns[name].to_pylist() for name in self._spec.key]
        sizes = {values: sized(self._key(values)) for values in set(zip(*parts, strict=True))}
        return pa.array([sizes[values] for values in zip(*parts, strict=True)], pa.binary())

    def _joined(self, rows: _Rows, facts: Sequence[FactVersion]) -> tuple[OutputBlock, dict[str, int]]:
        """Join; what the facts of a tick change of rows that were there before is said with the new ones."""
        end = (int(rows.ticks[0]) + 1) * self._tick - 1
        changes, counts = self._join.tick([], facts) if facts else ([], {})
        bodies = packed_rows([rows.columns[name] for name in self._spec.columns])
        self._join.rows.put_packed(rows.places, bodies)
        again = self._publish.tick(self._chain.stepped(0, changes), end) if changes else []
        if again:
            _require_apart(again, rows)
        columns = self._given(rows, self._taken(rows))
        recorded = (rows.ticks + 1) * self._tick - 1
        columns["recorded_at"] = pa.array(recorded)
        columns["kind"] = pa.repeat("assert", len(recorded))
        columns["revision"] = pa.repeat(1, len(recorded))
        keys = rows.keys.take(rows.codes)
        if again:
            keys = pa.concat_arrays([keys, pa.array([one.key for one in again], pa.binary())])
            recorded = np.concatenate([recorded, [end] * len(again)])
            columns = {
                name: pa.concat_arrays([column, pa.array([one.record[name] for one in again], column.type)])
                for name, column in columns.items()
            }
        told = pa.table({"tick": recorded, "key": keys, "event": columns["event_id"]})
        order = pc.sort_indices(told, [(name, "ascending") for name in told.column_names])
        columns = {name: column.take(order) for name, column in columns.items()}
        return OutputBlock(keys.take(order).to_pylist(), recorded[order.to_numpy()], columns), counts

    def _taken(self, rows: _Rows) -> list[Any]:
        """The columns that the right gives to each row; none of them where nothing holds."""
        codes, instants = rows.codes.to_numpy().tolist(), rows.columns[self._spec.instant].to_numpy().tolist()
        held = self._join.facts.at_many(rows.keys.to_pylist(), codes, instants)
        return [
            pa.array([None if row is None else row[place] for row in held], arrow_type(type_))
            for place, type_ in enumerate(self._spec.right.types)
        ]

    def _given(self, rows: _Rows, taken: Sequence[Any]) -> dict[str, Any]:
        both = [*(rows.columns[name] for name in self._spec.columns), *taken]
        where = dict(zip(self._spec.names, self._spec.gives, strict=True))
        return {name: both[where[name]] for name in self._published}


def _require_apart(again: Sequence[Numbered], rows: _Rows) -> None:
    """As `publish` has it: a row that is said again and one that is new are not of one identity."""
    identities = set(rows.identities)
    if any(sized(key) + record["event_id"].encode() in identities for key, record in again):
        raise two_values()
