"""The rules of time (docs/concepts/time.md) over generated histories: each flow's log is exactly the oracle's."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.testing.conformance.calendar_cases import CALENDAR_CASES
from headwater.testing.conformance.explode_cases import EXPLODE_CASES
from headwater.testing.conformance.fold_cases import FOLD_CASES
from headwater.testing.conformance.latest_cases import LATEST_CASES
from headwater.testing.conformance.pass_cases import PASS_CASES
from headwater.testing.conformance.runner_cases import CASES, TICK, Case, Histories, Run, log_of
from headwater.testing.conformance.session_cases import SESSION_CASES
from headwater.testing.conformance.union_cases import UNION_CASES
from headwater.testing.conformance.within_cases import WITHIN_CASES

ALL_CASES = (
    *CASES,
    *EXPLODE_CASES,
    *FOLD_CASES,
    *SESSION_CASES,
    *UNION_CASES,
    *WITHIN_CASES,
    *LATEST_CASES,
)
EVERY_CASE = pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
PROFILE = settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
RUNS = st.builds(
    Run,
    partitions=st.sampled_from([1, 2, 5]),
    batch=st.sampled_from([1, 7, 500]),
    seed=st.integers(0, 10_000),
    marks=st.booleans(),
    crashes=st.booleans(),
)


@pytest.mark.parametrize("case", (*ALL_CASES, *CALENDAR_CASES, *PASS_CASES), ids=lambda case: case.name)
def test_the_log_is_what_the_whole_input_says(case: Case) -> None:
    """Invariants 3 to 8: late, corrected, moved, retracted, repeated and superseded inputs, however a run is cut."""

    @PROFILE
    @given(case.histories, RUNS)
    def holds(histories: Histories, run: Run) -> None:
        assert log_of(case, run.of(case, histories)) == case.expected(histories)

    holds()


@EVERY_CASE
def test_each_partition_is_in_order_and_revisions_have_no_gaps(case: Case) -> None:
    """Invariants 2, 4 and 5, seen on the partitions themselves."""

    @PROFILE
    @given(case.histories, RUNS)
    def holds(histories: Histories, run: Run) -> None:
        runner = run.of(case, histories)
        revisions: dict[object, int] = {}
        for partition in runner.topics[case.output.topic]:
            places = []
            for entry in partition:
                if entry.record is not None:
                    identity = case.identity(entry.record)
                    places.append(case.place(entry.record))
                    revisions[identity] = revisions.get(identity, 0) + 1
                    assert entry.record["revision"] == revisions[identity]
                    assert entry.record["recorded_at"] % TICK == TICK - 1
            assert all(first < second for first, second in pairwise(places))

    holds()


@EVERY_CASE
def test_a_log_is_a_prefix_of_the_longer_log(case: Case) -> None:
    """Invariants 1, 3 and 9: what is recorded after T changes nothing at T."""

    @PROFILE
    @given(case.histories, st.integers(0, 150), RUNS)
    def holds(histories: Histories, cut: int, run: Run) -> None:
        end = cut // TICK * TICK + TICK - 1
        until = {
            topic: [record for record in history if record["recorded_at"] <= end]
            for topic, history in histories.items()
        }
        early = log_of(case, run.of(case, until))
        whole = log_of(case, run.of(case, histories))
        assert early == [entry for entry in whole if entry["recorded_at"] <= end]

    holds()


@EVERY_CASE
def test_every_record_read_is_accounted_for(case: Case) -> None:
    """Invariant 6: inputs = folded + repeats + superseded, and nothing is dropped without being counted."""

    @PROFILE
    @given(case.histories)
    def holds(histories: Histories) -> None:
        runner = Run().of(case, histories)
        for stage in runner.plan.stages:
            counts = runner.counts(stage.name)
            assert counts["read"] == counts["folded"] + counts["repeats"] + counts["superseded"]
            assert counts["reread"] == counts["refused"] == 0

    holds()
