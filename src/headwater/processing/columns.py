"""The columnar road of a task: which stages have one, what it takes in, and the ticks that it folds in one step.

The row road is the rule and the way back: what this one is not sure of, be it a block of records or a run of ticks,
is turned into rows again and goes the same way as ever. So a task may take either for each batch, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from headwater.processing.blocks import Block, Made, OutputBlock, Part, parts
from headwater.processing.chain import Chain
from headwater.processing.column_fold import ColumnFold, foldable
from headwater.processing.column_steps import ColumnSteps, column_steps
from headwater.processing.lanes import Lane
from headwater.processing.operators.aggregate import Fold, FoldSpec
from headwater.processing.operators.changes import ChangesSpec, Intake, Version
from headwater.processing.operators.publish import PublishSpec
from headwater.processing.steps import Stage
from headwater.schemas.unsure import Unsure

LEAST_ROWS = 32  # of a batch, and of ticks folded in one step: below, the row road costs less


class Folded(NamedTuple):
    """Ticks folded in one step: what is to be published of them, if anything, and how many records they held."""

    block: OutputBlock | None
    records: int


def reads_columns(stage: Stage) -> tuple[str, ...]:
    """The fields that the columnar road of a stage reads of its only input; empty where it has none."""
    if not (stage.ticks and len(stage.inputs) == 1 and stage.output.kind == "product" and not stage.further):
        return ()
    changes, operations = stage.inputs[0].logic, stage.logic.operations
    if not isinstance(changes, ChangesSpec) or len(operations) != 1:
        return ()
    fold, publish = operations[0].spec, stage.output.logic
    if changes.kept or changes.shape != "event":
        return ()
    if type(fold) is not FoldSpec or type(publish) is not PublishSpec or not operations[0].picks:
        return ()
    if fold.columns != changes.gives or not foldable(fold, publish):
        return ()
    if changes.step is not None and _steps(changes) is None:
        return ()
    return tuple(dict.fromkeys([*changes.fields, "event_id", "occurred_at", "recorded_at", "kind", "revision"]))


class ColumnRoad:
    """The columnar road of one task; `fields` are what it reads of a record."""

    def __init__(self, stage: Stage, chain: Chain, fields: Sequence[str]) -> None:
        fold = chain.operators[0]
        assert isinstance(fold, Fold)
        self._fields = fields
        self._tick = stage.tick
        changes: ChangesSpec = stage.inputs[0].logic
        self._intake = Intake(changes)
        self._accept_late = changes.accept_late
        self._steps = None if changes.step is None else _steps(changes)
        self._fold = ColumnFold(stage.logic.operations[0].spec, stage.output.logic, fold.cells, stage.tick)

    def take(self, lane: Lane, closed: int, block: Block) -> bool:
        """Let a block wait for its ticks; False, with nothing taken, where the row road must look at its records."""
        columns, recorded = block.columns, block.integers("recorded_at")
        ticks = recorded // self._tick
        if ticks[0] <= max(closed, lane.marked):
            return False
        if (int(recorded[0]), block.offsets[0]) <= lane.last or (np.diff(recorded) < 0).any():
            return False
        if (np.diff(np.asarray(block.offsets)) <= 0).any() or (block.integers("revision") != 1).any():
            return False
        if self._accept_late is not None and (recorded - block.integers("occurred_at") > self._accept_late).any():
            return False
        if columns.column("kind").unique().to_pylist() != ["assert"]:
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

    def fold(self, lane: Lane, ticks: Sequence[int]) -> Iterator[Folded | int]:
        """Close these ticks of a lane, oldest first: folded in one step where it can be, else the tick itself."""
        for whole, run in groupby(ticks, lambda tick: all(type(item) is Part for item in lane.waiting[tick][1])):
            some = list(run)
            folded = self._folded(lane, some) if whole else None
            if folded is None:
                yield from some
            else:
                yield folded

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

    def _folded(self, lane: Lane, ticks: Sequence[int]) -> Folded | None:
        waiting: list[Part] = [part for tick in ticks for part in lane.waiting[tick][1]]
        records = sum(part.end - part.start for part in waiting)
        if records < LEAST_ROWS:
            return None
        left = [part for part in waiting if part.first < part.last]
        try:
            block = self._fold.fold(left) if left else None
        except Unsure:
            return None
        for tick in ticks:
            del lane.waiting[tick]
        return Folded(block, records)


def _steps(changes: ChangesSpec) -> ColumnSteps | None:
    given = dict(zip(changes.fields, changes.given, strict=True))
    return column_steps(changes.rows, given, dict(zip(changes.gives, changes.types, strict=True)))


def column_road(stage: Stage, chain: Chain) -> ColumnRoad | None:
    """The columnar road of a task of this stage, if it has one."""
    fields = reads_columns(stage)
    return ColumnRoad(stage, chain, fields) if fields else None
