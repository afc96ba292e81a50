"""The columnar road of a task: which stages have one, what it takes in, and the ticks that it closes in one step.

The row road is the rule and the way back: what this one is not sure of, be it a block of records or a run of ticks,
is turned into rows again and goes the same way as ever. So a task may take either for each batch, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

from headwater.processing.blocks import Block, Part
from headwater.processing.cells import FoldSpec
from headwater.processing.chain import Chain
from headwater.processing.column_changes import ColumnChanges, Split, united
from headwater.processing.column_exchange import HandOver, Kernel, MovedRoad, hands_over, takes_moved
from headwater.processing.column_fold import ColumnFold, foldable
from headwater.processing.column_intake import EventsIntake, Folded, fields_of, takes_events
from headwater.processing.column_join import JoinRoad, joinable
from headwater.processing.column_latest import ColumnLatest, settable
from headwater.processing.column_pass import ColumnPass, passable
from headwater.processing.lanes import Lane
from headwater.processing.operators.aggregate import Fold
from headwater.processing.operators.changes import ChangesSpec, Version
from headwater.processing.operators.latest import Latest, LatestSpec
from headwater.processing.operators.publish import Publish, PublishSpec
from headwater.processing.steps import Stage
from headwater.schemas.unsure import Unsure

LEAST_ROWS = 32  # of a batch, and of ticks folded in one step: below, the row road costs less


class ColumnRoad(Protocol):
    """The columnar road of one task."""

    def take(self, topic: str, lane: Lane, closed: int, block: Block) -> bool:
        """Let a block wait for its ticks; False, with nothing taken, where the row road must look at its records."""

    def fold(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Iterator[Folded | int]:
        """Close these ticks, oldest first: in one step where it can be, else the tick itself, to be closed by rows
        before the next is asked for.
        """

    def rows(self, topic: str, items: Sequence[Any]) -> list[Any]:
        """What waits for a tick, as the row road has it."""

    def remember(self, topic: str, parts: Sequence[Part]) -> None:
        """Keep what closing these ticks would of an input of events; raises `Unsure`, with nothing kept."""


def reads_columns(stage: Stage) -> tuple[str, ...]:
    """The topics of products whose records a stage can take as columns; none where it has no columnar road."""
    if not (_keeps(stage) or joinable(stage) or hands_over(stage) or _passes(stage)):
        return ()
    return tuple(entry.topic for entry in stage.inputs if entry.product is not None)


def takes_columns(stage: Stage) -> bool:
    """Whether a stage has a columnar road for one of its inputs at least, rekey topics too."""
    return bool(reads_columns(stage)) or _keeps(stage)


def column_road(stage: Stage, chain: Chain, lane: int) -> ColumnRoad | None:
    """The columnar road of the task of this number of a stage, if it has one."""
    if joinable(stage):
        return JoinRoad(stage, chain)
    if hands_over(stage):
        return EventsRoad(stage, chain, HandOver(stage, lane).fold)
    if not _keeps(stage):
        return None
    latest, kernel = _kernel(stage, chain)
    if takes_moved(stage):
        return MovedRoad(stage, stage.logic.operations[0].spec.columns, kernel)

    def made(split: Split) -> Folded:
        nothing = not (len(split.rows) or split.changes)
        block, said = (None, ()) if nothing else kernel(split.rows, split.changes)
        return Folded(block, split.records, split.counts, said)

    return EventsRoad(stage, chain, made, latest)


class VersionsRoad:
    """The road of what is remembered of one input where a stage has no other: versions alone."""

    def __init__(self, stage: Stage, topic: str, chain: Chain) -> None:
        spec: ChangesSpec = next(entry.logic for entry in stage.inputs if entry.topic == topic)
        self._events = EventsIntake(spec, stage.tick)
        changes = ColumnChanges(spec, chain.changes[topic], fields_of(spec))
        self.split, self.write = changes.split, changes.write

    def take(self, topic: str, lane: Lane, closed: int, block: Block) -> bool:
        """Let a block wait for its ticks, or not."""
        return self._events.take(lane, closed, block)

    def rows(self, items: Sequence[Any]) -> list[Version]:
        """What waits for a tick, as the row road has it."""
        return self._events.rows(items)

    def remember(self, topic: str, parts: Sequence[Part]) -> None:
        """Keep the versions of these; raises `Unsure`, with nothing kept."""
        self.write(self.split(parts))


class EventsRoad:
    """The road of a stage whose inputs are of events, one or those of a union: `made` says what becomes of those of
    some ticks.
    """

    def __init__(
        self, stage: Stage, chain: Chain, made: Callable[[Split], Folded], latest: ColumnLatest | None = None
    ) -> None:
        self._inputs = {entry.topic: VersionsRoad(stage, entry.topic, chain) for entry in stage.inputs}
        self._made = made
        self._latest = latest

    def take(self, topic: str, lane: Lane, closed: int, block: Block) -> bool:
        """Let a block wait for its ticks, or not."""
        return self._inputs[topic].take(topic, lane, closed, block)

    def rows(self, topic: str, items: Sequence[Any]) -> list[Version]:
        """What waits for a tick, as the row road has it."""
        return self._inputs[topic].rows(items)

    def remember(self, topic: str, parts: Sequence[Part]) -> None:
        """Keep the versions of these, and the rows of `latest`; raises `Unsure`, with nothing kept."""
        split = self._inputs[topic].split(parts)
        if self._latest is not None and (len(split.rows) or split.changes):
            self._latest.remember(split.rows, split.changes)
        self._inputs[topic].write(split)

    def fold(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Iterator[Folded | int]:
        """Close these ticks."""
        waiting = {topic: lane.waiting for topic, [lane] in lanes.items()}

        def whole(tick: int) -> bool:
            return all(type(item) is Part for some in waiting.values() for item in some.get(tick, (0, ()))[1])

        for as_columns, run in groupby(ticks, whole):
            some = list(run)
            folded = self._folded(waiting, some) if as_columns else None
            if folded is None:
                yield from some
            else:
                yield folded

    def _folded(self, waiting: Mapping[str, dict[int, tuple[int, list[Any]]]], ticks: Sequence[int]) -> Folded | None:
        parts = {topic: _parts_of(some, ticks) for topic, some in waiting.items()}
        if sum(part.end - part.start for some in parts.values() for part in some) < LEAST_ROWS:
            return None
        try:
            splits = {topic: self._inputs[topic].split(some) for topic, some in parts.items() if some}
            folded = self._made(united(list(splits.values())))
        except Unsure:
            return None
        for topic, split in splits.items():
            self._inputs[topic].write(split)
        for some in waiting.values():
            for tick in ticks:
                some.pop(tick, None)
        return folded


def _parts_of(waiting: Mapping[int, tuple[int, list[Any]]], ticks: Sequence[int]) -> list[Part]:
    return [part for tick in ticks for part in waiting.get(tick, (0, ()))[1]]


def column_pass(stage: Stage) -> ColumnPass | None:
    """What passes blocks through a stage that only maps and filters, if it can."""
    return ColumnPass(stage.output.logic) if _passes(stage) else None


def _passes(stage: Stage) -> bool:
    return not stage.ticks and not stage.further and passable(stage.output.logic)


def _keeps(stage: Stage) -> bool:
    """Whether all that a stage does is one fold or state, published as it is, that columns can make."""
    if not (stage.ticks and stage.output.kind == "product" and not stage.further):
        return False
    operations, publish = stage.logic.operations, stage.output.logic
    if len(operations) != 1 or type(publish) is not PublishSpec or not operations[0].picks:
        return False
    [operation] = operations
    spec = operation.spec
    if type(spec) not in (LatestSpec, FoldSpec):
        return False
    given = [entry.logic for entry in stage.inputs]
    if not takes_moved(stage) and not all(takes_events(one) and spec.columns == one.gives for one in given):
        return False
    if type(spec) is LatestSpec:
        return settable(operation, publish)
    return foldable(spec, publish)


def _kernel(stage: Stage, chain: Chain) -> tuple[ColumnLatest | None, Kernel]:
    """What folds columns; where that keeps rows, it by itself too."""
    operator, operation, publish = chain.operators[0], stage.logic.operations[0], stage.output.logic
    if isinstance(operator, Latest):
        assert isinstance(chain.publish, Publish)
        latest = ColumnLatest(operation, operator, chain.publish, stage.tick)
        return latest, latest.fold
    assert isinstance(operator, Fold)
    fold = ColumnFold(operation.spec, publish, operator.cells, stage.tick)
    return None, lambda rows, changes: (fold.fold(rows, changes), ())
