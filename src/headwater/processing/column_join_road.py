"""The columnar road of a stage that joins: what its left brings, each join after the other, and the end.

The left is of events or of facts, those of a union too, or what another stage has handed over; joins are as of valid
time, or within a distance. The end is the product, straight away or behind one fold, state or sessions, or a rekey
topic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headwater.processing.blocks import Block, Part
from headwater.processing.cells import FoldSpec
from headwater.processing.chain import Chain
from headwater.processing.column_ends import Delta, steppable
from headwater.processing.column_events import EventsSide, Side, in_runs
from headwater.processing.column_exchange import MovedSide, first_columns
from headwater.processing.column_explode import ColumnExplode, explodes
from headwater.processing.column_intake import Folded, enough, takes_versions
from headwater.processing.column_join import joinable
from headwater.processing.column_keeping import closable, close_of
from headwater.processing.column_keys import tells_value
from headwater.processing.column_rekey import movable
from headwater.processing.column_rights import Right, RightEvents, RightFacts
from headwater.processing.column_within import pairable
from headwater.processing.compiler import Operation
from headwater.processing.lanes import Lane
from headwater.processing.operators.join_as_of import FactsSpec
from headwater.processing.operators.join_interval import OthersSpec
from headwater.processing.packing import RowForm
from headwater.processing.steps import Stage, StageInput
from headwater.processing.work import add_counts
from headwater.schemas.unsure import Unsure


def joins(stage: Stage) -> bool:
    """Whether a stage joins, once or more, what it may explode before, and columns can make all of it to its end."""
    lefts, rights = _sides(stage)
    exploded, joined, behind = _operations(stage)
    if not rights or len(joined) < len(rights) or not _brings(lefts, first_columns(stage)):
        return False
    given = tuple(exploded[-1].wanted) if exploded else first_columns(stage)
    for operation in joined:
        if not (joinable(operation, given) or pairable(operation, given)) or not steppable(operation):
            return False
        given = tuple(operation.wanted)
    return closable(stage, behind, given)


def _operations(stage: Stage) -> tuple[Sequence[Operation], Sequence[Operation], Sequence[Operation]]:
    """What stands before the joins, these, and what stands behind them."""
    exploded = explodes(stage)
    end = len(exploded) + len(_sides(stage)[1])
    operations = stage.logic.operations
    return exploded, operations[len(exploded) : end], operations[end:]


def _sides(stage: Stage) -> tuple[list[StageInput], list[StageInput]]:
    lefts = [entry for entry in stage.inputs if not isinstance(entry.logic, FactsSpec | OthersSpec)]
    return lefts, [entry for entry in stage.inputs if isinstance(entry.logic, FactsSpec | OthersSpec)]


def _brings(lefts: Sequence[StageInput], columns: tuple[str, ...]) -> bool:
    """Whether what these inputs bring, rows of these columns, can wait as columns."""
    logic = lefts[0].logic
    if isinstance(logic, RowForm):
        return len(lefts) == 1 and movable(logic.types)
    return all(takes_versions(entry.logic) and entry.logic.gives == columns for entry in lefts)


class JoinRoad:
    """The road of a stage that `joins`."""

    def __init__(self, stage: Stage, chain: Chain, lane: int) -> None:
        lefts, rights = _sides(stage)
        exploded, joined, behind = _operations(stage)
        self._explodes = [ColumnExplode(*one) for one in zip(exploded, chain.operators, strict=False)]
        moved = isinstance(lefts[0].logic, RowForm)
        self._left: Side
        if moved:
            self._left = MovedSide(lefts[0].topic, first_columns(stage))
        else:
            self._left = EventsSide(stage, [entry.topic for entry in lefts], chain)
        # What never is corrected is not remembered, and of what was handed over as new the same batch may say more.
        promised = not moved and all(entry.logic.kept for entry in lefts)
        self._joins: dict[str, Right] = {}
        new = promised  # whether what is given to a join as new is so for sure
        for operation, operator in zip(joined, chain.operators[len(exploded) :], strict=False):
            entry = next(entry for entry in rights if entry.logic is operation.spec.right)
            if isinstance(entry.logic, FactsSpec):
                self._joins[entry.topic] = RightFacts(stage, entry, operation, operator, promised=new)
                new = True  # it has looked
            else:
                kept = entry.logic.changes.kept
                promised, new = promised and kept, new and kept
                self._joins[entry.topic] = RightEvents(stage, entry, operation, chain, operator, promised=new)
        self._end = close_of(stage, chain, lane, behind, promised=promised)
        # The one column of the key, where a fold groups by it: of its cells the first row says which value they have.
        first = joined[0].spec
        self._key = first.on[0] if len(first.on) == 1 and behind and type(behind[0].spec) is FoldSpec else None
        self._columns = first.columns

    def take(self, topic: str, lane: Lane, closed: int, block: Block) -> bool:
        """Let a block wait for its ticks, or not."""
        return self._side(topic).take(topic, lane, closed, block)

    def rows(self, topic: str, items: Sequence[Any]) -> list[Any]:
        """What waits for a tick, as the row road has it."""
        return self._side(topic).rows(topic, items)

    def remember(self, topic: str, parts: Sequence[Part]) -> None:
        """Keep the versions of these, and the rows of a right side or of a join that comes first, joined to nothing."""
        if topic in self._joins:
            self._joins[topic].remember(topic, parts)
            return
        first = next(iter(self._joins.values()))
        self._left.remember(topic, parts, _nothing if self._explodes else first.remember_left)

    def fold(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Iterator[Folded | int]:
        """Close these ticks: one that brings facts by itself, those between them together."""
        joins = self._joins.values()

        def way(tick: int) -> tuple[int | None, ...]:
            if not (self._left.whole(lanes, tick) and all(join.whole(lanes, tick) for join in joins)):
                return ()
            return (tick if any(join.alone(lanes, tick) for join in joins) else None,)

        return in_runs(ticks, way, lambda some: self._folded(lanes, some))

    def _folded(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Folded | None:
        sides: list[Side | Right] = [self._left, *self._joins.values()]
        if not enough(sum(side.columnar(lanes, ticks) for side in sides)):
            return None
        first, *others = self._joins.values()
        try:
            brought = self._left.brought(lanes, ticks)
            delta = brought.delta
            for explode in self._explodes:
                delta = explode(delta)
            self._require_told(delta)
            arrived, *rest = [join.arrived(lanes, ticks) for join in self._joins.values()]
            delta, became = first.joined(delta, arrived.what, first=True)
        except Unsure:
            return None
        # The first join has kept its rows: nothing is unsure from here on.
        counts = {**brought.counts}
        add_counts(counts, became)
        for join, one in zip(others, rest, strict=True):
            delta, became = join.joined(delta, one.what, first=False)
            add_counts(counts, became)
        brought.taken()
        for one in (arrived, *rest):
            one.taken()
            add_counts(counts, one.counts)
        return Folded(self._end(delta), brought.records + sum(one.records for one in (arrived, *rest)), counts)

    def _side(self, topic: str) -> Side | Right:
        return self._joins.get(topic, self._left)

    def _require_told(self, delta: Delta) -> None:
        """Raises `Unsure` where a fold might find another row of a key first than it does by rows, and it matters."""
        if self._key is None or not len(delta.new):
            return
        place = self._columns.index(self._key)
        others = {row[place] for some in delta.changes.values() for _, *rows in some for row in rows if row is not None}
        if not tells_value(delta.new.columns[self._key], others):
            raise Unsure


def _nothing(delta: Delta) -> None:
    """Of rows that are exploded first nothing follows from one input's records alone but their versions."""
