"""`aggregate` over sessions: a fold over runs of a key's rows with less than a gap from each to the next.

Rows are kept by key and instant, those that are alike as one with their number, and of each session a cell, as of any
fold. A cell lies at an instant within its session, its anchor: sessions of a key are disjoint, so that anchors are in
the order of sessions, and all that a row concerns is the session before it, the one behind it, and the rows next to
it. Of each key the last session's anchor is kept: what comes behind that, as most events do, needs no search.
A session that grows keeps its cell. Where two merge, or one parts, rows move: they are taken out of one cell and
put into another, as each measure knows how to.

What a tick brings is taken in the order of instants, whichever way it came: so what is kept follows from what each
tick says alone. What is published of a session that is no more is taken back in the tick that says what took its place.
`column_sessions` does the same over columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from headwater.processing.cells import Cell, Cells, FoldSpec, fewer_than_none
from headwater.processing.operators.core import Change, Row
from headwater.processing.packing import RowForm, after, one_form, ordered_integer, pack, pack_integer, sized, unpack
from headwater.processing.state import Overlay, Table

_FIRST, _LAST = -2, -1  # in a cell, behind its accumulators: the instants of the session's first and last rows


@dataclass(frozen=True)
class SessionSpec:
    """A fold over sessions; the window of `fold` says the gap."""

    fold: FoldSpec

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the rows it takes."""
        return self.fold.columns


class _Alike(NamedTuple):
    """Rows of one key and instant that are alike in all that is kept of them."""

    key: bytes
    instant: int
    body: bytes


