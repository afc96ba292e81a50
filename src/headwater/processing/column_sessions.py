"""`aggregate` over sessions as columns: many ticks in one step, of keys whose last sessions only grow or are followed.

`sessions` is the rule, over the same tables and forms, so that each batch may take either way. A row that does not come
before its key's last session of then goes as columns, since it lies in that session, makes it longer, or begins another
after it; so does one that takes the place of another at its instant, which the session loses. What is said of instants
a gap or more before that session concerns others, and goes by rows once all columns are kept. A key goes by rows from
the tick on in which its last session of then loses a row else, or meets one from before it.
`tests/simulation/test_column_sessions.py` and `test_column_front.py` hold both together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.cells import FoldSpec
from headwater.processing.column_amounts import Amounts, Touched, Weighed, of_numbers
from headwater.processing.column_changes import NewRows
from headwater.processing.column_ends import Delta
from headwater.processing.column_intake import Ended
from headwater.processing.column_measures import column_sums, members, summable
from headwater.processing.column_session_results import SessionResults, SessionsEnd, Steps, ends_of_runs
from headwater.processing.column_session_rows import FAR, Keys, Rows, SessionRows, Told, shifted
from headwater.processing.column_state import joined_keys, ordered_integers, packable, packed_rows
from headwater.processing.column_windows import Groups, changed
from headwater.processing.compiler import Operation
from headwater.processing.operators.core import Change
from headwater.processing.operators.sessions import Sessions

_Packed = tuple[list[bytes], list[bytes]]


def gathered(fold: FoldSpec) -> bool:
    """Whether these sessions can be made over columns."""
    types = dict(zip(fold.columns, fold.types, strict=True))
    if not packable(fold.types) or types[fold.instant].nullable:
        return False
    return fold.window.gap < FAR and all(summable(measure, fold) for _, measure in fold.measures)


class ColumnSessions:
    """Rows to the cells of a `Sessions`; `end` says what becomes of what that gives."""

    def __init__(self, operation: Operation, sessions: Sessions, end: SessionsEnd) -> None:
        self._fold: FoldSpec = operation.spec.fold
        self._sessions, self._end = sessions, end
        self._rows = SessionRows(self._fold, sessions)
        self._measures = [(name, column_sums(measure)) for name, measure in self._fold.measures]

    def fold(self, delta: Delta) -> Ended:
        """What some ticks make; raises `Unsure`, with nothing changed, where rows must be looked at."""
        told = self._rows.told(delta)
        new = told.rows
        if not len(new):
            return self._end(None, told.changes)
        keys = self._rows.keys(new)
        rows, left = self._rows.going_on(told, keys)
        others = self._changes(told.others(left))
        if not len(rows.which):
            return self._end(None, others)
        counted = self._rows.counted(told, rows.which, rows.instants <= keys.lasts[rows.codes])
        grouped = self._rows.grouped(new, keys, rows)
        steps = self._steps(Weighed(*new, told.weights), keys, rows)

        def keep() -> None:
            self._rows.keep(counted)
            self._sessions.cells.put_packed(*_cells(keys, rows, grouped, steps))
            self._sessions.newest.put_many(*_newest(keys, rows))

        return self._end(SessionResults(keys, rows, grouped, steps, self._fold.window.gap, keep), others)

    def remember(self, new: NewRows, changes: Mapping[int, Sequence[Change]]) -> None:
        """Keep the rows that `fold` would of these; raises `Unsure`, with nothing kept."""
        known = pa.array([key for some in changes.values() for key, _, _ in some], pa.binary())
        by_rows = pc.is_in(new.keys, known).to_numpy(zero_copy_only=False)
        which = np.flatnonzero(~by_rows)
        counted = self._rows.counted(Told(new, None, len(new), (), {}), which, np.ones(len(which), bool))
        for some in self._changes(Delta(new.filter(by_rows), changes)).values():
            self._sessions.remember(some, ())
        self._rows.keep(counted)

    def _steps(self, weighed: Weighed, keys: Keys, rows: Rows) -> Steps:
        """Raises `Unsure` where 64 bits might not hold a sum."""
        begins = np.flatnonzero(changed(rows.session) | changed(rows.ticks))
        session = rows.session[begins]
        first = np.flatnonzero(changed(session))
        fresh = np.zeros(len(begins), bool)
        fresh[first] = rows.fresh
        last = rows.last[ends_of_runs(begins, len(rows.which))]
        was_last = shifted(last)
        was_last[first] = keys.lasts[rows.of_key]
        groups = Groups(
            rows.which,
            begins,
            np.diff(begins, append=len(rows.which)),
            session,
            rows.ticks[begins],
            first,
            np.diff(first, append=len(begins)),
        )
        kept, shown = self._amounts(weighed, groups, self._held(keys, rows))
        return Steps(rows.ticks[begins], session, fresh, last, was_last, ends_of_runs(first, len(begins)), kept, shown)

    def _held(self, keys: Keys, rows: Rows) -> list[tuple[Any, ...]]:
        """What the cells of sessions held at first, slot by slot."""
        starting = [value for _, one in self._measures if one is not None for value in one.starting]
        nothing, start = (0, *starting), len(self._fold.by)
        cells = [
            nothing if own or (cell := keys.cells[code]) is None else cell[start : start + len(nothing)]
            for code, own in zip(rows.of_key.tolist(), rows.fresh.tolist(), strict=True)
        ]
        return list(zip(*cells, strict=True))

    def _amounts(
        self, rows: Weighed, groups: Groups, held: Sequence[Sequence[Any]]
    ) -> tuple[list[Amounts], dict[str, Amounts]]:
        before, after = members(rows, groups, held[0])
        touched = Touched(rows, groups, [], before > 0)
        kept, shown, at = [of_numbers(before, after, before != after, [after])], dict[str, Amounts](), 1
        for name, measure in self._measures:
            if measure is not None:
                end = at + len(measure.starting)
                kept.append(measure.amounts(touched, held[at:end]))
                at = end
            shown[name] = kept[-1 if measure is not None else 0]
        return kept, {name: one for name, one in shown.items() if name in self._end.names}

    def _changes(self, delta: Delta) -> Mapping[int, Sequence[Change]]:
        return delta.by_rows(self._fold.columns).changes


def _cells(keys: Keys, rows: Rows, grouped: Mapping[str, Any], steps: Steps) -> _Packed:
    """The places of sessions, and their cells as they are after all ticks."""
    sessions = zip(rows.fresh.tolist(), rows.first.tolist(), rows.of_key.tolist(), strict=True)
    anchors = [first if own else keys.anchors[code] for own, first, code in sessions]
    sizes = keys.sizes.take(pa.array(rows.of_key))
    slots = [slot for one in steps.kept for slot in one.slots(steps.ends)]
    places = joined_keys([sizes, ordered_integers(np.array(anchors, np.int64))])
    return places, packed_rows([*grouped.values(), *map(pa.array, [*slots, rows.first, steps.last[steps.ends]])])


def _newest(keys: Keys, rows: Rows) -> tuple[list[bytes], list[int]]:
    """The keys whose last session is another now, and its anchor."""
    last = np.flatnonzero(changed(rows.of_key[::-1])[::-1] & rows.fresh)
    return [keys.names[code] for code in rows.of_key[last].tolist()], rows.first[last].tolist()
