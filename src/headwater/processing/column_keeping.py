"""What a stage ends with that keeps something as columns: a fold, a state or sessions, published to one output or
several, behind row steps or as they are, or a fold or sessions that are handed over.

Behind a join it is an end like others, which never is unsure: the join has kept its rows by then. What its kernel is
not sure of goes by rows from there on, through the operator itself, which keeps the same.
`tests/simulation/test_column_behind.py` holds both together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from headwater.processing.cells import FoldSpec
from headwater.processing.chain import Chain
from headwater.processing.column_branches import ChangedBranches, Numbers, parts, steps_between
from headwater.processing.column_changed import Changes
from headwater.processing.column_ends import Delta, KeepsRows, Kernel
from headwater.processing.column_exchange import HandOver, end_of, endable
from headwater.processing.column_fold import ColumnFold, foldable
from headwater.processing.column_intake import Ended
from headwater.processing.column_latest import ColumnLatest, settable
from headwater.processing.column_pieces import PublishedPieces, piecewise
from headwater.processing.column_results import Changed, Published, hands_on, sayable
from headwater.processing.column_session_results import SessionsPublished
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
    """Whether columns can make an operation that keeps something, and publish that as this stage does, to one output or
    several, or, but for a state, hand it over.
    """
    output, spec = stage.output.logic, operation.spec
    if not stage.ticks:
        return False
    if type(spec) is LatestSpec:
        if stage.further:
            return settable(spec) and parts(operation, stage)
        if type(output) is not PublishSpec or not settable(spec):
            return False
        return piecewise(operation, output) if operation.picks else steps_between(operation, output)
    if type(spec) is SessionSpec:
        fold, able = spec.fold, gathered(spec.fold)
    else:
        fold, able = spec, type(spec) is FoldSpec and foldable(spec)
    if stage.output.kind == "exchange" or stage.further:
        return able and (parts(operation, stage) if stage.further else hands_on(operation, output))
    if not able or type(output) is not PublishSpec:
        return False
    if type(spec) is SessionSpec and not operation.picks:
        return steps_between(operation, output)
    return sayable(operation, fold, output)


def keeping(stage: Stage, chain: Chain, lane: int) -> Keeping:
    """What makes the last operation of a stage, if it `keeps`."""
    operator, operation, publish = chain.operators[-1], stage.logic.operations[-1], chain.publish
    end: Any
    if stage.output.kind == "exchange":
        end = Changed(operation, operator, HandOver(stage.output.logic, lane, stage.tick).changed)
    elif stage.further:
        end = Changed(operation, operator, ChangedBranches(stage, chain.branches))
    else:
        assert isinstance(publish, Publish)
        end = _published(stage, operation, operator, publish)

    def by_rows(changes: Changes) -> Ended:
        ended: Ended = end(None, changes)
        return ended

    if isinstance(operator, Latest):
        latest = ColumnLatest(operation.spec, operator, end)
        return Keeping(latest.fold, by_rows, latest)
    if isinstance(operator, Sessions):
        sessions = ColumnSessions(operation, operator, end)
        return Keeping(sessions.fold, by_rows, sessions)
    fold = ColumnFold(operation, operator, end)
    return Keeping(fold.fold, by_rows, weighs=fold.weighs)


def _published(stage: Stage, operation: Operation, operator: Any, publish: Publish) -> Any:
    if operation.picks or isinstance(operator, Fold):
        return _PUBLISHED[type(operator)](operation, operator, publish, stage.tick)
    return Changed(operation, operator, Numbers(stage.output.logic, publish, stage.tick))


_PUBLISHED: Mapping[type, Callable[..., Any]] = {
    Fold: Published,
    Latest: PublishedPieces,
    Sessions: SessionsPublished,
}


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
