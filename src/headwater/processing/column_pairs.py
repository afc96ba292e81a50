"""The columnar road of a stage that pairs events: both sides wait as columns and are closed together.

The pairs are published, straight away or behind one fold, state or sessions, or handed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headwater.processing.blocks import Block, Part
from headwater.processing.chain import Chain
from headwater.processing.column_changes import NO_ROWS
from headwater.processing.column_ends import Delta, RowSteps, steppable
from headwater.processing.column_events import EventsSide, Side, in_runs
from headwater.processing.column_exchange import MovedSide
from headwater.processing.column_intake import Folded, enough, takes_events
from headwater.processing.column_keeping import closable, close_of
from headwater.processing.column_state import packable
from headwater.processing.column_within import ColumnWithin
from headwater.processing.field_types import FieldType
from headwater.processing.lanes import Lane
from headwater.processing.operators.changes import ChangesSpec
from headwater.processing.operators.join_interval import IntervalSpec, OthersSpec
from headwater.processing.packing import RowForm
from headwater.processing.steps import Stage
from headwater.processing.work import add_counts
from headwater.schemas.unsure import Unsure

_NOTHING = Delta(NO_ROWS, {})


def pairable(stage: Stage) -> bool:
    """Whether a stage first pairs events with those of another input, and columns can make all of it to its end."""
    *lefts, right = [entry.logic for entry in stage.inputs]
    if not (stage.logic.operations and lefts and isinstance(right, OthersSpec)):
        return False
    operation, *behind = stage.logic.operations
    spec = operation.spec
    if type(spec) is not IntervalSpec or not steppable(operation) or not takes_events(right.changes):
        return False
    if not all(isinstance(one, RowForm) or (takes_events(one) and one.gives == spec.columns) for one in lefts):
        return False
    return (
        _holds(spec.columns, spec.types)
        and _holds(right.columns, right.types)
        and closable(stage, behind, list(operation.wanted))
    )


def _holds(columns: Sequence[str], types: Sequence[FieldType]) -> bool:
    given = dict(zip(columns, types, strict=True))
    return packable(types) and not any(given[name].nullable for name in ("event_id", "occurred_at"))


class PairsRoad:
    """The road of a stage that pairs events of its first inputs, or those handed over to it, with those of its last."""

    def __init__(self, stage: Stage, chain: Chain, lane: int) -> None:
        *lefts, right = stage.inputs
        operation, *behind = stage.logic.operations
        moved = isinstance(lefts[0].logic, RowForm)
        self._right_topic = right.topic
        self._right = EventsSide(stage, [right.topic], chain)
        self._left: Side
        if moved:
            self._left = MovedSide(lefts[0].topic, operation.spec.columns)
        else:
            self._left = EventsSide(stage, [entry.topic for entry in lefts], chain)
        told: list[ChangesSpec] = [right.logic.changes, *(entry.logic for entry in lefts if not moved)]
        # What never is corrected is not remembered, and of what was handed over as new the same batch may say more.
        promised = not moved and all(one.kept for one in told)
        self._within = ColumnWithin(operation, chain.operators[0], promised=promised)
        self._steps = RowSteps(operation)
        self._end = close_of(stage, chain, lane, behind, promised=promised)

    def take(self, topic: str, lane: Lane, closed: int, block: Block) -> bool:
        """Let a block wait for its ticks, or not."""
        return self._side(topic).take(topic, lane, closed, block)

    def rows(self, topic: str, items: Sequence[Any]) -> list[Any]:
        """What waits for a tick, as the row road has it."""
        return self._side(topic).rows(topic, items)

    def remember(self, topic: str, parts: Sequence[Part]) -> None:
        """Keep the versions and the rows of these, paired with nothing; raises `Unsure`, with nothing kept."""
        remember = self._within.remember
        if topic == self._right_topic:
            self._right.remember(topic, parts, lambda delta: remember(_NOTHING, delta))
        else:
            self._left.remember(topic, parts, lambda delta: remember(delta, _NOTHING))

    def fold(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Iterator[Folded | int]:
        """Close these ticks."""

        def whole(tick: int) -> bool:
            return self._left.whole(lanes, tick) and self._right.whole(lanes, tick)

        return in_runs(ticks, whole, lambda some: self._folded(lanes, some))

    def _folded(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Folded | None:
        if not enough(self._left.columnar(lanes, ticks) + self._right.columnar(lanes, ticks)):
            return None
        try:
            left, right = self._left.brought(lanes, ticks), self._right.brought(lanes, ticks)
            made = self._within(left.delta, right.delta)
        except Unsure:
            return None
        left.taken()
        right.taken()
        ended = self._end(self._steps(made))
        counts = dict(left.counts)
        add_counts(counts, right.counts)
        return Folded(ended, left.records + right.records, counts)

    def _side(self, topic: str) -> Side:
        return self._right if topic == self._right_topic else self._left
