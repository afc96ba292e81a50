"""A test of the tests of `join_within`: with one rule broken, the property turns red."""

from __future__ import annotations

from typing import Any

import pytest
from tests.simulation.hunting import Break, assert_turns_red

from headwater.processing.operators import join_interval
from headwater.processing.operators.join_interval import IntervalJoin, Side
from headwater.testing.conformance.runner_cases import Case
from headwater.testing.conformance.within_cases import FOLDED_PAIRS, PAIRED


def leave_out_the_far_edge(patch: pytest.MonkeyPatch) -> None:
    whole = Side.around
    patch.setattr(Side, "around", lambda self, key, at, distance: whole(self, key, at, max(distance - 1, 0)))


def look_one_way_only(patch: pytest.MonkeyPatch) -> None:
    whole = Side.around

    def later(self: Any, key: bytes, at: int, distance: int) -> Any:
        return ((place, row) for place, row in whole(self, key, at, distance) if row[self._instant] >= at)

    patch.setattr(Side, "around", later)


def forget_what_the_right_was(patch: pytest.MonkeyPatch) -> None:
    """A correction of the right side adds its new pair, and leaves the old one standing."""
    whole = IntervalJoin._pairs

    def pairs(self: Any, *, now: bool) -> Any:
        if now:
            return whole(self, now=now)
        rights, self.rights.touched = self.rights.touched, {}
        made = whole(self, now=now)
        self.rights.touched = rights
        return made

    patch.setattr(IntervalJoin, "_pairs", pairs)


def answer_left_events_alone(patch: pytest.MonkeyPatch) -> None:
    """As if the right side were whole before the left begins."""
    whole = IntervalJoin._pairs

    def pairs(self: Any, *, now: bool) -> Any:
        rights, self.rights.touched = self.rights.touched, {}
        made = whole(self, now=now)
        self.rights.touched = rights
        return made

    patch.setattr(IntervalJoin, "_pairs", pairs)


def name_a_pair_by_its_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(join_interval, "pair_id", lambda left, right: left)


def pair_whoever_is_there(patch: pytest.MonkeyPatch) -> None:
    """Whatever their keys and instants are."""
    patch.setattr(Side, "around", lambda self, key, at, distance: self.table.scan(b"", b"\xff" * 8))


@pytest.mark.parametrize("case", [PAIRED, FOLDED_PAIRS], ids=lambda case: case.name)
@pytest.mark.parametrize(
    "break_it",
    [
        leave_out_the_far_edge,
        look_one_way_only,
        forget_what_the_right_was,
        answer_left_events_alone,
        pair_whoever_is_there,
    ],
    ids=lambda value: value.__name__,
)
def test_a_broken_rule_turns_the_log_red(case: Case, break_it: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    assert_turns_red(case)


def test_a_pair_that_is_named_by_one_side_turns_the_log_red(monkeypatch: pytest.MonkeyPatch) -> None:
    name_a_pair_by_its_left(monkeypatch)
    assert_turns_red(PAIRED)
