"""The columnar roads on both sides of a rekey topic: of a stage that hands rows over, and of one that takes them.

What an operator changes by rows is handed over in messages of its own.
`tests/simulation/test_column_exchange.py` holds both against the row road.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headwater.processing.blocks import Block, Part
from headwater.processing.chain import Chain
from headwater.processing.column_branches import ColumnBranches, publishable
from headwater.processing.column_changed import ChangedPart, ChangedRows, together
from headwater.processing.column_changes import NO_ROWS, NewRows
from headwater.processing.column_ends import Brought, ColumnPublish, Delta, Kernel
from headwater.processing.column_explode import explodes
from headwater.processing.column_intake import Ended, takes_versions
from headwater.processing.column_rekey import ColumnRekey, movable
from headwater.processing.lanes import Lane
from headwater.processing.operators.core import Change
from headwater.processing.operators.rekey import Moved, Rekey, RekeySpec
from headwater.processing.packing import RowForm
from headwater.processing.steps import Stage
from headwater.processing.work import ExchangeMessage
from headwater.schemas.unsure import Unsure


def hands_over(stage: Stage) -> bool:
    """Whether a stage does nothing but hand over its inputs' rows or their elements, of what columns can hold."""
    if not stage.ticks or stage.output.kind != "exchange" or len(explodes(stage)) < len(stage.logic.operations):
        return False
    return gives_versions(stage) and movable(stage.output.logic.types)


def says_alone(stage: Stage) -> bool:
    """Whether a stage only publishes what it is given: its inputs' rows, their elements, or rows of a rekey topic."""
    if not publishable(stage) or len(explodes(stage)) < len(stage.logic.operations):
        return False
    return takes_moved(stage) or gives_versions(stage)


def gives_versions(stage: Stage) -> bool:
    """Whether records of all inputs can wait as columns, as what comes first in the stage takes them."""
    taken = first_columns(stage)
    return all(takes_versions(entry.logic) and entry.logic.gives == taken for entry in stage.inputs)


def first_columns(stage: Stage) -> tuple[str, ...]:
    """The columns that what comes first in a stage takes: an operator, or the end where there is none."""
    operations = stage.logic.operations
    columns: tuple[str, ...] = (operations[0].spec if operations else stage.output.logic).columns
    return columns


def takes_moved(stage: Stage) -> bool:
    """Whether a stage takes one rekey topic, of rows that columns can hold."""
    entry = stage.inputs[0]
    return len(stage.inputs) == 1 and isinstance(entry.logic, RowForm) and movable(entry.logic.types)


def endable(stage: Stage, columns: Sequence[str]) -> bool:
    """Whether rows of these columns can be published or handed over as columns, as a stage does with them."""
    output = stage.output.logic
    if stage.output.kind == "exchange":
        return bool(output.columns == tuple(columns) and movable(output.types))
    return publishable(stage) and output.columns == tuple(columns)


def end_of(stage: Stage, chain: Chain, lane: int, *, promised: bool) -> Kernel:
    """What publishes or hands over; `promised` as `ColumnPublish` has it."""
    if stage.output.kind == "exchange":
        return HandOver(stage.output.logic, lane, stage.tick)
    if stage.further:
        return ColumnBranches(stage, chain.branches, promised=promised)
    assert chain.publish is not None
    return ColumnPublish(stage.output.logic, chain.publish, stage.tick, promised=promised)


class HandOver:
    """Rows to the messages that hand them over to the owners of another key."""

    def __init__(self, rekey: RekeySpec, lane: int, tick: int) -> None:
        self._spec = rekey
        self._columns, self._rows = ColumnRekey(rekey, lane), Rekey(rekey, lane)
        self._tick = tick

    def __call__(self, delta: Delta) -> Ended:
        """The messages that some ticks make."""
        rows = None
        if len(delta.new):
            try:
                rows = self._columns.new(delta.new)
            except Unsure:
                delta = delta.by_rows(self._spec.columns)
        return Ended(messages=self._messages(rows, delta.changes))

    def changed(self, rows: ChangedRows | None, changes: Mapping[int, Sequence[Change]]) -> Ended:
        """The same of changes as columns, some of them or none, and beside them others."""
        moved = None
        if rows is not None and len(rows):
            try:
                moved = self._columns.rows(rows)
            except Unsure:
                changes = together(rows.by_tick(), changes)
        return Ended(messages=self._messages(moved, changes))

    def _messages(self, rows: ChangedRows | None, changes: Mapping[int, Sequence[Change]]) -> list[ExchangeMessage]:
        """In the order of the lane: what goes by rows in a tick comes after its columns, before later ticks."""
        messages: list[ExchangeMessage] = []
        start, size = 0, 0 if rows is None else len(rows)
        for tick, some in sorted(changes.items()):
            number = 0
            if rows is not None:
                first, end = np.searchsorted(rows.ticks, [tick, tick + 1]).tolist()
                messages += self._many(rows, start, end)
                number, start = int(rows.numbers[end - 1]) + 1 if first < end else 0, end
            messages += self._sent(self._rows.tick(some, tick, number), tick)
        return messages + self._many(rows, start, size)

    def _many(self, rows: ChangedRows | None, start: int, end: int) -> list[ExchangeMessage]:
        if rows is None or start == end:
            return []
        return self._sent(self._columns.messages(rows.slice(start, end)), int(rows.ticks[end - 1]))

    def _sent(self, messages: Iterable[Moved], tick: int) -> list[ExchangeMessage]:
        timestamp = ((tick + 1) * self._tick - 1) // 1_000
        return [ExchangeMessage(one.partition, one.key, one.value, timestamp, rows=one.rows) for one in messages]


