"""What a fold keeps of a key and an interval: a cell of accumulators, and beside it what these alone cannot undo.

A cell holds the fields it is grouped by, the number of members, and the accumulators. Sums and counts are un-folded by
subtraction, exact on integers and decimals. Least and greatest, first and last, and how many are different keep a
multiset beside the cell, read in order only where what goes may have been the one; where nothing ever goes only the
last of these does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headwater.errors import Fault
from headwater.processing.field_types import INTEGER, FieldType
from headwater.processing.graph import Measure
from headwater.processing.measures import Slot, custom_slot, result_function, row_order, slot_of
from headwater.processing.multisets import Moved, Multiset
from headwater.processing.packing import Row, RowForm, after, pack, unpack
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
class Cell:
    """A cell while a tick is folded into it: what it was (`known`), what it will be, and how its multisets moved."""

    place: bytes
    key: bytes
    known: Row | None
    values: list[Any]
    moved: dict[tuple[int, Any], int] | None


class Cells:
    """The cells of one partition. Each ends with `tail` integers more, which mean what the operator says."""

    def __init__(self, spec: FoldSpec, overlay: Overlay, *, tail: int = 0, scanned: bool = False) -> None:
        columns = {name: index for index, name in enumerate(spec.columns)}
        self.instant = columns[spec.instant]
        self.members = len(spec.by)
        self._by = tuple(columns[name] for name in spec.by)
        slots: list[Slot] = []
        types = [spec.types[index] for index in self._by] + [INTEGER]
        order = row_order(self.instant, [(columns[name], spec.types[columns[name]]) for name in spec.order])
        for _, measure in spec.measures:
            field = None if measure.field is None else columns[measure.field]
            if measure.custom is not None:
                slot = custom_slot(measure.custom, [columns[name] for name in measure.fields], len(types))
            else:
                type_ = None if field is None else spec.types[field]
                slot = slot_of(measure.function, field, type_, len(types), order, grows=spec.grows)
            slots.append(slot)
            types.extend(slot.types)
        types.extend([INTEGER] * tail)
        self._starting = [value for slot in slots for value in slot.starting] + [0] * tail
        self._updates = [slot.update for slot in slots if slot.update is not None]
        self._kept = [slot.kept for slot in slots if slot.kept is not None]
        self._result = result_function(spec.by, spec.measures, spec.gives, slots, len(types))
        form = RowForm(types)
        self.table = Table(
            overlay,
            spec.name,
            lambda cell: pack(form.write(cell)),
            lambda body: form.read(unpack(body)),
            scanned=scanned,
            unpack_many=form.read_many,
        )
        self.values = Table(overlay, f"{spec.name}.values", pack, unpack, scanned=True)

    def cell(self, place: bytes, key: bytes, row: Row) -> Cell:
        """The cell at a place, a new one for rows like this if there is none."""
        known = self.table.get(place)
        if known:
            return self.opened(place, key, known)
        values = [*(row[index] for index in self._by), 0, *self._starting]
        return Cell(place, key, None, values, {} if self._kept else None)

    def opened(self, place: bytes, key: bytes, known: Row) -> Cell:
        """The cell with these values."""
        return Cell(place, key, known, list(known), {} if self._kept else None)

    def fold(self, cell: Cell, row: Row, sign: int) -> None:
        """Put a row in, or take it out."""
        values = cell.values
        values[self.members] += sign
        for update in self._updates:
            update(values, row, sign)
        if cell.moved is not None:
            for multiset in self._kept:
                entry = multiset.entry(row)
                if entry is not None:
                    moved = (multiset.position, entry)
                    cell.moved[moved] = cell.moved.get(moved, 0) + sign

    def settle(self, cell: Cell) -> None:
        """Bring a cell up to date with what its multisets became."""
        if cell.moved:
            for multiset in self._kept:
                self._move(cell, multiset)
        if cell.values[self.members] < 0:
            raise fewer_than_none()

    def given(self, values: Row | None, start: int, end: int | None) -> Row | None:
        """The row of a cell with these values and its interval; None where it has no members."""
        return self._result(values, start, end) if values and values[self.members] else None

    def _move(self, cell: Cell, multiset: Multiset) -> None:
        """Bring a multiset up to date, and with it the slots that the cell holds of it."""
        prefix = cell.place + bytes([multiset.position])
        changed: list[Moved] = []
        assert cell.moved is not None
        for (position, entry), moved in cell.moved.items():
            if position != multiset.position or not moved:
                continue
            place = multiset.place(entry)
            known = self.values.get(prefix + place)
            was = known[1] if known else 0
            now = was + moved
            if now < 0:
                raise Fault("a value was taken out that was not in", code="HW-P041", detail="the input lost records")
            self.values.put(prefix + place, [multiset.write(entry), now] if now else None)
            changed.append(Moved(entry, place, was, now))

        def ends(greatest: bool) -> Iterator[tuple[bytes, Any]]:
            for where, (stored, _) in self.values.scan(prefix, after(prefix), reverse=greatest):
                yield where[len(prefix) :], stored

        if changed:
            multiset.settle(cell.values, changed, ends)


def fewer_than_none() -> Fault:
    """What is said where more went than came."""
    return Fault(
        "an interval has fewer members than none",
        code="HW-P040",
        detail="a change took out what was never put in: the input repeats or lost records",
    )
