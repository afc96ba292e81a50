"""A test of the tests of sessions: with one rule broken the log turns red, or what is read of it does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from tests.simulation.hunting import HUNT, RUNS, Break, assert_turns_red
from tests.simulation.test_sessions import ROOMED, assert_read_as_of_any_tick

from headwater.errors import Fault
from headwater.processing.cells import Cells
from headwater.processing.operators import publish
from headwater.processing.operators.sessions import Sessions
from headwater.testing.conformance.runner_cases import Case, Histories, Run
from headwater.testing.conformance.session_cases import (
    OWN_SESSIONS,
    SESSION_ENDS,
    SESSIONS,
    SESSIONS_FOLDED,
    SESSIONS_JOINED,
)


def forget_the_retract_of_what_merged(patch: pytest.MonkeyPatch) -> None:
    whole = Sessions._end

    def end(self: Sessions, cell: Any) -> None:
        whole(self, cell)
        cell.known = None

    patch.setattr(Sessions, "_end", end)


def forget_the_retract_of_what_grew(patch: pytest.MonkeyPatch) -> None:
    whole = Sessions._reach

    def reach(self: Sessions, cell: Any, first: int, last: int) -> Any:
        if (first, last) != tuple(cell.values[-2:]):
            cell.known = None
        return whole(self, cell, first, last)

    patch.setattr(Sessions, "_reach", reach)


def never_part(patch: pytest.MonkeyPatch) -> None:
    """What is left of a session stays one, however far apart."""
    whole = Sessions._part

    def part(self: Sessions, cell: Any, at: int) -> None:
        gap, self._gap = self._gap, 1_000
        whole(self, cell, at)
        self._gap = gap

    patch.setattr(Sessions, "_part", part)


def never_shrink(patch: pytest.MonkeyPatch) -> None:
    """A session whose first or last row goes keeps its interval."""
    whole = Sessions._part

    def part(self: Sessions, cell: Any, at: int) -> None:
        if cell.values[-2] < at < cell.values[-1]:
            whole(self, cell, at)

    patch.setattr(Sessions, "_part", part)


def merge_over_the_whole_gap(patch: pytest.MonkeyPatch) -> None:
    """Rows exactly a gap apart in one session, as where both ends of a session count."""
    whole = Sessions._joined

    def joined(self: Sessions, alike: Any, row: Any) -> Any:
        self._gap += 1
        try:
            return whole(self, alike, row)
        finally:
            self._gap -= 1

    patch.setattr(Sessions, "_joined", joined)


def look_back_only(patch: pytest.MonkeyPatch) -> None:
    """As if rows came in the order of their instants."""
    patch.setattr(Sessions, "_right", lambda self, key, at: None)


def leave_the_rows_where_they_were(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sessions, "_move", lambda self, source, target, first, last: None)
    whole = Cells.settle

    def settle(self: Cells, cell: Any) -> None:
        cell.values[self.members] = max(cell.values[self.members], 0)
        whole(self, cell)

    patch.setattr(Cells, "settle", settle)


@pytest.mark.parametrize(
    ("case", "break_it"),
    [
        (SESSIONS, forget_the_retract_of_what_merged),
        (SESSIONS, forget_the_retract_of_what_grew),
        (SESSIONS, never_part),
        (SESSION_ENDS, never_part),
        (SESSIONS_FOLDED, never_part),
        (SESSIONS, never_shrink),
        (SESSIONS, merge_over_the_whole_gap),
        (SESSIONS, look_back_only),
        (SESSION_ENDS, leave_the_rows_where_they_were),
        (OWN_SESSIONS, leave_the_rows_where_they_were),
    ],
    ids=lambda value: value.__name__ if callable(value) else value.name,
)
def test_a_broken_session_turns_the_log_red(case: Case, break_it: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    assert_turns_red(case)


def say_what_came_before_what_went(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(publish, "_place_of_moving", lambda entry: (entry[0], entry[4] is None, entry[1]))


def say_it_in_the_order_of_intervals(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(publish, "_place_of_moving", publish._place)


@pytest.mark.parametrize(
    "break_it",
    [say_what_came_before_what_went, say_it_in_the_order_of_intervals, forget_the_retract_of_what_grew, never_part],
    ids=lambda value: value.__name__,
)
@pytest.mark.parametrize("case", [SESSIONS, SESSIONS_JOINED], ids=lambda case: case.name)
def test_a_broken_session_is_read_wrongly(case: Case, break_it: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    """`test_as_of_any_tick_the_sessions_of_then_are_read` fails for each of these."""
    break_it(monkeypatch)
    assert_read_wrongly(case)


def test_a_product_of_sessions_joined_in_the_order_of_intervals_is_read_wrongly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    say_it_in_the_order_of_intervals(monkeypatch)
    assert_read_wrongly(ROOMED)


def assert_read_wrongly(case: Case) -> None:
    @HUNT
    @given(case.histories, RUNS)
    def holds(histories: Histories, run: Run) -> None:
        assert_read_as_of_any_tick(case, histories, run)

    with pytest.raises((AssertionError, Fault)):
        holds()
