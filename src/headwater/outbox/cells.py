"""The cells of many inserts of one table at once: where each begins and ends, found column by column.

All messages are laid end to end; the place of a column follows from the one before it, for all rows in one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headwater.outbox.pgoutput import BODY, Relation

_FIRST = BODY + 8  # behind the tag, the relation, `N` and the number of columns
_TEXT = b"t"[0]
_WORD = 8  # bytes that are compared at once
_AT_MOST = 64  # bytes of texts that are worth taking as a table where they are of one length


class Cells:
    """The cells of inserts. A place is an index into `bytes`; a null has the length -1."""

    def __init__(self, messages: Sequence[bytes], relation: Relation, wanted: Sequence[str]) -> None:
        self.rows = len(messages)
        # Some bytes at the end, so that a length can be read at every place, behind the last null too.
        self.bytes = b"".join([*messages, bytes(_WORD)])
        self._view = np.frombuffer(self.bytes, np.uint8)
        lengths = np.ndarray((len(self.bytes) - 3,), ">u4", self.bytes, 0, (1,))  # of a text, wherever it may stand
        self._words = np.ndarray((len(self.bytes) - _WORD + 1,), "<u8", self.bytes, 0, (1,))
        sizes = np.fromiter(map(len, messages), np.int64, self.rows)
        place = np.cumsum(sizes) - sizes + _FIRST
        self._starts: dict[str, Any] = {}
        self._lengths: dict[str, Any] = {}
        needed = set(wanted)
        for name in relation.columns:
            if needed <= self._starts.keys():
                break
            is_text = self._view[place] == _TEXT
            if is_text.all():
                length, start = lengths[place + 1].astype(np.int64), place + 5
                place = start + length
            elif not is_text.any():
                length, start = np.full(self.rows, -1), place
                place = place + 1
            else:
                length = np.where(is_text, lengths[place + 1], 0xFFFFFFFF).astype(np.int64)
                length[~is_text] = -1
                start = place + np.where(is_text, 5, 0)
                place = start + np.where(is_text, length, 1)
            self._starts[name], self._lengths[name] = start, length
        for name in needed - self._starts.keys():  # the table lacks it: null in every row
            self._starts[name], self._lengths[name] = place, np.full(self.rows, -1)

    def there(self, name: str) -> Any:
        """Where a column is not null."""
        return self._lengths[name] >= 0

    def equal(self, name: str, text: bytes) -> Any:
        """Where a column is exactly this text."""
        same = self._lengths[name] == len(text)
        if not len(text) or not same.any():
            return same
        rows = np.flatnonzero(same)
        first = self._starts[name][rows]
        if len(text) < _WORD:
            wanted = np.uint64(int.from_bytes(text, "little"))
            same[rows] = self._words[first] & np.uint64((1 << 8 * len(text)) - 1) == wanted
            return same
        found = np.ones(len(rows), bool)
        for place in (*range(0, len(text) - _WORD, _WORD), len(text) - _WORD):  # the last may cover some again
            wanted = np.uint64(int.from_bytes(text[place : place + _WORD], "little"))
            found &= self._words[first + place] == wanted
        same[rows] = found
        return same

    def texts(self, name: str, rows: Any, instead: str = "") -> list[bytes]:
        """A column's texts in these rows, where it is not null; of a null or empty one that of the column `instead`."""
        start, length = self._starts[name][rows], self._lengths[name][rows]
        if instead and not (length > 0).all():
            lacking = length <= 0
            start = np.where(lacking, self._starts[instead][rows], start)
            length = np.where(lacking, self._lengths[instead][rows], length)
        if len(rows) and 0 < length[0] < _AT_MOST and (length == length[0]).all():
            table = _alike(self._view, start, int(length[0]))
            if table[:, -1].all():  # NumPy drops noughts at the end, and there are none in text
                texts: list[bytes] = table.view(f"S{length[0]}").ravel().tolist()
                return texts
        data = self.bytes
        return [data[at:end] for at, end in zip(start.tolist(), (start + length).tolist(), strict=True)]

    def numbers(self, name: str) -> tuple[Any, Any]:
        """A column of plain digits as numbers, and where it is one: no sign, no space, at most 18 digits."""
        start, length = self._starts[name], self._lengths[name]
        good = (length >= 1) & (length <= 18)
        values = np.zeros(self.rows, np.int64)
        for place in range(int(length[good].max()) if good.any() else 0):
            within = good & (length > place)
            digits = self._view[np.where(within, start + place, 0)].astype(np.int64) - ord("0")
            good &= ~within | ((digits >= 0) & (digits <= 9))
            values = np.where(within, values * 10 + digits, values)
        return values, good


def _alike(view: Any, starts: Any, length: int) -> Any:
    """Texts of one length, a row each."""
    return np.ndarray((len(view) - length + 1, length), np.uint8, view, 0, (1, 1))[starts]
