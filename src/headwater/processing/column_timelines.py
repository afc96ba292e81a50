"""What holds at many instants of many keys, asked at once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np

from headwater.processing.operators.core import Row
from headwater.processing.timelines import Timelines

_NOTHING = (0, 0, None)  # a piece that holds at no instant


def held_at(timelines: Timelines, keys: Sequence[bytes], of_row: Any, instants: Any) -> tuple[list[Row | None], Any]:
    """What holds at each instant of its key, which is told by its place among the keys: rows, and which of them holds
    at each, below zero where none does. Arrays are of numpy.
    """
    kept = timelines.pieces(keys)
    if all(pieces is not None and len(pieces) < 2 for pieces in kept):
        only = [pieces[0] if pieces else _NOTHING for pieces in kept]
        starts, ends = (np.array([piece[place] for piece in only], np.int64)[of_row] for place in (0, 1))
        return [piece[2] for piece in only], np.where((starts <= instants) & (instants < ends), of_row, -1)
    made: list[Row | None] = []
    for place, instant in zip(of_row.tolist(), instants.tolist(), strict=True):
        pieces = kept[place]
        if pieces is None:
            made.append(timelines.at(keys[place], instant))
        elif not pieces:
            made.append(None)
        else:
            start, end, row = pieces[bisect_left(pieces, (instant + 1,)) - 1]
            made.append(row if start <= instant < end else None)
    return made, np.array([-1 if row is None else place for place, row in enumerate(made)], np.int64)
