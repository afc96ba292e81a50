"""The columnar road of a task: which stages have one, and which; what such a road is asked for.

The row road is the rule and the way back: what this one is not sure of, be it a block of records or a run of ticks,
is turned into rows again and goes the same way as ever. So a task may take either for each batch, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from headwater.processing.blocks import Block, Part
from headwater.processing.cells import FoldSpec
from headwater.processing.chain import Chain
from headwater.processing.column_branches import ChangedBranches, parts
from headwater.processing.column_ends import KeepsRows, Kernel
from headwater.processing.column_events import EventsSide, OneSideRoad
from headwater.processing.column_exchange import (
    HandOver,
    MovedSide,
    end_of,
    first_columns,
    gives_versions,
    hands_over,
    says_alone,
    takes_moved,
)
from headwater.processing.column_explode import ColumnExplode, explodes, exploding
from headwater.processing.column_fold import ColumnFold, foldable
from headwater.processing.column_intake import Folded
from headwater.processing.column_join_road import JoinRoad, joins
from headwater.processing.column_latest import ColumnLatest, settable
from headwater.processing.column_pairs import PairsRoad, pairable
from headwater.processing.column_pass import ColumnPass, passable
from headwater.processing.column_results import Changed, FoldEnd, Published, hands_on, sayable
from headwater.processing.column_sessions import ColumnSessions, gathered
from headwater.processing.compiler import Operation
from headwater.processing.lanes import Lane
from headwater.processing.operators.aggregate import Fold
from headwater.processing.operators.latest import Latest, LatestSpec
from headwater.processing.operators.publish import Publish, PublishSpec
from headwater.processing.operators.sessions import Sessions, SessionSpec
from headwater.processing.steps import Stage


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


class Way(NamedTuple):
    """A columnar road: which stages have it, and it for the task of a number of one of them."""

    of: Callable[[Stage], bool]
    road: Callable[[Stage, Chain, int], ColumnRoad]


def column_road(stage: Stage, chain: Chain, lane: int) -> ColumnRoad | None:
    """The columnar road of the task of this number of a stage, if it has one."""
    way = _way(stage)
    return None if way is None else way.road(stage, chain, lane)


def takes_columns(stage: Stage) -> bool:
    """Whether a stage has a columnar road for one of its inputs at least, rekey topics too."""
    return _passes(stage) or _way(stage) is not None


def reads_columns(stage: Stage) -> tuple[str, ...]:
    """The topics of products whose records a stage can take as columns; none where it has no columnar road."""
    if not takes_columns(stage):
        return ()
    return tuple(entry.topic for entry in stage.inputs if entry.product is not None)


def column_pass(stage: Stage) -> list[ColumnPass]:
    """What passes blocks through a stage that only maps and filters to each of its outputs; none where it cannot."""
    return [ColumnPass(output.logic) for output in stage.outputs] if _passes(stage) else []


def _passes(stage: Stage) -> bool:
    return not stage.ticks and all(passable(output.logic) for output in stage.outputs)


def _keeps(stage: Stage) -> bool:
    """Whether all that a stage does is one fold or state, of elements too, that columns can make, and publish or, of a
    fold, hand over or say to several outputs.
    """
    operations = stage.logic.operations[len(explodes(stage)) :]
    if not stage.ticks or len(operations) != 1 or not (takes_moved(stage) or gives_versions(stage)):
        return False
    [operation], output = operations, stage.output.logic
    if stage.output.kind == "exchange" or stage.further:
        ends = parts(operation, stage) if stage.further else hands_on(operation, output)
        return type(operation.spec) is FoldSpec and foldable(operation.spec) and ends
    return type(output) is PublishSpec and operation.picks and _published(operation, output)


def _published(operation: Operation, publish: PublishSpec) -> bool:
    """Whether columns can make this operation and publish all that it gives."""
    spec = operation.spec
    if type(spec) is LatestSpec:
        return settable(operation, publish)
    if type(spec) is SessionSpec:
        return gathered(spec.fold, publish)
    return type(spec) is FoldSpec and foldable(spec) and sayable(spec, publish)


def _keeping(stage: Stage, chain: Chain, lane: int) -> ColumnRoad:
    keeps, kernel, weighs = _kernel(stage, chain, lane)
    return _road(stage, chain, kernel, None if explodes(stage) else keeps, weighs=weighs)


def _road(
    stage: Stage, chain: Chain, kernel: Kernel, keeps: KeepsRows | None = None, *, weighs: bool = False
) -> ColumnRoad:
    """Of a stage whose inputs are of events or facts, or that takes moved rows: its explodes, and then the kernel; one
    that `weighs` rows comes first.
    """
    pairs = zip(explodes(stage), chain.operators, strict=False)
    made = [ColumnExplode(operation, operator) for operation, operator in pairs]
    kernel = exploding(made, kernel, of_changes=len(made) == len(chain.operators))
    if takes_moved(stage):
        return OneSideRoad(MovedSide(stage.inputs[0].topic, first_columns(stage), weighs=weighs), kernel)
    side = EventsSide(stage, [entry.topic for entry in stage.inputs], chain, weighs=weighs)
    return OneSideRoad(side, kernel, keeps)


def _kernel(stage: Stage, chain: Chain, lane: int) -> tuple[KeepsRows | None, Kernel, bool]:
    """What folds columns, and whether it only weighs rows; where it keeps rows, it by itself too."""
    operator, operation = chain.operators[-1], stage.logic.operations[-1]
    if isinstance(operator, Fold):
        fold = ColumnFold(operation, operator, _fold_end(stage, chain, lane))
        return None, fold.fold, fold.weighs
    assert isinstance(chain.publish, Publish)
    if isinstance(operator, Latest):
        latest = ColumnLatest(operation, operator, chain.publish, stage.tick)
        return latest, latest.fold, False
    assert isinstance(operator, Sessions)
    sessions = ColumnSessions(operation, operator, chain.publish, stage.output.logic, stage.tick)
    return sessions, sessions.fold, False


def _fold_end(stage: Stage, chain: Chain, lane: int) -> FoldEnd:
    """What becomes of what the last operation, a fold, gives."""
    operator, operation = chain.operators[-1], stage.logic.operations[-1]
    if stage.output.kind == "exchange":
        return Changed(operation, operator, HandOver(stage.output.logic, lane, stage.tick).changed)
    if stage.further:
        return Changed(operation, operator, ChangedBranches(stage, chain.branches))
    assert isinstance(chain.publish, Publish)
    return Published(operation, operator, chain.publish, stage.tick)


def _ending(stage: Stage, chain: Chain, lane: int) -> ColumnRoad:
    promised = not takes_moved(stage) and all(entry.logic.kept for entry in stage.inputs)
    return _road(stage, chain, end_of(stage, chain, lane, promised=promised))


_WAYS = (
    Way(pairable, PairsRoad),
    Way(joins, JoinRoad),
    Way(hands_over, _ending),
    Way(_keeps, _keeping),
    Way(says_alone, _ending),
)


def _way(stage: Stage) -> Way | None:
    return next((way for way in _WAYS if stage.ticks and way.of(stage)), None)