class MovedSide:
    """What another stage has handed over, in as many lanes as that has tasks; `names` are its columns.

    With `weighs` it says which rows go; else what is not only a row that comes goes by rows.
    """

    def __init__(self, topic: str, names: Sequence[str], *, weighs: bool = False) -> None:
        self._topic = topic
        self._names = names
        self._weighs = weighs

    def take(self, topic: str, lane: Lane, closed: int, block: Block) -> bool:
        """No record of a product comes here."""
        return False

    def rows(self, topic: str, items: Sequence[Any]) -> list[Change]:
        """What waits for a tick, as the row road has it."""
        return [change for item in items for change in (item.changes() if type(item) is ChangedPart else (item,))]

    def remember(self, topic: str, parts: Sequence[Part], kept: Callable[[Delta], None]) -> None:
        """Nothing of a rekey topic is remembered by itself."""
        raise Unsure

    def whole(self, lanes: Mapping[str, Sequence[Lane]], tick: int) -> bool:
        """What waits here may wait either way."""
        return True

    def columnar(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> int:
        """How many rows of these ticks wait as columns."""
        items = (item for lane in lanes[self._topic] for tick in ticks for item in lane.waiting.get(tick, (0, ()))[1])
        return sum(item.end - item.start for item in items if type(item) is ChangedPart)

    def brought(self, lanes: Mapping[str, Sequence[Lane]], ticks: Sequence[int]) -> Brought:
        """What these ticks bring."""
        parts: list[ChangedPart] = []
        changes: dict[int, list[Change]] = {}
        some = lanes[self._topic]
        for lane in some:
            for tick in ticks:
                for item in lane.waiting.get(tick, (0, ()))[1]:
                    if type(item) is ChangedPart:
                        parts.append(item)
                    else:
                        changes.setdefault(tick, []).append(item)

        def taken() -> None:
            for lane in some:
                for tick in ticks:
                    lane.waiting.pop(tick, None)

        pieces = [part.own() for part in _joined(parts)]
        new, gone = self._apart(pieces, changes)
        delta = Delta(self._new(new), {tick: changes[tick] for tick in sorted(changes)}, self._new(gone))
        records = sum(piece.count for piece in (pieces if self._weighs else new))
        return Brought(delta, records, {"folded": sum(map(len, changes.values()))}, taken)

    def _apart(
        self, pieces: Sequence[ChangedRows], changes: dict[int, list[Change]]
    ) -> tuple[list[ChangedRows], list[ChangedRows]]:
        """The rows that come and those that go; where nobody weighs them, all that is said of one that goes is added to
        the changes.
        """
        if self._weighs:
            return [piece.coming() for piece in pieces], [piece.going() for piece in pieces if piece.goes is not None]
        new = []
        for piece in pieces:
            alone, others = piece.apart()
            new.append(alone)
            for tick, some in others.by_tick().items():
                changes.setdefault(tick, []).extend(some)
        return new, []

    def _new(self, pieces: Sequence[ChangedRows]) -> NewRows:
        """The rows of all lanes, oldest tick first."""
        if not pieces:
            return NO_ROWS
        ticks = np.concatenate([piece.ticks for piece in pieces])
        which = np.argsort(ticks, kind="stable")
        order = pa.array(which)
        columns = zip(*(piece.columns for piece in pieces), strict=True)
        return NewRows(
            ticks[which],
            _whole([piece.keys for piece in pieces]).take(order),
            {name: _whole(column).take(order) for name, column in zip(self._names, columns, strict=True)},
        )


def _whole(pieces: Sequence[Any]) -> Any:
    return pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces)


def _joined(parts: Sequence[ChangedPart]) -> Iterator[ChangedPart]:
    """Parts of one message that follow each other as one."""
    at: ChangedPart | None = None
    for part in parts:
        if at is not None and part.rows is at.rows and part.start == at.end:
            at = at._replace(end=part.end)
            continue
        if at is not None:
            yield at
        at = part
    if at is not None:
        yield at
