"""`aggregate`: fold rows over a key and intervals of valid time; what comes is added, what goes is taken out again.

Per key and interval one cell is kept: the fields it is grouped by, the number of members, and the accumulators. Sums
and counts are un-folded by subtraction, exact on integers and decimals. Least and greatest, first and last, and how
many are different keep a multiset beside the cell, read in order only where what goes may have been the one; where
nothing ever goes only the last of these does. A cell
without members is gone; where what the fold gives is published as it is, the cell also counts the revisions, and then
it stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.errors import Fault
from headwater.processing.field_types import INTEGER, FieldType
from headwater.processing.graph import Measure
from headwater.processing.measures import Slot, custom_slot, result_function, row_order, slot_of
from headwater.processing.multisets import Moved, Multiset
from headwater.processing.operators.core import Change, Row
from headwater.processing.packing import RowForm, after, ordered_integer, pack, sized, unpack
from headwater.processing.state import Overlay, Table
from headwater.processing.windows import Window


@dataclass(frozen=True)
class FoldSpec:
    """A fold: columns and types of the rows it takes, what it groups and measures, the columns it gives.

    `order` are the columns that rows of one instant lie in order by, where a measure asks for the first or the last.
    `grows`: rows are only ever added, since they are made one by one of an input that is never corrected.
    """

    name: str
    columns: tuple[str, ...]
    types: tuple[FieldType, ...]
    by: tuple[str, ...]
    instant: str
    window: Window
    measures: tuple[tuple[str, Measure], ...]
    gives: tuple[str, ...]
    order: tuple[str, ...] = ()
    grows: bool = False


@dataclass(slots=True)
class _Cell:
    """A cell while a tick is folded into it: what it was (`known`), what it will be, and how its multisets moved."""

    place: bytes
    key: bytes
    start: int
    end: int | None
    known: Row | None
    values: list[Any]
    moved: dict[tuple[int, Any], int] | None


class Fold:
    """The cells of one partition. `numbered` ones hold the revision of what is published of them."""

    def __init__(self, spec: FoldSpec, overlay: Overlay, *, numbered: bool = False) -> None:
        columns = {name: index for index, name in enumerate(spec.columns)}
        self._instant = columns[spec.instant]
        self._interval = spec.window.intervals()
        self._step, self._further = spec.window.length, range(1, spec.window.hops)
        self._by = tuple(columns[name] for name in spec.by)
        self._members = len(self._by)
        self._slots: list[Slot] = []
        types = [spec.types[index] for index in self._by] + [INTEGER]
        order = row_order(self._instant, [(columns[name], spec.types[columns[name]]) for name in spec.order])
        for _, measure in spec.measures:
            field = None if measure.field is None else columns[measure.field]
            if measure.custom is not None:
                slot = custom_slot(measure.custom, [columns[name] for name in measure.fields], len(types))
            else:
                type_ = None if field is None else spec.types[field]
                slot = slot_of(measure.function, field, type_, len(types), order, grows=spec.grows)
            self._slots.append(slot)
            types.extend(slot.types)
        self._starting = [value for slot in self._slots for value in slot.starting]
        self._numbered = numbered
        if numbered:
            types.append(INTEGER)
            self._starting.append(0)
        self._updates = [slot.update for slot in self._slots if slot.update is not None]
        self._kept = [slot.kept for slot in self._slots if slot.kept is not None]
        self._result = result_function(spec.by, spec.measures, spec.gives, self._slots, len(types))
        form = RowForm(types)
        self.cells = Table(
            overlay,
            spec.name,
            lambda cell: pack(form.write(cell)),
            lambda body: form.read(unpack(body)),
            unpack_many=form.read_many,
        )
        self._values = Table(overlay, f"{spec.name}.values", pack, unpack, scanned=True)

    def tick(self, changes: Sequence[Change]) -> list[Change]:
        """Fold a tick's changes; the changes of the cells' results, in the order of first touch."""
        touched: dict[tuple[bytes, int], _Cell] = {}
        for key, before, now in changes:
            if before is not None:
                self._fold(touched, key, before, -1)
            if now is not None:
                self._fold(touched, key, now, 1)
        results: list[Change] = []
        for cell in touched.values():
            before, now = self._settle(cell)
            if before != now:
                results.append((cell.key, before, now))
        return results

    def number(self, key: bytes, valid_from: int) -> int:
        """The next revision of a cell's interval."""
        place = sized(key) + ordered_integer(valid_from)
        values = self.cells.get(place)
        revision: int = values[-1] + 1
        self.cells.put(place, (*values[:-1], revision))
        return revision

    def _fold(
        self, touched: dict[tuple[bytes, int], _Cell], key: bytes, row: Row, sign: int, instant: int | None = None
    ) -> None:
        at = row[self._instant] if instant is None else instant
        start, end = self._interval(at)
        if self._further and instant is None:
            for hop in self._further:  # the row counts in the intervals that follow its own, too
                self._fold(touched, key, row, sign, at + hop * self._step)
        cell = touched.get((key, start))
        if cell is None:
            place = sized(key) + ordered_integer(start)
            known = self.cells.get(place)
            values = list(known) if known else [*(row[index] for index in self._by), 0, *self._starting]
            cell = _Cell(place, key, start, end, known, values, {} if self._kept else None)
            touched[key, start] = cell
        values = cell.values
        values[self._members] += sign
        for update in self._updates:
            update(values, row, sign)
        if cell.moved is not None:
            for multiset in self._kept:
                entry = multiset.entry(row)
                if entry is not None:
                    moved = (multiset.position, entry)
                    cell.moved[moved] = cell.moved.get(moved, 0) + sign

    def _settle(self, cell: _Cell) -> tuple[Row | None, Row | None]:
        if cell.moved:
            for multiset in self._kept:
                self._move(cell, multiset)
        members = cell.values[self._members]
        if members < 0:
            raise Fault(
                "an interval has fewer members than none",
                code="HW-P040",
                detail="a change took out what was never put in: the input repeats or lost records",
            )
        now = tuple(cell.values) if members or self._numbered else None
        if now != cell.known:
            self.cells.put(cell.place, now)
        return self._given(cell, cell.known), self._given(cell, now)

    def _given(self, cell: _Cell, values: Row | None) -> Row | None:
        return self._result(values, cell.start, cell.end) if values and values[self._members] else None

    def _move(self, cell: _Cell, multiset: Multiset) -> None:
        """Bring a multiset up to date, and with it the slots that the cell holds of it."""
        prefix = cell.place + bytes([multiset.position])
        changed: list[Moved] = []
        assert cell.moved is not None
        for (position, entry), moved in cell.moved.items():
            if position != multiset.position or not moved:
                continue
            place = multiset.place(entry)
            known = self._values.get(prefix + place)
            was = known[1] if known else 0
            now = was + moved
            if now < 0:
                raise Fault("a value was taken out that was not in", code="HW-P041", detail="the input lost records")
            self._values.put(prefix + place, [multiset.write(entry), now] if now else None)
            changed.append(Moved(entry, place, was, now))

        def ends(greatest: bool) -> Iterator[tuple[bytes, Any]]:
            for where, (stored, _) in self._values.scan(prefix, after(prefix), reverse=greatest):
                yield where[len(prefix) :], stored

        if changed:
            multiset.settle(cell.values, changed, ends)
