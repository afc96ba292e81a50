"""The columnar road of a task: which stages have one, and which; what such a road is asked for.

The row road is the rule and the way back: what this one is not sure of, be it a block of records or a run of ticks,
is turned into rows again and goes the same way as ever. So a task may take either for each batch, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from headwater.processing.blocks import Block, Part
from headwater.processing.chain import Chain
from headwater.processing.column_ends import KeepsRows, Kernel
from headwater.processing.column_events import EventsSide, OneSideRoad
from headwater.processing.column_exchange import (
    MovedSide,
    end_of,
    first_columns,
    gives_versions,
    hands_over,
    says_alone,
    takes_moved,
)
from headwater.processing.column_explode import ColumnExplode, explodes, exploding
from headwater.processing.column_intake import Folded
from headwater.processing.column_join_road import JoinRoad, joins
from headwater.processing.column_keeping import keeping, keeps
from headwater.processing.column_pass import ColumnPass, passable
from headwater.processing.lanes import Lane
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
    """Whether all that a stage does is one fold or state, of elements too, that columns can make, and what becomes of
    it.
    """
    operations = stage.logic.operations[len(explodes(stage)) :]
    return len(operations) == 1 and (takes_moved(stage) or gives_versions(stage)) and keeps(stage, operations[0])


def _keeping(stage: Stage, chain: Chain, lane: int) -> ColumnRoad:
    made = keeping(stage, chain, lane)
    return _road(stage, chain, made.fold, None if explodes(stage) else made.rows, weighs=made.weighs)


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


def _ending(stage: Stage, chain: Chain, lane: int) -> ColumnRoad:
    promised = not takes_moved(stage) and all(entry.logic.kept for entry in stage.inputs)
    return _road(stage, chain, end_of(stage, chain, lane, promised=promised))


_WAYS = (
    Way(joins, JoinRoad),
    Way(hands_over, _ending),
    Way(_keeps, _keeping),
    Way(says_alone, _ending),
)


def _way(stage: Stage) -> Way | None:
    return next((way for way in _WAYS if stage.ticks and way.of(stage)), None)
