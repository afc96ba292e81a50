"""A test of the tests of folds: a fold with one rule broken must turn the log red."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from tests.simulation import hunting
from tests.simulation.hunting import Break, assert_turns_red

from headwater.processing import cells, measures
from headwater.processing.custom_fold import CustomFold, folding
from headwater.processing.multisets import Distinct, Edge, Moved
from headwater.processing.operators.aggregate import Fold
from headwater.testing.conformance.fold_cases import FIRST_AND_LAST, FIRST_OF_FACTS, HOPPING, HOPPING_PEAKS, OWN_FOLDS
from headwater.testing.conformance.runner_cases import Case, Run

HUNT = settings(hunting.HUNT, max_examples=100)
RUNS = st.builds(Run, partitions=st.sampled_from([2, 5]), batch=st.sampled_from([1, 7]), seed=st.integers(0, 10_000))


def count_in_the_own_interval_only(patch: pytest.MonkeyPatch) -> None:
    whole = Fold._fold

    def fold(self: Fold, touched: Any, key: bytes, row: Any, sign: int, *at: int) -> None:
        self._further = range(0)
        whole(self, touched, key, row, sign, *at)

    patch.setattr(Fold, "_fold", fold)


def take_out_of_the_own_interval_only(patch: pytest.MonkeyPatch) -> None:
    """As code does that goes on thinking of one interval for each row where a row goes."""
    whole = Fold._fold

    def fold(self: Fold, touched: Any, key: bytes, row: Any, sign: int, *at: int) -> None:
        further = self._further
        self._further = range(0) if sign < 0 else further
        whole(self, touched, key, row, sign, *at)
        self._further = further

    patch.setattr(Fold, "_fold", fold)


def keep_a_set(patch: pytest.MonkeyPatch) -> None:
    """Values without how often: the first of two that goes takes both."""
    whole = Distinct.settle

    def settle(self: Distinct, values: Any, moved: Any, ends: Any) -> None:
        whole(self, values, [m._replace(was=m.was > 0, now=m.now >= m.was > 0 or m.was == 0) for m in moved], ends)

    patch.setattr(Distinct, "settle", settle)


def count_all_that_come(patch: pytest.MonkeyPatch) -> None:
    def settle(self: Distinct, values: Any, moved: list[Moved], ends: Any) -> None:
        values[self.position] += sum(m.now - m.was for m in moved)

    patch.setattr(Distinct, "settle", settle)


def take_the_last_that_came(patch: pytest.MonkeyPatch) -> None:
    """`last` by arrival, as a fold does that thinks of a log as of time."""

    def settle(self: Edge, values: Any, moved: list[Moved], ends: Any) -> None:
        for m in moved:
            if m.now:
                values[self.position : self.position + 2] = m.place, m.entry[1]

    patch.setattr(Edge, "settle", settle)


def keep_the_first_for_good(patch: pytest.MonkeyPatch) -> None:
    """The row at the edge goes, and what it said stays."""
    whole = Edge.settle
    patch.setattr(
        Edge, "settle", lambda self, values, moved, ends: whole(self, values, [m for m in moved if m.now], ends)
    )


def forget_who_they_were(patch: pytest.MonkeyPatch) -> None:
    """Rows of one instant in the order of their values."""
    whole = cells.row_order
    patch.setattr(cells, "row_order", lambda instant, identity: whole(instant, []))


def hand_out_the_kept_state(patch: pytest.MonkeyPatch) -> None:
    """A function that changes its state in place changes what the cell was."""
    patch.setattr(CustomFold, "given", lambda self, values: dict(zip(self.names, values, strict=True)))


def add_what_goes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        measures, "folding", lambda custom, columns, at: folding(replace(custom, remove=custom.add), columns, at)
    )


@pytest.mark.parametrize(
    ("case", "break_it"),
    [
        (HOPPING, count_in_the_own_interval_only),
        (HOPPING, take_out_of_the_own_interval_only),
        (HOPPING_PEAKS, take_out_of_the_own_interval_only),
        (FIRST_AND_LAST, keep_a_set),
        (FIRST_AND_LAST, count_all_that_come),
        (FIRST_AND_LAST, take_the_last_that_came),
        (FIRST_AND_LAST, keep_the_first_for_good),
        (FIRST_AND_LAST, forget_who_they_were),
        (FIRST_OF_FACTS, forget_who_they_were),
        (OWN_FOLDS, hand_out_the_kept_state),
        (OWN_FOLDS, add_what_goes),
    ],
    ids=lambda value: value.__name__ if callable(value) else value.name,
)
def test_a_broken_fold_turns_the_log_red(case: Case, break_it: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    """`test_the_log_is_what_the_whole_input_says` fails for each of these."""
    break_it(monkeypatch)
    assert_turns_red(case, hunt=HUNT, runs=RUNS)
