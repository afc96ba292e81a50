"""The columnar road of a stage whose inputs are of events: their versions split, and what is new handed to a kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from headwater.processing.blocks import Block, Part
from headwater.processing.chain import Chain
from headwater.processing.column_changes import ColumnChanges, united
from headwater.processing.column_ends import Delta, Ended, Kernel
from headwater.processing.column_intake import EventsIntake, Folded, enough, fields_of
from headwater.processing.column_latest import ColumnLatest
from headwater.processing.lanes import Lane
from headwater.processing.operators.changes import ChangesSpec, Version
from headwater.processing.steps import Stage
from headwater.schemas.unsure import Unsure


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
    """The road of a stage whose inputs are of events, one or those of a union: `kernel` says what becomes of those of
    some ticks. What `latest` keeps is remembered with them.
    """

    def __init__(self, stage: Stage, chain: Chain, kernel: Kernel, latest: ColumnLatest | None = None) -> None:
        self._inputs = {entry.topic: VersionsRoad(stage, entry.topic, chain) for entry in stage.inputs}
        self._kernel = kernel
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
        if not enough(sum(part.end - part.start for some in parts.values() for part in some)):
            return None
        try:
            splits = {topic: self._inputs[topic].split(some) for topic, some in parts.items() if some}
            all_ = united(list(splits.values()))
            nothing = not (len(all_.rows) or all_.changes)
            ended = Ended() if nothing else self._kernel(Delta(all_.rows, all_.changes))
        except Unsure:
            return None
        for topic, split in splits.items():
            self._inputs[topic].write(split)
        for some in waiting.values():
            for tick in ticks:
                some.pop(tick, None)
        return Folded(ended.block, all_.records, all_.counts, ended.said, ended.messages)


def _parts_of(waiting: Mapping[int, tuple[int, list[Any]]], ticks: Sequence[int]) -> list[Part]:
    return [part for tick in ticks for part in waiting.get(tick, (0, ()))[1]]
