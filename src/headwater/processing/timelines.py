"""What holds of each key, as disjoint pieces of valid time: a table of pieces, and the short ones kept unpacked.

What is kept unpacked follows each change, so that it reads as the table does, over commits too: a task has the only
hand on its state. A key with many pieces is never kept: it is read where it is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any

from headwater.processing.packing import after, ordered_integer, sized
from headwater.processing.state import Table

Row = tuple[Any, ...]
Piece = tuple[int, int, Row]
"""From when, until when, and what holds."""

SHORT = 4_096  # pieces of a key that is kept unpacked
KEPT_LIMIT = 50_000  # pieces and keys in all, some two hundred bytes each


class Timelines:
    """The timelines of one partition; the table holds for a key and a beginning the end and the row."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._kept: dict[bytes, list[Piece]] = {}
        self._long: set[bytes] = set()
        self._size = 0

    def at(self, key: bytes, instant: int) -> Row | None:
        """What holds of a key at an instant."""
        pieces = self._kept.get(key)
        if pieces is not None:
            place = bisect_left(pieces, (instant + 1,)) - 1
            return pieces[place][2] if place >= 0 and instant < pieces[place][1] else None
        prefix = sized(key)
        for _, (end, row) in self._table.scan(prefix, prefix + ordered_integer(instant + 1), reverse=True):
            return row if instant < end else None
        return None

    def load(self, keys: Iterable[bytes]) -> None:
        """Keep those of these keys unpacked that are short, read in one walk."""
        missing = sorted({key for key in keys if key not in self._kept and key not in self._long}, key=sized)
        if not missing:
            return
        if self._size + len(missing) > KEPT_LIMIT:
            self._kept.clear()
            self._size = 0
        found: list[list[Piece]] = [[] for _ in missing]
        prefixes = [sized(key) for key in missing]
        for number, place, (end, row) in self._table.scan_many([(prefix, after(prefix)) for prefix in prefixes]):
            found[number].append((int.from_bytes(place[-8:], "big") - 0x8000000000000000, end, row))
        for key, pieces in zip(missing, found, strict=True):
            if len(pieces) <= SHORT:
                self._kept[key] = pieces
                self._size += 1 + len(pieces)
            else:
                self._long.add(key)

    def pieces(self, keys: Sequence[bytes]) -> list[Sequence[Piece] | None]:
        """The pieces of each key in their order; None where they are too many to be kept."""
        self.load(keys)
        return [self._kept.get(key) for key in keys]

    def override(self, key: bytes, valid_from: int, valid_to: int, row: Row | None) -> None:
        """A row (None: nothing) speaks for its whole interval; of what was there the pieces left and right stay."""
        pieces = self._kept.get(key)
        if pieces is None:
            self._override_scanned(key, valid_from, valid_to, row)
            return
        prefix, put = sized(key), self._table.put
        first, last = bisect_left(pieces, (valid_from,)), bisect_left(pieces, (valid_to,))
        if first and pieces[first - 1][1] > valid_from:
            first -= 1
        made: list[Piece] = []
        for start, end, held in pieces[first:last]:
            if start < valid_from:
                made.append((start, valid_from, held))
                put(prefix + ordered_integer(start), (valid_from, held))
            else:
                put(prefix + ordered_integer(start), None)
            if end > valid_to:
                made.append((valid_to, end, held))
                put(prefix + ordered_integer(valid_to), (end, held))
        if row is not None:
            made.insert(1 if made and made[0][0] < valid_from else 0, (valid_from, valid_to, row))
            put(prefix + ordered_integer(valid_from), (valid_to, row))
        pieces[first:last] = made
        self._size += len(made) - (last - first)
        if len(pieces) > SHORT:
            self._size -= 1 + len(self._kept.pop(key))
            self._long.add(key)

    def _override_scanned(self, key: bytes, valid_from: int, valid_to: int, row: Row | None) -> None:
        prefix, table = sized(key), self._table
        start, end = prefix + ordered_integer(valid_from), prefix + ordered_integer(valid_to)
        for place, (piece_end, held) in table.scan(prefix, start, reverse=True):
            if piece_end > valid_from:
                table.put(place, (valid_from, held))
                if piece_end > valid_to:
                    table.put(end, (piece_end, held))
            break
        for place, (piece_end, held) in list(table.scan(start, end)):
            table.put(place, None)
            if piece_end > valid_to:
                table.put(end, (piece_end, held))
        if row is not None:
            table.put(start, (valid_to, row))
