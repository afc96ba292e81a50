"""What a stage publishes over columns: one output, or several that part at its end by maps and filters of their own.

What is new to all outputs is new to each, since row steps leave rows their identity, and each numbers its own records.
`operators/publish` is the rule. `tests/simulation/test_column_outputs.py` holds both together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater.processing.column_ends import ColumnPublish, Delta, RowSteps, steppable
from headwater.processing.column_intake import Ended
from headwater.processing.operators.publish import Branch, BranchSpec, PublishSpec
from headwater.processing.steps import Stage


def publishable(stage: Stage) -> bool:
    """Whether a stage publishes, and `ColumnPublish` can make the records of each of its outputs."""
    return all(_sayable(output.logic) for output in stage.outputs)


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