class Sessions:
    """The sessions of one partition."""

    def __init__(self, spec: SessionSpec, overlay: Overlay, rows: Overlay | None = None) -> None:
        """Rows are kept in `rows`, where that is another."""
        fold = spec.fold
        self._gap = fold.window.gap
        self._cells = Cells(fold, overlay, tail=2, scanned=True)
        self._form, self._same = RowForm(fold.types), one_form(fold.types)
        self.cells = self._cells.table
        self.rows = Table(overlay if rows is None else rows, f"{fold.name}.rows", pack_integer, int, scanned=True)
        # By key, the anchor of its last session.
        self.newest = Table(overlay, f"{fold.name}.newest", pack_integer, int)
        # The cells that the tick at hand changes, by their places.
        self._touched: dict[bytes, Cell] = {}

    def tick(self, changes: Sequence[Change]) -> list[Change]:
        """The changes of sessions that a tick's changes make, whatever the order of those."""
        self._touched = {}
        self.newest.get_many(list({key: None for key, _, _ in changes}))  # in one step; each is then at hand
        moved = sorted(self._moved(changes).items())
        # What comes is put in before what goes is taken out: a row that is corrected neither parts its session nor
        # makes one of two for a moment.
        for alike, number in moved:
            if number > 0:
                self._come(alike, number)
        for alike, number in moved:
            if number < 0:
                self._go(alike, -number)
        return self._said()

    def remember(self, changes: Sequence[Change], versions: Sequence[Any]) -> None:
        """Keep the rows that `tick` would of these, without folding them."""
        for alike, number in self._moved(changes).items():
            if number:
                self._count(alike, number)

    def _moved(self, changes: Sequence[Change]) -> dict[_Alike, int]:
        """How many more rows of each kind there are by a tick's changes."""
        moved: dict[_Alike, int] = {}
        for key, before, now in changes:
            for row, sign in ((before, -1), (now, 1)):
                if row is not None:
                    alike = _Alike(key, row[self._cells.instant], pack(self._form.write(self._same(row))))
                    moved[alike] = moved.get(alike, 0) + sign
        return moved

    def _come(self, alike: _Alike, number: int) -> None:
        self._count(alike, number)
        row = self._row(alike.body)
        cell = self._joined(alike, row)
        for _ in range(number):
            self._cells.fold(cell, row, 1)

    def _joined(self, alike: _Alike, row: Row) -> Cell:
        """The session of a row that comes: extended, merged of two, or begun."""
        key, at = alike.key, alike.instant
        left, right = self._left(key, at), self._right(key, at)
        behind = right if right is not None and right.values[_FIRST] - at < self._gap else None
        if left is not None and at - left.values[_LAST] < self._gap:
            last = max(left.values[_LAST], at)
            if behind is not None:
                last = behind.values[_LAST]
                self._move(behind, left, behind.values[_FIRST], last)
                self._end(behind)
            return self._reach(left, left.values[_FIRST], last)
        if behind is not None:
            return self._reach(behind, min(behind.values[_FIRST], at), behind.values[_LAST])
        return self._begin(key, row, at, at)

    def _go(self, alike: _Alike, number: int) -> None:
        self._count(alike, -number)
        cell, row = self._around(alike.key, alike.instant), self._row(alike.body)
        for _ in range(number):
            self._cells.fold(cell, row, -1)
        if next(self._between(alike.key, alike.instant, alike.instant), None) is None:
            self._part(cell, alike.instant)

    def _part(self, cell: Cell, at: int) -> None:
        """What is left of a session that has no row at an instant any more: less of it, two sessions, or none."""
        key, first, last = cell.key, cell.values[_FIRST], cell.values[_LAST]
        before = next((instant for instant, _, _ in self._between(key, first, at - 1, reverse=True)), None)
        behind = next((instant for instant, _, _ in self._between(key, at + 1, last)), None)
        if before is not None and behind is not None and behind - before < self._gap:
            return
        parts = [(first, before)] if before is not None else []
        parts += [(behind, last)] if behind is not None else []
        kept = next((part for part in parts if _at(key, part[0]) <= cell.place <= _at(key, part[1])), None)
        for start, end in parts:
            if (start, end) != kept:
                _, row, _ = next(self._between(key, start, end))
                self._move(cell, self._begin(key, row, start, end), start, end)
        if kept is None:
            self._end(cell)
        else:
            self._reach(cell, *kept)

    def _said(self) -> list[Change]:
        """What changed of the sessions that the tick touched, by their intervals."""
        said: dict[tuple[bytes, int, int], list[Row | None]] = {}
        for cell in self._touched.values():
            self._cells.settle(cell)
            now = tuple(cell.values) if cell.values[self._cells.members] else None
            if now != self.cells.get(cell.place):
                self.cells.put(cell.place, now)
            for side, values in enumerate((cell.known, now)):
                if values is not None:
                    start, end = values[_FIRST], values[_LAST] + self._gap
                    sides = said.setdefault((cell.key, start, end), [None, None])
                    sides[side] = self._cells.given(values, start, end)
        return [(key, before, now) for (key, _, _), (before, now) in said.items() if before != now]

    def _count(self, alike: _Alike, more: int) -> None:
        place = _at(alike.key, alike.instant) + alike.body
        number = (self.rows.get(place) or 0) + more
        if number < 0:
            raise fewer_than_none()
        self.rows.put(place, number or None)

    def _row(self, body: bytes) -> Row:
        row = self._form.read(unpack(body))
        assert row is not None
        return row

    def _between(self, key: bytes, first: int, last: int, *, reverse: bool = False) -> Iterator[tuple[int, Row, int]]:
        """The rows of a key from an instant to another, both included: their instants, and how many are alike."""
        start = len(sized(key))
        for place, number in self.rows.scan(_at(key, first), _at(key, last + 1), reverse=reverse):
            yield _instant(place[start : start + 8]), self._row(place[start + 8 :]), number

    def _left(self, key: bytes, at: int) -> Cell | None:
        """The last session whose anchor is not behind an instant."""
        newest = self.newest.get(key)
        if newest is None:
            return None
        if newest <= at:
            place = _at(key, newest)
            values = self.cells.get(place)
            assert values is not None, "the last session of a key is there"
            return self._opened(key, place, values)
        return self._next(key, sized(key), _at(key, at + 1), reverse=True)

    def _right(self, key: bytes, at: int) -> Cell | None:
        """The first session whose anchor is behind an instant; it may begin before that."""
        newest = self.newest.get(key)
        if newest is None or newest <= at:
            return None
        return self._next(key, _at(key, at + 1), after(sized(key)), reverse=False)

    def _next(self, key: bytes, start: bytes, end: bytes, *, reverse: bool) -> Cell | None:
        for place, values in self.cells.scan(start, end, reverse=reverse):
            return self._opened(key, place, values)
        return None

    def _opened(self, key: bytes, place: bytes, values: Row) -> Cell:
        return self._touched.get(place) or self._cells.opened(place, key, values)

    def _around(self, key: bytes, at: int) -> Cell:
        """The session that an instant with a row lies in."""
        cell = self._left(key, at)
        if cell is None or at > cell.values[_LAST]:
            cell = self._right(key, at)
        assert cell is not None and cell.values[_FIRST] <= at <= cell.values[_LAST], "a row lies in a session"
        self._touched[cell.place] = cell
        return cell

    def _begin(self, key: bytes, row: Row, first: int, last: int) -> Cell:
        """A session for rows like this; at its first instant there was none, or one that has ended."""
        place = _at(key, first)
        cell = self._touched.get(place) or self._cells.cell(place, key, row)
        assert not cell.values[self._cells.members], "a session has an anchor of its own"
        newest = self.newest.get(key)
        if newest is None or newest < first:
            self.newest.put(key, first)
        return self._reach(cell, first, last)

    def _reach(self, cell: Cell, first: int, last: int) -> Cell:
        """A session is from here to there now; seen at once by what is asked next in the same tick."""
        cell.values[_FIRST], cell.values[_LAST] = first, last
        self._touched[cell.place] = cell
        self.cells.put(cell.place, tuple(cell.values))
        return cell

    def _end(self, cell: Cell) -> None:
        """A session is no more."""
        self._touched[cell.place] = cell
        self.cells.put(cell.place, None)
        start = sized(cell.key)
        if cell.place == _at(cell.key, self.newest.get(cell.key)):
            last = next(self.cells.scan(start, after(start), reverse=True), None)
            self.newest.put(cell.key, None if last is None else _instant(last[0][len(start) :]))

    def _move(self, source: Cell, target: Cell, first: int, last: int) -> None:
        """Rows from an instant to another belong to another session from here on."""
        for _, row, number in list(self._between(source.key, first, last)):
            for _ in range(number):
                self._cells.fold(source, row, -1)
                self._cells.fold(target, row, 1)


def _at(key: bytes, instant: int) -> bytes:
    return sized(key) + ordered_integer(instant)


def _instant(ordered: bytes) -> int:
    return int.from_bytes(ordered, "big") - 0x8000000000000000
