"""Which rows of some ticks lie in which session, where a key's sessions only go on: see `column_sessions`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from headwater.processing.cells import FoldSpec
from headwater.processing.column_changes import NewRows, and_rows
from headwater.processing.column_ends import Delta
from headwater.processing.column_front import Touches, first_ticks, touches, with_all_that_comes
from headwater.processing.column_order import known_numbers
from headwater.processing.column_state import (
    differ,
    joined_keys,
    ordered_integers,
    packed_column,
    require_types,
    sized_keys,
)
from headwater.processing.column_windows import changed
from headwater.processing.operators.core import Change, Row
from headwater.processing.operators.sessions import Sessions
from headwater.processing.packing import ordered_integer, sized
from headwater.schemas.unsure import Unsure

FAR = 1 << 61  # instants are nearer, so that 64 bits hold what lies between two
_NEVER = -(1 << 62)


class Keys(NamedTuple):
    """The keys of new rows, and the last session of each: its anchor and cell, and where it begins and ends."""

    names: list[bytes]
    sizes: Any
    codes: Any  # of each row
    anchors: list[int | None]
    cells: list[Row | None]
    firsts: Any  # long ago where there is no session
    lasts: Any


class Rows(NamedTuple):
    """Rows of keys that go as columns, by key, tick and instant, and the sessions that they lie in."""

    which: Any  # of the new rows
    codes: Any
    ticks: Any
    instants: Any
    last: Any  # the last instant of the row's session, with it
    session: Any
    begins: Any  # the first row of each session
    of_key: Any  # the key of each session
    fresh: Any  # whether its first row here began it
    first: Any  # where it begins


class Told(NamedTuple):
    """What ticks say: rows that come, then those that others take the place of at their instants, then these others;
    what weighs each; how many come by themselves; those replacements, and all other changes.
    """

    rows: NewRows
    weights: Any  # None: all come
    came: int
    replaced: Sequence[tuple[int, Change]]
    changes: Mapping[int, Sequence[Change]]

    def others(self, left: Any) -> Delta:
        """What goes by rows, of rows of which these are left."""
        size = self.came
        changes = {tick: list(some) for tick, some in self.changes.items()}
        for place in np.flatnonzero(left[size : size + len(self.replaced)]).tolist():
            tick, change = self.replaced[place]
            changes.setdefault(tick, []).append(change)
        mask = left.copy()
        mask[size:] = False
        return Delta(self.rows.filter(mask), changes)


class Counted(NamedTuple):
    """Places of rows, how many there are of each, and the places of which none is left."""

    places: list[bytes]
    numbers: list[bytes]
    gone: list[bytes]


class SessionRows:
    """Sorts rows into the sessions of a `Sessions`."""

    def __init__(self, fold: FoldSpec, sessions: Sessions) -> None:
        self._fold, self._gap = fold, fold.window.gap
        self._instant = fold.columns.index(fold.instant)
        self._sessions = sessions

    def told(self, delta: Delta) -> Told:
        """What these ticks say; raises `Unsure` where columns cannot hold it."""
        new, changes, _ = with_all_that_comes(delta, self._fold.columns, self._fold.types)
        at, replaced, others = self._instant, list[tuple[int, Change]](), dict[int, list[Change]]()
        for tick, some in changes.items():
            for change in some:
                _, old, now = change
                if old is not None and now is not None and old[at] == now[at]:
                    replaced.append((tick, change))
                else:
                    others.setdefault(tick, []).append(change)
        sides = [(tick, key, old) for tick, (key, old, _) in replaced if old is not None]
        sides += [(tick, key, now) for tick, (key, _, now) in replaced if now is not None]
        rows = and_rows(new, sides, self._fold.columns)
        if rows is None or not sides:
            return Told(new, None, len(new), (), changes)
        weights = np.ones(len(rows), np.int64)
        weights[len(new) : len(new) + len(replaced)] = -1
        return Told(rows, weights, len(new), replaced, others)

    def keys(self, new: NewRows) -> Keys:
        """The keys of rows."""
        coded = new.keys.dictionary_encode()
        names: list[bytes] = coded.dictionary.to_pylist()
        anchors = self._sessions.newest.get_many(names)
        some = [place for place, anchor in enumerate(anchors) if anchor is not None]
        places = [sized(names[place]) + ordered_integer(anchors[place]) for place in some]
        cells: list[Row | None] = [None] * len(names)
        bounds = np.full((len(names), 2), _NEVER, np.int64)
        for place, cell in zip(some, self._sessions.cells.get_many(places), strict=True):
            cells[place] = cell
            bounds[place] = cell[-2:]
        codes = coded.indices.to_numpy().astype(np.int64)
        return Keys(names, sized_keys(coded.dictionary), codes, anchors, cells, bounds[:, 0], bounds[:, 1])

    def going_on(self, told: Told, keys: Keys) -> tuple[Rows, Any]:
        """The rows that go as columns, in their order; and of each row whether it is left."""
        new = told.rows
        found = touches(new, keys.codes, keys.names, told.changes, (self._fold.instant, self._instant))
        codes, instants = found.codes, found.instants
        by_rows = np.abs(keys.lasts.astype(np.float64)) > -_NEVER
        by_rows[codes[(instants >= FAR) | (instants <= -FAR)]] = True
        first = pa.array(np.unique(keys.codes, return_index=True)[1][keys.codes])
        for name in self._fold.by:  # which the key tells, if it is as it should be
            by_rows[keys.codes[differ(new.columns[name], new.columns[name].take(first))]] = True
        order = found.order()
        rows = self._rows(found, keys, order[~by_rows[codes[order]]])
        begins = rows.first[rows.session]
        behind = rows.instants <= begins - self._gap  # what is there does not meet the last session of then
        comes_near = (rows.which < len(new)) & (rows.instants >= begins)
        odd = ~(behind | comes_near) | _crowded(rows, (rows.which >= told.came) & (rows.which < len(new)))
        stays = comes_near & (rows.ticks < first_ticks(rows.codes[odd], rows.ticks[odd], len(by_rows))[rows.codes])
        if not stays.all():
            rows = self._rows(found, keys, rows.which[stays])
        left = np.ones(len(new), bool)
        left[rows.which] = False
        return rows, left

    def counted(self, told: Told, which: Any, older: Any) -> Counted:
        """How many there are of rows then; `older` are those that there may be some of. Raises `Unsure` where columns
        cannot hold them.
        """
        require_types(told.rows.columns, self._fold.columns, self._fold.types)
        some = pa.array(which)
        columns = {name: told.rows.columns[name].take(some) for name in self._fold.columns}
        instants = ordered_integers(columns[self._fold.instant].to_numpy())
        bodies = packed_column(list(columns.values()))
        places = joined_keys([sized_keys(told.rows.keys.take(some)), instants, bodies])
        counts = Counter(places)
        if told.weights is not None:
            goes = np.flatnonzero(told.weights[which] < 0).tolist()
            counts.subtract(places[one] for one in goes for _ in range(2))  # each was counted as one that comes
        asked = list({places[place]: None for place in np.flatnonzero(older).tolist()})
        for place, number in zip(asked, known_numbers(self._sessions.rows, asked).tolist(), strict=True):
            counts[place] += number
        if min(counts.values(), default=0) < 0:
            raise Unsure
        held = {place: number for place, number in counts.items() if number}
        gone = [place for place, number in counts.items() if not number]
        return Counted(list(held), [b"%d" % number for number in held.values()], gone)

    def keep(self, counted: Counted) -> None:
        """Put what there is of rows then."""
        self._sessions.rows.put_packed(counted.places, counted.numbers)
        for place in counted.gone:
            self._sessions.rows.put(place, None)

    def grouped(self, new: NewRows, keys: Keys, rows: Rows) -> dict[str, Any]:
        """What each session is grouped by: as its cell has it, or its first row."""
        known = np.flatnonzero(~rows.fresh)
        cells = [cell for code in rows.of_key[known].tolist() if (cell := keys.cells[code]) is not None]
        which = rows.which[rows.begins]
        which[known] = len(new) + np.arange(len(known))
        places, found = pa.array(which), {}
        for place, name in enumerate(self._fold.by):
            column = new.columns[name]
            held = pa.array([cell[place] for cell in cells], column.type)
            found[name] = pa.concat_arrays([column, held]).take(places)
        return found

    def _rows(self, found: Touches, keys: Keys, which: Any) -> Rows:
        codes, ticks, instants = (values[which] for values in found)
        reached = keys.lasts[codes]
        values, rank = np.unique(instants, return_inverse=True)
        # A later key is above all before it, so that what is reached is each key's own.
        top = np.maximum.accumulate(codes * len(values) + rank) - codes * len(values)
        last = np.maximum(values[top], reached)
        key_begins = changed(codes)
        apart = instants - np.where(key_begins, reached, shifted(last)) >= self._gap
        session_begins = key_begins | apart
        begins = np.flatnonzero(session_begins)
        of_key, fresh = codes[begins], apart[begins]
        first = np.where(fresh, instants[begins], keys.firsts[of_key])
        session = np.cumsum(session_begins) - 1
        return Rows(which, codes, ticks, instants, last, session, begins, of_key, fresh, first)


def _crowded(rows: Rows, replaced: Any) -> Any:
    """Whether a row is replaced where its tick says more of that instant than that."""
    at = np.cumsum(changed(rows.codes) | changed(rows.ticks) | changed(rows.instants)) - 1
    found = np.bincount(at) > 2
    return found[at] & (np.bincount(at, replaced) > 0)[at] if len(at) else replaced


def shifted(values: Any) -> Any:
    """Each value's predecessor; the first one's is itself.

    >>> shifted(np.array([3, 4, 1])).tolist()
    [3, 3, 4]
    """
    return np.concatenate((values[:1], values[:-1]))
