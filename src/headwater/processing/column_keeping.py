"""What a stage ends with that keeps something as columns: a fold, a state or sessions, published as they are, or a fold
that is handed over or said to several outputs.

Behind a join it is an end like others, which never is unsure: the join has kept its rows by then. What its kernel is
not sure of goes by rows from there on, through the operator itself, which keeps the same.
`tests/simulation/test_column_behind.py` holds both together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from headwater.processing.cells import FoldSpec
from headwater.processing.chain import Chain
from headwater.processing.column_branches import ChangedBranches, parts
from headwater.processing.column_changed import Changes
from headwater.processing.column_ends import Delta, KeepsRows, Kernel
from headwater.processing.column_exchange import HandOver, end_of, endable
from headwater.processing.column_fold import ColumnFold, foldable
from headwater.processing.column_intake import Ended
from headwater.processing.column_latest import ColumnLatest, settable
from headwater.processing.column_order import said_by_rows
from headwater.processing.column_results import Changed, FoldEnd, Published, hands_on, sayable
from headwater.processing.column_sessions import ColumnSessions, gathered
from headwater.processing.compiler import Operation
from headwater.processing.operators.aggregate import Fold
from headwater.processing.operators.latest import Latest, LatestSpec
from headwater.processing.operators.publish import Publish, PublishSpec
from headwater.processing.operators.sessions import Sessions, SessionSpec
from headwater.processing.steps import Stage
from headwater.schemas.unsure import Unsure


class Keeping(NamedTuple):
    """What folds columns, what the same as changes goes by, and whether it only weighs rows; where it keeps rows, it by
    itself too.
    """

    fold: Kernel
    by_rows: Callable[[Changes], Ended]
    rows: KeepsRows | None = None
    weighs: bool = False


def keeps(stage: Stage, operation: Operation) -> bool:
    """Whether columns can make an operation that keeps something, and publish that as this stage does or, of a fold,
    hand it over or say it to several outputs.
    """
    output, spec = stage.output.logic, operation.spec
    if not stage.ticks:
        return False
    if stage.output.kind == "exchange" or stage.further:
        ends = parts(operation, stage) if stage.further else hands_on(operation, output)
        return type(spec) is FoldSpec and foldable(spec) and ends
    if type(output) is not PublishSpec or not operation.picks:
        return False
    if type(spec) is LatestSpec:
        return settable(operation, output)
    if type(spec) is SessionSpec:
        return gathered(spec.fold, output)
    return type(spec) is FoldSpec and foldable(spec) and sayable(spec, output)


def keeping(stage: Stage, chain: Chain, lane: int) -> Keeping:
    """What makes the last operation of a stage, if it `keeps`."""
    operator, operation = chain.operators[-1], stage.logic.operations[-1]
    if isinstance(operator, Fold):
        end = _fold_end(stage, chain, lane)
        fold = ColumnFold(operation, operator, end)
        return Keeping(fold.fold, lambda changes: end(None, changes), weighs=fold.weighs)
    publish = chain.publish
    assert isinstance(publish, Publish)

    def by_rows(changes: Changes) -> Ended:
        return Ended(None, said_by_rows(changes, publish, stage.tick, operator, operation.step))

    if isinstance(operator, Latest):
        latest = ColumnLatest(operation, operator, publish, stage.tick)
        return Keeping(latest.fold, by_rows, latest)
    assert isinstance(operator, Sessions)
    sessions = ColumnSessions(operation, operator, publish, stage.output.logic, stage.tick)
    return Keeping(sessions.fold, by_rows, sessions)


def _fold_end(stage: Stage, chain: Chain, lane: int) -> FoldEnd:
    """What becomes of what the last operation, a fold, gives."""
    operator, operation = chain.operators[-1], stage.logic.operations[-1]
    if stage.output.kind == "exchange":
        return Changed(operation, operator, HandOver(stage.output.logic, lane, stage.tick).changed)
    if stage.further:
        return Changed(operation, operator, ChangedBranches(stage, chain.branches))
    assert isinstance(chain.publish, Publish)
    return Published(operation, operator, chain.publish, stage.tick)


def closable(stage: Stage, operations: Sequence[Operation], columns: Sequence[str]) -> bool:
    """Whether columns can make all that a stage does with rows of these columns: these operations, and its end."""
    if not operations:
        return endable(stage, columns)
    [operation, *more] = operations
    return not more and operation.spec.columns == tuple(columns) and keeps(stage, operation)


def close_of(stage: Stage, chain: Chain, lane: int, operations: Sequence[Operation], *, promised: bool) -> Kernel:
    """The kernel of that, which is never unsure; `promised` as `end_of` has it."""
    if not operations:
        return end_of(stage, chain, lane, promised=promised)
    return KeepingEnd(operations[-1].spec.columns, keeping(stage, chain, lane))


class KeepingEnd:
    """Rows of these columns into what the last operation keeps, and what becomes of that."""

    def __init__(self, columns: Sequence[str], keeping: Keeping) -> None:
        self._columns, self._keeping = columns, keeping

    def __call__(self, delta: Delta) -> Ended:
        """The records or messages of some ticks."""
        if len(delta.new):
            try:
                return self._keeping.fold(delta)
            except Unsure:
                delta = delta.by_rows(self._columns)
        return self._keeping.by_rows(delta.changes)
