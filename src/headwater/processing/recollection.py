"""What a stage remembers of one input, made again from its records: versions, facts of joins, rows that are kept.

Runs the operators that keep it, over the same tables and by either road, up to the last tick that the state has closed;
nothing is folded, joined or said. `tests/simulation/test_recall.py` holds it against what was kept along the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from headwater.errors import Misfit
from headwater.ports.record import Fetched
from headwater.ports.serde import RecordReader
from headwater.processing.chain import Chain
from headwater.processing.engine import closed_table, intake_of
from headwater.processing.lanes import NEVER, Lane
from headwater.processing.operators.changes import ChangesSpec
from headwater.processing.operators.join_as_of import FactsSpec
from headwater.processing.recalled_logic import rows_recalled
from headwater.processing.state import Change, Overlay, StateStore
from headwater.processing.steps import Stage
from headwater.schemas.unsure import Unsure

if TYPE_CHECKING:
    from headwater.processing.blocks import Block, Part

LEAST_ROWS = 32  # as columns; below, the row road costs less


class Recollection:
    """One input of one partition, over a store in which all else is up to date. One thread uses it."""

    def __init__(self, stage: Stage, topic: str, partition: int, store: StateStore, reader: RecordReader) -> None:
        self._stage, self._topic, self._reader = stage, topic, reader
        self._partition = partition
        self._overlay = Overlay(store)
        closed = closed_table(Overlay(store)).get(b"")
        self.closed: int = NEVER if closed is None else closed
        self._chain = Chain(stage, self._overlay, partition)
        self._intake = intake_of(self._logic)
        # Whether its changes are rows that the first operation keeps.
        self._keeps_rows = rows_recalled(stage.inputs, [one.spec for one in stage.logic.operations])
        self._columns: Any = None
        self._asked_columns = False

    @property
    def _logic(self) -> Any:
        return next(entry.logic for entry in self._stage.inputs if entry.topic == self._topic)

    @property
    def nothing(self) -> bool:
        """Whether no tick is closed, so that nothing can be remembered."""
        return self.closed == NEVER

    def take(self, fetched: Fetched) -> int | None:
        """Remember messages that follow each other; the offset of the first one that no closed tick holds, if any.

        What is refused now was refused before: it leaves nothing behind.
        """
        if len(fetched) >= LEAST_ROWS:
            try:
                return self._take_columns(fetched)
            except Unsure:
                pass
        waiting: list[tuple[int, Any]] = []
        beyond = None
        for message in fetched.messages():
            try:
                record = self._reader.read(message.value)
                tick = record["recorded_at"] // self._stage.tick
                if tick > self.closed:
                    beyond = message.offset
                    break
                waiting.append((tick, self._intake(message.key or b"", record)))
            except Misfit:
                continue
        for _, versions in groupby(waiting, lambda one: one[0]):
            self._remember([version for _, version in versions])
        return beyond

    def changes(self) -> list[Change]:
        """All that it has remembered since it was last asked, for the store; to be written before more is taken."""
        changes = self._overlay.changes()
        self._overlay.committed()
        return changes

    def _remember(self, versions: Sequence[Any]) -> None:
        """The versions of one tick."""
        if not isinstance(self._logic, ChangesSpec):
            self._chain.joined_to(self._topic).remember([], versions)
            return
        changes, _ = self._chain.changes[self._topic].tick(list(versions))
        if self._keeps_rows:
            self._chain.operators[0].remember(changes, [])

    def _take_columns(self, fetched: Fetched) -> int | None:
        """The same as columns; raises `Unsure`, with nothing remembered, where the row road must look."""
        from headwater.processing.blocks import Block

        road = self._road()
        if road is None:
            raise Unsure
        block = Block.of(fetched.offsets, fetched.keys, self._reader.columns(fetched.values))
        ticks = block.integers("recorded_at") // self._stage.tick
        inside = int((ticks <= self.closed).sum())
        beyond = fetched.offsets[inside] if inside < len(fetched) else None
        if inside:
            self._take_block(road, block.slice(0, inside))
        return beyond

    def _take_block(self, road: Any, block: Block) -> None:
        lane = Lane(self._topic)
        if not road.take(self._topic, lane, NEVER, block):
            raise Unsure
        ticks: Iterable[list[Any]] = [items for _, items in lane.waiting.values()]
        if isinstance(self._logic, FactsSpec):
            for versions in ticks:
                self._remember(versions)
            return
        parts: list[Part] = [part for items in ticks for part in items]
        road.remember(self._topic, parts)

    def _road(self) -> Any:
        """The columnar road of this stage, if it has one; looked for where it is first asked for."""
        if not self._asked_columns:
            from headwater.processing.column_events import VersionsRoad
            from headwater.processing.column_intake import takes_versions
            from headwater.processing.columns import column_road

            self._columns, self._asked_columns = column_road(self._stage, self._chain, self._partition), True
            if self._columns is None and not self._keeps_rows and takes_versions(self._logic):
                self._columns = VersionsRoad(self._stage, self._topic, self._chain)
        return self._columns
