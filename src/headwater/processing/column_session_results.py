"""What sessions give, over columns, and how it is published: `sessions` and `publish` are the rule.

What is handed over to another key instead goes through `column_results`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from headwater.processing.blocks import OutputBlock
from headwater.processing.column_amounts import Amounts
from headwater.processing.column_changed import ChangedRows
from headwater.processing.column_intake import Ended
from headwater.processing.column_order import KINDS, in_order, known_numbers, said_by_rows
from headwater.processing.column_session_rows import Keys, Rows
from headwater.processing.column_state import joined_keys, ordered_integers
from headwater.processing.column_windows import changed
from headwater.processing.compiler import Operation
from headwater.processing.operators.core import Change
from headwater.processing.operators.publish import Publish
from headwater.processing.operators.sessions import Sessions

_ASSERT, _CORRECT, _RETRACT = range(3)
_Packed = tuple[list[bytes], list[bytes]]
_Changes = Mapping[int, Sequence[Change]]


class Steps(NamedTuple):
    """What each tick makes of each session that it touches, by session and tick."""

    tick: Any
    session: Any
    fresh: Any  # whether there was no such session before it
    last: Any  # the session's last instant
    was_last: Any
    ends: Any  # the last step of each session
    kept: list[Amounts]  # how many rows there are, then the measures, in the order of the cell's slots
    shown: Mapping[str, Amounts]  # what is read of these

    def moved(self) -> Any:
        """Whether a session is longer: it gives way to another."""
        return ~self.fresh & (self.last != self.was_last)

    def corrected(self) -> Any:
        """Whether a session of the same interval says something else."""
        found = np.zeros(len(self.tick), bool)
        for one in self.shown.values():
            found |= one.differs
        return found & ~self.fresh & (self.last == self.was_last)


class SessionResults(NamedTuple):
    """Steps, and the rows and keys that they are of; `grouped` is what each session is grouped by. `keep` writes the
    sessions, which is done before what goes by rows: that lies behind them.
    """

    keys: Keys
    rows: Rows
    grouped: Mapping[str, Any]
    steps: Steps
    gap: int
    keep: Callable[[], None]

    def until(self, step: Any, goes: Any) -> Any:
        """Where the session ends after some steps, or, of what goes, before them."""
        return np.where(goes, self.steps.was_last[step], self.steps.last[step]) + self.gap

    def columns(self, names: Sequence[str], step: Any, goes: Any) -> dict[str, Any]:
        """These columns of sessions after some steps, or, of what goes, before them."""
        session = self.steps.session[step]
        which, found = pa.array(session), dict[str, Any]()
        for name in names:
            if name == "valid_from":
                found[name] = pa.array(self.rows.first[session])
            elif name == "valid_to":
                found[name] = pa.array(self.until(step, goes))
            elif name in self.grouped:
                found[name] = self.grouped[name].take(which)
            else:
                found[name] = self.steps.shown[name].shown(step, ~goes)
        return found

    def changed(self, names: Sequence[str]) -> ChangedRows:
        """A session that is longer goes as it was, and comes as another; one that says something else changes."""
        steps, moved, corrected = self.steps, self.steps.moved(), self.steps.corrected()
        step = np.repeat(np.arange(len(moved)), np.where(moved | corrected, 2, steps.fresh))
        begins = changed(step)
        goes = begins & (moved | corrected)[step]
        numbers = np.cumsum(begins | moved[step])
        order = np.argsort(steps.tick[step], kind="stable")
        step, goes, numbers = step[order], goes[order], numbers[order]
        columns = self.columns(names, step, goes)
        keys = pa.array(self.keys.names, pa.binary()).take(pa.array(self.rows.of_key[steps.session[step]]))
        return ChangedRows(steps.tick[step], numbers, keys, [columns[name] for name in names], goes)


class SessionsEnd(Protocol):
    """What becomes of what sessions give; `names` are the columns of it that are read."""

    names: tuple[str, ...]

    def __call__(self, given: SessionResults | None, by_rows: _Changes) -> Ended:
        """Of results, and of what each tick says of keys that go by rows."""


class _Said(NamedTuple):
    """Records, by key and session: the step that each is of, what it is called, and its revision."""

    step: Any
    kind: Any
    session: Any
    revision: Any


class SessionsPublished:
    """Results to the records of a product."""

    def __init__(self, operation: Operation, sessions: Sessions, publish: Publish, tick: int) -> None:
        self.names = tuple(operation.wanted)
        self._step = operation.step
        self._sessions, self._publish = sessions, publish
        self._tick = tick

    def __call__(self, given: SessionResults | None, by_rows: _Changes) -> Ended:
        """In the order of `publish`."""
        if given is None:
            return Ended(None, self._by_rows(by_rows))
        said, revisions = self._said(given)
        made = self._block(given, said)
        given.keep()
        self._publish.revisions.put_packed(*revisions)
        return in_order(made, self._by_rows(by_rows), moving=True)

    def _by_rows(self, changes: _Changes) -> list[Any]:
        return said_by_rows(changes, self._publish, self._tick, self._sessions, self._step)

    def _said(self, given: SessionResults) -> tuple[_Said, _Packed]:
        """What is said, and the revisions that are to be kept."""
        keys, rows, steps = given.keys, given.rows, given.steps
        moved, corrected = steps.moved(), steps.corrected()
        # A session that is longer is taken back as it was, and said anew.
        step = np.repeat(np.arange(len(moved)), np.where(moved, 2, steps.fresh | corrected))
        goes = moved[step] & changed(step)
        kind = np.where(goes, _RETRACT, np.where(corrected[step], _CORRECT, _ASSERT))
        session, until = steps.session[step], given.until(step, goes)
        first = rows.first[session]
        # Records of one interval follow each other, from where it is asserted, or from one said before.
        another = (kind == _ASSERT) | changed(session)
        begins, own = np.flatnonzero(another), np.cumsum(another) - 1
        sizes = keys.sizes.take(pa.array(rows.of_key[session[begins]]))
        identities = joined_keys([sizes, ordered_integers(first[begins]), ordered_integers(until[begins])])
        known = known_numbers(self._publish.revisions, identities)
        base = np.where(known > 0, known, kind[begins] != _ASSERT)  # of what holds the first number is not kept
        revision = base[own] + np.arange(len(kind)) - begins[own] + 1
        newest = revision[ends_of_runs(begins, len(kind))]
        kept = np.flatnonzero(newest > 1).tolist()
        numbers = [identities[place] for place in kept], [b"%d" % newest[place] for place in kept]
        return _Said(step, kind, session, revision), numbers

    def _block(self, given: SessionResults, said: _Said) -> OutputBlock:
        """The records of what is said."""
        columns = given.columns(self.names, said.step, said.kind == _RETRACT)
        recorded = (given.steps.tick[said.step] + 1) * self._tick - 1
        columns["recorded_at"] = pa.array(recorded)
        columns["kind"] = KINDS.take(pa.array(said.kind))
        columns["revision"] = pa.array(said.revision)
        keys = given.keys.names
        return OutputBlock([keys[code] for code in given.rows.of_key[said.session].tolist()], recorded, columns)


def ends_of_runs(begins: Any, size: int) -> Any:
    """Where each run ends, which reaches to the next one's beginning."""
    return np.append(begins, size)[1:] - 1
