"""Blocks of records as they wait for their ticks on the columnar road: taken whole, or not at all.

What a block may not hold, and what is not sure, is left to the row road, which looks at each record.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from headwater.errors import Misfit
from headwater.processing.blocks import Block, Made, OutputBlock, Part, parts
from headwater.processing.column_state import ends_of, keepable
from headwater.processing.column_steps import ColumnSteps, column_steps
from headwater.processing.graph import FACT_TIMES
from headwater.processing.lanes import Lane
from headwater.processing.operators.changes import ChangesSpec, Intake, Version
from headwater.processing.operators.join_as_of import FactsIntake, FactsSpec
from headwater.processing.work import ExchangeMessage, OutputRecord
from headwater.schemas.unsure import Unsure

_KINDS = frozenset({"assert", "correct", "retract"})
LEAST_ROWS = 32  # of a batch, and of ticks closed in one step: below, the row road costs less


def enough(records: int) -> bool:
    """Whether so many are worth the columnar road."""
    return records >= LEAST_ROWS


class Ended(NamedTuple):
    """What is to be published or handed over: a block, or records where columns cannot hold all of it.

    `messages` are for the rekey topic, where the stage has one; `further` is what the product's other outputs are told.
    """

    block: OutputBlock | None = None
    said: Sequence[OutputRecord] = ()
    messages: Sequence[ExchangeMessage] = ()
    further: Sequence[Ended] = ()


class Folded(NamedTuple):
    """Ticks closed in one step: what comes of them, and how many records went as columns; `counts` are of those beside
    them that went row by row.
    """

    ended: Ended
    records: int
    counts: dict[str, int]


class EventsIntake:
    """Events, or facts on a grid, as parts of blocks, with what the flow's row steps make of them."""

    def __init__(self, changes: ChangesSpec, tick: int) -> None:
        self._tick = tick
        self._fields = fields_of(changes)
        self._intake = Intake(changes)
        self._fact = changes.shape == "fact"
        self._kept = changes.kept
        self._accept_late = changes.accept_late
        self._steps = None if _as_they_are(changes) else _steps(changes)

    def take(self, lane: Lane, closed: int, block: Block) -> bool:
        """Let a block wait for its ticks; False, with nothing taken, where the row road must look at its records."""
        recorded = block.integers("recorded_at")
        ticks = _ticks(lane, closed, block, self._tick)
        if ticks is None or not self._sayable(block):
            return False
        at = block.integers("valid_from" if self._fact else "occurred_at")
        if self._accept_late is not None and (recorded - at > self._accept_late).any():
            return False
        if self._fact and (at >= ends_of(block.columns.column("valid_to"))).any():
            return False
        try:
            made = self._made(block)
        except Unsure:
            return False
        for part in parts(block, ticks, made):
            offset, last = block.offsets[part.start], part.end - 1
            lane.take(offset, part.tick, (int(recorded[part.start]), offset), part)
            lane.last = (int(recorded[last]), block.offsets[last])
        return True

    def _sayable(self, block: Block) -> bool:
        """Whether kinds and revisions are such as this input may say."""
        kinds, revisions = set(block.columns.column("kind").unique().to_pylist()), block.integers("revision")
        if self._kept:
            return kinds <= _KINDS and not (revisions < 1).any()
        return kinds == {"assert"} and not (revisions != 1).any()

    def rows(self, items: Sequence[Any]) -> list[Version]:
        """What waits for a tick, as the row road has it."""
        found: list[Version] = []
        for item in items:
            found += item.versions(self._fields, self._intake) if type(item) is Part else [item]
        return found

    def _made(self, block: Block) -> Made:
        """The flow's rows of these records; raises `Unsure`."""
        if self._steps is None:
            return Made(block.keys, block.columns)
        columns, kept = self._steps(block.columns)
        return Made(block.keys.take(pa.array(kept)), columns, kept)


class FactsBlocks:
    """Facts decoded as columns; they wait as the row road has them."""

    def __init__(self, facts: FactsSpec, tick: int) -> None:
        self._tick = tick
        self._fields = list(dict.fromkeys([*facts.fields, "valid_from", "valid_to", "recorded_at", "kind", "revision"]))
        self._intake = FactsIntake(facts)

    def take(self, lane: Lane, closed: int, block: Block) -> bool:
        """Let a block wait for its ticks; False, with nothing taken, where the row road must look at its records."""
        ticks = _ticks(lane, closed, block, self._tick)
        if ticks is None:
            return False
        rows = block.columns.select(self._fields).to_pylist()
        try:
            versions = [self._intake(key, row) for key, row in zip(block.keys.to_pylist(), rows, strict=True)]
        except Misfit:
            return False
        for start, end in pairwise([0, *(np.flatnonzero(np.diff(ticks)) + 1).tolist(), len(versions)]):
            tick, offset, last = int(ticks[start]), block.offsets[start], end - 1
            lane.take(offset, tick, (rows[start]["recorded_at"], offset), versions[start])
            lane.waiting[tick][1].extend(versions[start + 1 : end])
            lane.last = (rows[last]["recorded_at"], block.offsets[last])
        return True

    def rows(self, items: Sequence[Any]) -> list[Any]:
        """The same."""
        return list(items)


def fields_of(changes: ChangesSpec) -> tuple[str, ...]:
    """The fields of a record that versions are made of."""
    times = FACT_TIMES if changes.shape == "fact" else ("event_id", "occurred_at")
    return tuple(dict.fromkeys([*changes.fields, *times, "recorded_at", "kind", "revision"]))


def takes_events(changes: Any) -> bool:
    """Whether this input is of events that can wait as columns."""
    return takes_versions(changes) and changes.shape == "event"


def takes_versions(changes: Any) -> bool:
    """Whether records of this input can wait as columns: events or facts, of steps and types that columns can have."""
    if not isinstance(changes, ChangesSpec):
        return False
    if changes.kept and not keepable(changes.types):
        return False
    return _as_they_are(changes) or _steps(changes) is not None


def _as_they_are(changes: ChangesSpec) -> bool:
    """Whether rows are the fields of a record, under their names: of a row that is a tuple names do not count."""
    return changes.step is None and changes.fields == changes.gives


def _ticks(lane: Lane, closed: int, block: Block, tick: int) -> Any:
    """The tick of each record; None where some of them may not wait in this lane."""
    recorded = block.integers("recorded_at")
    ticks = recorded // tick
    if ticks[0] <= max(closed, lane.marked) or (int(recorded[0]), block.offsets[0]) <= lane.last:
        return None
    if (np.diff(recorded) < 0).any() or (np.diff(np.asarray(block.offsets)) <= 0).any():
        return None
    return ticks


def _steps(changes: ChangesSpec) -> ColumnSteps | None:
    given = dict(zip(changes.fields, changes.given, strict=True))
    return column_steps(changes.rows, given, dict(zip(changes.gives, changes.types, strict=True)))
