"""`aggregate`: fold rows over a key and intervals of valid time; what comes is added, what goes is taken out again.

Intervals here are a window's, and lie side by side whatever the rows are; those of `sessions` follow from the rows. Per
key and interval one cell is kept. A cell without members is gone; where what the fold gives is published as it is, the
cell also counts the revisions, and then it stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from headwater.processing.cells import Cell, Cells, FoldSpec
from headwater.processing.operators.core import Change, Row
from headwater.processing.packing import ordered_integer, sized
from headwater.processing.state import Overlay


class Fold:
    """The cells of one partition. `numbered` ones hold the revision of what is published of them."""

    def __init__(self, spec: FoldSpec, overlay: Overlay, *, numbered: bool = False) -> None:
        self._interval = spec.window.intervals()
        self._step, self._further = spec.window.length, range(1, spec.window.hops)
        self._numbered = numbered
        self._cells = Cells(spec, overlay, tail=1 if numbered else 0)
        self._instant = self._cells.instant
        self.cells, self.values = self._cells.table, self._cells.values

    def tick(self, changes: Sequence[Change]) -> list[Change]:
        """Fold a tick's changes; the changes of the cells' results, in the order of first touch."""
        touched: dict[tuple[bytes, int], tuple[Cell, int | None]] = {}
        for key, before, now in changes:
            if before is not None:
                self._fold(touched, key, before, -1)
            if now is not None:
                self._fold(touched, key, now, 1)
        results: list[Change] = []
        for (key, start), (cell, end) in touched.items():
            before, now = self._settle(cell, start, end)
            if before != now:
                results.append((key, before, now))
        return results

    def number(self, key: bytes, valid_from: int) -> int:
        """The next revision of a cell's interval."""
        place = sized(key) + ordered_integer(valid_from)
        values = self.cells.get(place)
        revision: int = values[-1] + 1
        self.cells.put(place, (*values[:-1], revision))
        return revision

    def _fold(
        self,
        touched: dict[tuple[bytes, int], tuple[Cell, int | None]],
        key: bytes,
        row: Row,
        sign: int,
        instant: int | None = None,
    ) -> None:
        at = row[self._instant] if instant is None else instant
        start, end = self._interval(at)
        if self._further and instant is None:
            for hop in self._further:  # the row counts in the intervals that follow its own, too
                self._fold(touched, key, row, sign, at + hop * self._step)
        found = touched.get((key, start))
        if found is None:
            found = self._cells.cell(sized(key) + ordered_integer(start), key, row), end
            touched[key, start] = found
        self._cells.fold(found[0], row, sign)

    def _settle(self, cell: Cell, start: int, end: int | None) -> tuple[Row | None, Row | None]:
        self._cells.settle(cell)
        now = tuple(cell.values) if cell.values[self._cells.members] or self._numbered else None
        if now != cell.known:
            self.cells.put(cell.place, now)
        return self._cells.given(cell.known, start, end), self._cells.given(now, start, end)
