"""What a stage publishes over columns: one output, or several that part at its end by maps and filters of their own.

What is new to all outputs is new to each, since row steps leave rows their identity, and each numbers its own records.
`operators/publish` is the rule. `tests/simulation/test_column_outputs.py` holds both together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headwater.processing.blocks import OutputBlock
from headwater.processing.column_changed import ChangedRows, ChangedSteps, Changes, together
from headwater.processing.column_ends import ColumnPublish, Delta, RowSteps, steppable
from headwater.processing.column_intake import Ended
from headwater.processing.column_order import in_order, kinds_of, known_numbers, said_by_rows
from headwater.processing.column_state import joined_column, rest_columns, sized_keys
from headwater.processing.compiler import Operation
from headwater.processing.operators.publish import Branch, BranchSpec, Publish, PublishSpec
from headwater.processing.steps import Stage
from headwater.schemas.unsure import Unsure


def publishable(stage: Stage) -> bool:
    """Whether a stage publishes, and `ColumnPublish` can make the records of each of its outputs."""
    return all(_sayable(output.logic) for output in stage.outputs)


def parts(operation: Operation, stage: Stage) -> bool:
    """Whether changes that an operation gives can be published as columns to each output of a stage with several."""
    branches: list[BranchSpec] = [output.logic for output in stage.outputs]
    if not steppable(operation) or any(one.columns != tuple(operation.wanted) for one in branches):
        return False
    return all(steppable(one) and _numberable(one.publish) for one in branches)


def steps_between(operation: Operation, publish: PublishSpec) -> bool:
    """Whether changes that an operation gives can be published as columns behind its row steps."""
    return steppable(operation) and publish.columns == tuple(operation.wanted) and _numberable(publish)


def _numberable(publish: PublishSpec) -> bool:
    return publish.shape == "fact" and not publish.conversions


def _sayable(logic: Any) -> bool:
    if type(logic) is BranchSpec:
        return steppable(logic) and _sayable(logic.publish)
    return type(logic) is PublishSpec and not logic.pieces and not logic.conversions


class ColumnBranches:
    """Rows to the records of several outputs: to each through the row steps of its own, and by its own numbers."""

    def __init__(self, stage: Stage, branches: Sequence[Branch], *, promised: bool) -> None:
        specs = [output.logic for output in stage.outputs]
        self._branches = [
            (RowSteps(spec), ColumnPublish(spec.publish, branch.publish, stage.tick, promised=promised))
            for spec, branch in zip(specs, branches, strict=True)
        ]

    def __call__(self, delta: Delta) -> Ended:
        """The records of some ticks: what is new to all is new to each, since row steps leave rows their identity."""
        first, *further = [publish(steps(delta)) for steps, publish in self._branches]
        return first._replace(further=further)


class ChangedBranches:
    """The same of changes of facts as columns, of which no two in a tick are of one identity."""

    def __init__(self, stage: Stage, branches: Sequence[Branch]) -> None:
        specs = [output.logic for output in stage.outputs]
        self._branches = [
            (ChangedSteps(spec), Numbers(spec.publish, branch.publish, stage.tick))
            for spec, branch in zip(specs, branches, strict=True)
        ]

    def __call__(self, rows: ChangedRows | None, changes: Changes) -> Ended:
        """The records of some ticks; `changes` are of other identities."""
        first, *further = [numbers(*steps(rows, changes)) for steps, numbers in self._branches]
        return first._replace(further=further)


class Numbers:
    """Changes of facts to the records of a product, numbered as `publish` does."""

    def __init__(self, spec: PublishSpec, publish: Publish, tick: int) -> None:
        self._spec, self._publish = spec, publish
        self._tick = tick

    def __call__(self, rows: ChangedRows | None, changes: Changes) -> Ended:
        """In the order of `publish`."""
        made = None
        if rows is not None and len(rows):
            try:
                made = self._made(rows)
            except Unsure:
                changes = together(rows.by_tick(), changes)
        said = said_by_rows(changes, self._publish, self._tick)
        return Ended(None, said) if made is None else in_order(made, said, moving=self._spec.moving)

    def _made(self, rows: ChangedRows) -> OutputBlock:
        """Raises `Unsure`, with no number kept."""
        firsts = np.flatnonzero(~rows.follows())
        lasts = np.append(firsts[1:], len(rows)) - 1
        told = rows.take(lasts)  # a retract carries what it takes back
        columns = dict(zip(self._spec.columns, told.columns, strict=True))
        identities = joined_column([sized_keys(told.keys), *rest_columns("fact", columns)])
        fresh, comes = np.ones(len(told), bool), np.ones(len(told), bool)
        if rows.goes is not None:
            fresh, comes = ~rows.goes[firsts], ~rows.goes[lasts]
        recorded = (told.ticks + 1) * self._tick - 1
        numbers, fresh = self._numbered(identities.dictionary_encode(), fresh, comes)
        columns["recorded_at"] = pa.array(recorded, pa.int64())
        columns["kind"] = kinds_of(fresh, comes)
        columns["revision"] = pa.array(numbers)
        return OutputBlock(told.keys.to_pylist(), recorded, columns)

    def _numbered(self, identities: Any, fresh: Any, comes: Any) -> tuple[Any, Any]:
        """The number of each record, oldest first, and whether nothing was said to hold before it.

        The newest of each identity is kept: of pieces, below zero where nothing holds; of others, save the very first.
        """
        keys, codes = identities.dictionary.to_pylist(), identities.indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        counts = np.bincount(codes, minlength=len(keys))
        begins = np.cumsum(counts) - counts
        known = known_numbers(self._publish.revisions, keys)
        if self._spec.pieces:
            held = np.roll(comes[order], 1)
            held[begins] = known > 0
            fresh, before = np.empty(len(codes), bool), np.abs(known)
            fresh[order] = ~held
        else:  # of what holds and has no number the first was said
            before = np.where((known == 0) & ~fresh[order[begins]], 1, known)
        numbers = np.empty(len(codes), np.int64)
        numbers[order] = np.arange(len(codes)) - np.repeat(begins, counts) + np.repeat(before, counts) + 1
        newest, kept = before + counts, np.arange(len(keys))
        if self._spec.pieces:
            newest = np.where(comes[order[begins + counts - 1]], newest, -newest)
        else:
            kept = np.flatnonzero(newest > 1)
        self._publish.revisions.put_many([keys[place] for place in kept.tolist()], newest[kept].tolist())
        return numbers, fresh
