"""A test of the tests of folds: a fold with one rule broken must turn the log red."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headwater.errors import Fault
from headwater.processing.operators.aggregate import Fold
from headwater.testing.conformance.fold_cases import HOPPING, HOPPING_PEAKS
from headwater.testing.conformance.runner_cases import Case, Histories, Run, log_of

Break = Callable[[pytest.MonkeyPatch], None]
HUNT = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
RUNS = st.builds(Run, partitions=st.sampled_from([2, 5]), batch=st.sampled_from([1, 7]), seed=st.integers(0, 10_000))


def count_in_the_own_interval_only(patch: pytest.MonkeyPatch) -> None:
    whole = Fold._fold

    def fold(self: Fold, touched: Any, key: bytes, row: Any, sign: int) -> None:
        self._further = range(0)
        whole(self, touched, key, row, sign)

    patch.setattr(Fold, "_fold", fold)


def take_out_of_the_own_interval_only(patch: pytest.MonkeyPatch) -> None:
    """As code does that goes on thinking of one interval for each row where a row goes."""
    whole = Fold._fold

    def fold(self: Fold, touched: Any, key: bytes, row: Any, sign: int) -> None:
        further = self._further
        self._further = range(0) if sign < 0 else further
        whole(self, touched, key, row, sign)
        self._further = further

    patch.setattr(Fold, "_fold", fold)


@pytest.mark.parametrize(
    ("case", "break_it"),
    [
        (HOPPING, count_in_the_own_interval_only),
        (HOPPING, take_out_of_the_own_interval_only),
        (HOPPING_PEAKS, take_out_of_the_own_interval_only),
    ],
    ids=lambda value: value.__name__ if callable(value) else value.name,
)
def test_a_broken_fold_turns_the_log_red(case: Case, break_it: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    """`test_the_log_is_what_the_whole_input_says` fails for each of these."""
    break_it(monkeypatch)

    @HUNT
    @given(case.histories, RUNS)
    def holds(histories: Histories, run: Run) -> None:
        assert log_of(case, run.of(case, histories)) == case.expected(histories)

    with pytest.raises((AssertionError, Fault)):
        holds()
