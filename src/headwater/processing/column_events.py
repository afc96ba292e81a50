"""The columnar road of a stage whose inputs are of events, or of facts on a grid: their versions split, and what is new
handed to a kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

from headwater.processing.blocks import Block, Part
from headwater.processing.chain import Chain
from headwater.processing.column_changes import NO_ROWS, ColumnChanges, united
from headwater.processing.column_ends import Brought, Delta, KeepsRows, Kernel
from headwater.processing.column_intake import Ended, EventsIntake, Folded, enough, fields_of
from headwater.processing.lanes import Lane
from headwater.processing.operators.changes import ChangesSpec, Version
from headwater.processing.operators.join_interval import OthersSpec
from headwater.processing.steps import Stage
from headwater.schemas.unsure import Unsure


class VersionsRoad:
    """The road of what is remembered of one input where a stage has no other: versions alone."""

    def __init__(self, stage: Stage, topic: str, chain: Chain, *, weighs: bool = True) -> None:
        logic = next(entry.logic for entry in stage.inputs if entry.topic == topic)
        spec: ChangesSpec = logic.changes if isinstance(logic, OthersSpec) else logic
        self._events = EventsIntake(spec, stage.tick)
        changes = ColumnChanges(spec, chain.told(topic), fields_of(spec), weighs=weighs)
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


class EventsSide:
    """Inputs of events or facts, one or those of a union, as they wait for their ticks; with `weighs` it is told which
    rows go.
    """

    def __init__(self, stage: Stage, topics: Sequence[str], chain: Chain, *, weighs: bool = False) -> None:
        self._inputs = {topic: VersionsRoad(stage, topic, chain, weighs=weighs) for topic in topics}

    def take(self, topic: str, lane: Lane, closed: int, block: Block) -> bool:
        """Let a block wait for its ticks, or not."""
        return self._inputs[topic].take(topic, lane, closed, block)

    def rows(self, topic: str, items: Sequence[Any]) -> list[Version]:
        """What waits for a tick, as the row road has it."""
        return self._inputs[topic].rows(items)

    def remember(self, topic: str, parts: Sequence[Part], kept: Callable[[Delta], None]) -> None:
        """Keep the versions of these, once `kept` has kept what else is; raises `Unsure`, with nothing kept."""
        split = self._inputs[topic].split(parts)
        delta = Delta(split.rows, split.changes, split.gone)
        if not delta.nothing:
            kept(delta)
        self._inputs[topic].write(split)

    def whole(self, lanes: Mapping[str, Sequence[Lane]], tick: int) -> bool:
        """Whether all that waits for a tick waits as columns."""
        return all(type(item) is Part for some in self._waiting(lanes) for item in some.get(tick, (0, ()))[1])

    def columnar(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> int:
        """How many records of these ticks wait as columns."""
        parts = (part for some in self._waiting(lanes) for part in _parts_of(some, ticks))
        return sum(part.end - part.start for part in parts)

    def brought(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Brought:
        """What these ticks bring, all of it as columns. Raises `Unsure`, with nothing changed."""
        waiting = self._waiting(lanes)
        parts = {topic: _parts_of(some, ticks) for topic, some in zip(self._inputs, waiting, strict=True)}
        splits = {topic: self._inputs[topic].split(some) for topic, some in parts.items() if some}
        if not splits:
            return Brought(Delta(NO_ROWS, {}), 0, {}, lambda: None)
        all_ = united(list(splits.values()))

        def taken() -> None:
            for topic, split in splits.items():
                self._inputs[topic].write(split)
            for some in waiting:
                for tick in ticks:
                    some.pop(tick, None)

        return Brought(Delta(all_.rows, all_.changes, all_.gone), all_.records, all_.counts, taken)

    def _waiting(self, lanes: Mapping[str, Sequence[Lane]]) -> list[dict[int, tuple[int, list[Any]]]]:
        return [lane.waiting for topic in self._inputs for lane in lanes[topic]]


class Side(Protocol):
    """Inputs of a stage as they wait for their ticks: `EventsSide`, or what another stage has handed over."""

    def take(self, topic: str, lane: Lane, closed: int, block: Block) -> bool:
        """Let a block wait for its ticks, or not."""

    def rows(self, topic: str, items: Sequence[Any]) -> list[Any]:
        """What waits for a tick, as the row road has it."""

    def remember(self, topic: str, parts: Sequence[Part], kept: Callable[[Delta], None]) -> None:
        """Keep what is remembered of these, once `kept` has kept what else is; raises `Unsure`, with nothing kept."""

    def whole(self, lanes: Mapping[str, Sequence[Lane]], tick: int) -> bool:
        """Whether all that waits for a tick may be brought."""

    def columnar(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> int:
        """How many records of these ticks wait as columns."""

    def brought(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Brought:
        """What these ticks bring. Raises `Unsure`, with nothing changed."""


class OneSideRoad:
    """The road of a stage with one side: `kernel` says what becomes of what some ticks bring. What it `keeps` of that
    is remembered with it.
    """

    def __init__(self, side: Side, kernel: Kernel, keeps: KeepsRows | None = None) -> None:
        self._side = side
        self.take, self.rows = side.take, side.rows
        self._kernel = kernel
        self._keeps = keeps

    def remember(self, topic: str, parts: Sequence[Part]) -> None:
        """Keep the versions of these, and the rows that are kept; raises `Unsure`, with nothing kept."""
        keeps = self._keeps
        self._side.remember(
            topic, parts, lambda delta: None if keeps is None else keeps.remember(delta.new, delta.changes)
        )

    def fold(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Iterator[Folded | int]:
        """Close these ticks."""
        return in_runs(ticks, lambda tick: self._side.whole(lanes, tick), lambda some: self._folded(lanes, some))

    def _folded(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Folded | None:
        if not enough(self._side.columnar(lanes, ticks)):
            return None
        try:
            brought = self._side.brought(lanes, ticks)
            delta = brought.delta
            ended = Ended() if delta.nothing else self._kernel(delta)
        except Unsure:
            return None
        brought.taken()
        return Folded(ended, brought.records, dict(brought.counts))


def in_runs(
    ticks: Sequence[int], way: Callable[[int], Any], folded: Callable[[Sequence[int]], Folded | None]
) -> Iterator[Folded | int]:
    """Ticks of one way in one step; those of a way that is nothing, and those that cannot be folded, as they are."""
    for one, run in groupby(ticks, way):
        some = list(run)
        made = folded(some) if one else None
        if made is None:
            yield from some
        else:
            yield made


def _parts_of(waiting: Mapping[int, tuple[int, list[Any]]], ticks: Sequence[int]) -> list[Part]:
    return [part for tick in ticks for part in waiting.get(tick, (0, ()))[1]]
