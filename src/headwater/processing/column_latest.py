"""`latest` over columns: many ticks in one step, what is newest of its key without a look at anything else of it.

`latest` is the rule, over the same tables and forms, so that each batch may take either way. An event that comes after
all that was known of its key goes as columns. What is said behind the newest event of then, of one that is late,
corrected or taken back, alters pieces that end there at the latest, and goes by rows once all columns are kept. A key
goes by rows from the tick on that touches its newest event of then, or says two events of one instant.
`tests/simulation/test_column_exchange.py` and `test_column_front.py` hold both together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from headwater.processing.column_changes import NewRows
from headwater.processing.column_ends import Delta
from headwater.processing.column_front import Touches, first_ticks, greatest_before, touches, with_all_that_comes
from headwater.processing.column_intake import Ended
from headwater.processing.column_keys import key_column
from headwater.processing.column_pieces import GoingOn, Pieces, PiecesEnd
from headwater.processing.column_state import (
    differ,
    joined_keys,
    ordered_integers,
    packable,
    packed_rows,
    sized_keys,
)
from headwater.processing.graph import FACT_TIMES
from headwater.processing.operators.core import OPEN, Change, Row
from headwater.processing.operators.latest import Latest, LatestSpec, ordered_text


def settable(spec: LatestSpec) -> bool:
    """Whether these states can be made over columns."""
    types = dict(zip(spec.columns, spec.types, strict=True))
    return packable(spec.types) and not any(types[name].nullable for name in ("occurred_at", "event_id"))


class _Arranged(NamedTuple):
    """What some ticks say: the keys, also as bytes; the rows that go as columns; and all else, tick by tick."""

    keys: Any
    names: list[bytes]
    rows: GoingOn
    others: Mapping[int, Sequence[Change]]


class ColumnLatest:
    """Events to pieces of a `Latest`; `end` says what becomes of those."""

    def __init__(self, spec: LatestSpec, latest: Latest, end: PiecesEnd) -> None:
        self._spec = spec
        names = (*spec.columns, *FACT_TIMES)
        self._given = [names[place] for place in spec.gives]
        self._instant = spec.columns.index("occurred_at")
        self._latest, self._end = latest, end

    def fold(self, delta: Delta) -> Ended:
        """What some ticks make; raises `Unsure`, with nothing changed, where rows must be looked at."""
        arranged = self._arranged(delta)
        rows, sizes = arranged.rows, sized_keys(arranged.keys)
        told, older = self._told(rows), self._older(rows, sizes)
        pieces = Pieces(arranged.keys, rows, told, lambda: self._write(arranged, older))
        return self._end(pieces, arranged.others)

    def remember(self, new: NewRows, changes: Mapping[int, Sequence[Change]]) -> None:
        """Keep what `fold` would of these; raises `Unsure`, with nothing kept."""
        arranged = self._arranged(Delta(new, changes))
        older = self._older(arranged.rows, sized_keys(arranged.keys))
        self._write(arranged, older)
        for some in arranged.others.values():
            self._latest.remember(some, ())

    def _arranged(self, delta: Delta) -> _Arranged:
        delta = with_all_that_comes(delta, self._spec.columns, self._spec.types)
        new, changes, _ = delta
        coded = new.keys.dictionary_encode()
        codes, keys = coded.indices.to_numpy().astype(np.int64), coded.dictionary
        names: list[bytes] = keys.to_pylist()
        newest = self._latest.newest.get_many(names)
        found = touches(new, codes, names, changes, ("occurred_at", self._instant))
        order = self._in_front(found, newest, len(new))
        rows = self._ordered(new, order, codes[order], names, newest)
        left = np.ones(len(new), bool)
        left[order] = False
        return _Arranged(keys, names, rows, Delta(new.filter(left), changes).by_rows(self._spec.columns).changes)

    def _in_front(self, found: Touches, newest: Sequence[Row | None], size: int) -> Any:
        """Which of so many new rows go as columns, in their order."""
        reached = np.array([-OPEN if row is None else row[self._instant] for row in newest], np.int64)
        order = found.order()
        codes, ticks, instants = (values[order] for values in found)
        known = greatest_before(codes, ticks, instants, reached)
        comes, ahead = order < size, instants > known
        odd = np.where(comes, instants == known, instants >= known)
        odd[1:] |= ahead[1:] & (codes[1:] == codes[:-1]) & (ticks[1:] == ticks[:-1]) & (instants[1:] == instants[:-1])
        return order[comes & ahead & (ticks < first_ticks(codes[odd], ticks[odd], len(newest))[codes])]

    def _ordered(
        self, new: NewRows, order: Any, codes: Any, names: Sequence[bytes], newest: Sequence[Row | None]
    ) -> GoingOn:
        size = len(order)
        ticks, starts = new.ticks[order], new.columns["occurred_at"].to_numpy()[order]
        one = np.arange(size)
        begins_key = np.ones(size, bool)
        begins_key[1:] = codes[1:] != codes[:-1]
        begins = begins_key.copy()  # what a tick says of a key
        begins[1:] |= ticks[1:] != ticks[:-1]
        begin = np.maximum.accumulate(np.where(begins, one, 0)) if size else one
        last = np.ones(size, bool)
        last[:-1] = begins_key[1:]
        ends = np.full(size, OPEN, np.int64)
        within = np.flatnonzero(~begins[1:])
        ends[within] = starts[within + 1]
        heads: list[tuple[bytes, Row]] = []
        head = np.full(len(names), -1, np.int64)
        for code in codes[begins_key].tolist():
            row = newest[code]
            if row is not None:
                head[code] = size + len(heads)
                heads.append((names[code], row))
        before = np.where(begins_key[begin], head[codes], begin - 1) if size else one
        which = pa.array(order)
        columns = {name: column.take(which) for name, column in new.columns.items()}
        return GoingOn(ticks, codes, starts, ends, before, last, columns, heads, self._spec)

    def _told(self, rows: GoingOn) -> Any:
        """The rows that say something else than what held until then."""
        nothing = rows.before < 0
        differs = nothing.copy()
        before = pa.array(rows.before, mask=nothing)
        for name in self._spec.columns:
            if name in self._given:
                differs |= differ(rows.columns[name], rows.all_of(name).take(before))
        return np.flatnonzero(differs)

    def _older(self, rows: GoingOn, sizes: Any) -> tuple[list[bytes], Any]:
        """The places of those of these rows that are not the newest of their key any more, and which they are."""
        which = np.flatnonzero(~rows.last)
        some = pa.array(which)
        events = rows.columns["event_id"].take(some).cast(pa.binary())
        ids = pa.array([ordered_text(event) for event in events.to_pylist()], pa.binary())
        own = key_column([rows.columns[name].take(some) for name in self._spec.key])
        prefixes = sizes.take(pa.array(rows.codes[which]))
        return joined_keys([prefixes, ordered_integers(rows.starts[which]), ids, own]), which

    def _write(self, arranged: _Arranged, older: tuple[list[bytes], Any]) -> None:
        rows = arranged.rows
        if not len(rows.codes):
            return
        bodies = packed_rows([rows.columns[name] for name in self._spec.columns])
        latest, (places, which) = self._latest, older
        went = [(latest.place(key, row), latest.packed(row)) for key, row in rows.heads]
        latest.older.put_packed(
            [*places, *(place for place, _ in went)],
            [*(bodies[place] for place in which.tolist()), *(body for _, body in went)],
        )
        last = np.flatnonzero(rows.last)
        latest.newest.put_packed(
            [arranged.names[code] for code in rows.codes[last].tolist()], [bodies[place] for place in last.tolist()]
        )
