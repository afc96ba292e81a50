"""The hunt for a broken rule: generated histories and runs, until a log is not what the oracle says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headwater.errors import Fault
from headwater.testing.conformance.runner_cases import Case, Histories, Run, log_of

Break = Callable[[pytest.MonkeyPatch], None]
HUNT = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,  # a broken rule may show itself in two ways, and one is enough
    suppress_health_check=list(HealthCheck),
)
RUNS = st.builds(
    Run,
    partitions=st.sampled_from([2, 5]),
    batch=st.sampled_from([1, 7]),
    seed=st.integers(0, 10_000),
    marks=st.booleans(),
    crashes=st.booleans(),
)


def assert_turns_red(case: Case, *, hunt: settings = HUNT, runs: st.SearchStrategy[Run] = RUNS) -> None:
    """`test_the_log_is_what_the_whole_input_says` fails for the engine as it is now."""

    @hunt
    @given(case.histories, runs)
    def holds(histories: Histories, run: Run) -> None:
        assert log_of(case, run.of(case, histories)) == case.expected(histories)

    with pytest.raises((AssertionError, Fault)):
        holds()
