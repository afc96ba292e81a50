"""The right sides of joins as columns: facts as of valid time, or events within a distance, and the join with each.

A side waits for its ticks as the left does (`column_events`). Its join takes what the left brings and what it brings
itself, and gives rows through the row steps behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from headwater.processing.blocks import Block, Part
from headwater.processing.chain import Chain
from headwater.processing.column_changes import NO_ROWS
from headwater.processing.column_ends import Delta, RowSteps
from headwater.processing.column_events import EventsSide
from headwater.processing.column_intake import FactsBlocks
from headwater.processing.column_join import ColumnJoin
from headwater.processing.column_within import ColumnWithin
from headwater.processing.compiler import Operation
from headwater.processing.lanes import Lane
from headwater.processing.steps import Stage, StageInput

_NOTHING = Delta(NO_ROWS, {})


class Arrived(NamedTuple):
    """What some ticks bring of a right side: facts by their ticks, or rows that are new and changes; and the account of
    it. `taken` keeps what is to be kept, and lets nothing of it wait any longer.
    """

    what: Any
    records: int
    counts: Mapping[str, int]
    taken: Callable[[], None]


class Right(Protocol):
    """A right side, and its join."""

    def take(self, topic: str, lane: Lane, closed: int, block: Block) -> bool:
        """Let a block wait for its ticks, or not."""

    def rows(self, topic: str, items: Sequence[Any]) -> list[Any]:
        """What waits for a tick, as the row road has it."""

    def remember(self, topic: str, parts: Sequence[Part]) -> None:
        """Keep what is remembered of these; raises `Unsure`, with nothing kept."""

    def remember_left(self, delta: Delta) -> None:
        """Keep rows of the left, joined to nothing; raises `Unsure`, with nothing kept."""

    def whole(self, lanes: Mapping[str, Sequence[Lane]], tick: int) -> bool:
        """Whether all that waits for a tick may be brought."""

    def alone(self, lanes: Mapping[str, Sequence[Lane]], tick: int) -> bool:
        """Whether a tick has to be closed by itself."""

    def columnar(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> int:
        """How many records of these ticks wait as columns."""

    def arrived(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Arrived:
        """What these ticks bring. Raises `Unsure`, with nothing changed."""

    def joined(self, left: Delta, right: Any, *, first: bool) -> tuple[Delta, Mapping[str, int]]:
        """What the join gives, and what became of the right; the first join of a stage may raise `Unsure`, with nothing
        changed, and no other.
        """


class RightFacts:
    """Facts, to which rows are joined as of valid time. They wait as the row road has them."""

    def __init__(self, stage: Stage, entry: StageInput, operation: Operation, operator: Any, *, promised: bool) -> None:
        self._topic = entry.topic
        self._facts = FactsBlocks(entry.logic, stage.tick)
        self._join = ColumnJoin(operation.spec, operator, promised=promised)
        self._steps = RowSteps(operation)
        self.remember_left = self._join.remember

    def take(self, topic: str, lane: Lane, closed: int, block: Block) -> bool:
        """Let a block wait for its ticks, or not."""
        return self._facts.take(lane, closed, block)

    def rows(self, topic: str, items: Sequence[Any]) -> list[Any]:
        """The same."""
        return self._facts.rows(items)

    def remember(self, topic: str, parts: Sequence[Part]) -> None:
        """Never: facts are remembered as they wait, by rows."""
        raise AssertionError("facts do not wait as columns")

    def whole(self, lanes: Mapping[str, Sequence[Lane]], tick: int) -> bool:
        """Always."""
        return True

    def alone(self, lanes: Mapping[str, Sequence[Lane]], tick: int) -> bool:
        """Whether a tick has facts."""
        return any(tick in lane.waiting for lane in lanes[self._topic])

    def columnar(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> int:
        """None."""
        return 0

    def arrived(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Arrived:
        """What these ticks bring."""
        [lane] = lanes[self._topic]
        facts = {tick: lane.waiting[tick][1] for tick in ticks if tick in lane.waiting}

        def taken() -> None:
            for tick in facts:
                del lane.waiting[tick]

        return Arrived(facts, 0, {}, taken)

    def joined(self, left: Delta, right: Any, *, first: bool) -> tuple[Delta, Mapping[str, int]]:
        """What the join gives, and what became of the facts; it is never unsure."""
        made, counts = self._join(left, right)
        return self._steps(made), counts


class RightEvents:
    """Events, which are paired with those of the left."""

    def __init__(
        self, stage: Stage, entry: StageInput, operation: Operation, chain: Chain, operator: Any, *, promised: bool
    ) -> None:
        self._events = EventsSide(stage, [entry.topic], chain)
        self.take, self.rows = self._events.take, self._events.rows
        self.whole, self.columnar = self._events.whole, self._events.columnar
        self._within = ColumnWithin(operation, operator, promised=promised)
        self._steps = RowSteps(operation)

    def remember(self, topic: str, parts: Sequence[Part]) -> None:
        """Keep the versions and the rows of these; raises `Unsure`, with nothing kept."""
        self._events.remember(topic, parts, lambda delta: self._within.remember(_NOTHING, delta))

    def remember_left(self, delta: Delta) -> None:
        """Keep rows of the left, paired with nothing; raises `Unsure`, with nothing kept."""
        self._within.remember(delta, _NOTHING)

    def alone(self, lanes: Mapping[str, Sequence[Lane]], tick: int) -> bool:
        """Never."""
        return False

    def arrived(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Arrived:
        """What these ticks bring. Raises `Unsure`, with nothing changed."""
        return Arrived(*self._events.brought(lanes, ticks))

    def joined(self, left: Delta, right: Any, *, first: bool) -> tuple[Delta, Mapping[str, int]]:
        """The pairs; raises `Unsure`, with nothing changed, where this is the first join."""
        made = self._within(left, right) if first else self._within.surely(left, right)
        return self._steps(made), {}
