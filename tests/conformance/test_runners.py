"""The suite over runners on the one that needs no stack; `tests/integration/test_runners.py` has the others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from headwater.ports.memory import MemoryBroker
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.conformance.runner_memory import MemoryOnTrial
from headwater.testing.conformance.runner_trial import Trial
from headwater.testing.conformance.runners import ALL, SHORT, distinct, drawn, run_trial


def trial_of(folder: Path, number: int, files: object = SHORT) -> Trial:
    cases = distinct(files)  # type: ignore[arg-type]
    return Trial.made(folder, MemoryBroker(), MemoryRegistry(), cases, drawn(cases, number), "xq7")


@pytest.mark.slow
@pytest.mark.parametrize("number", [2])
def test_the_memory_runner_makes_what_the_oracle_says(tmp_path: Path, number: int) -> None:
    assert run_trial(MemoryOnTrial(seed=number), trial_of(tmp_path, number, ALL), number=number) == []


def test_a_runner_that_forgets_is_found_out(tmp_path: Path) -> None:
    wrong = run_trial(MemoryOnTrial(forgets=True), trial_of(tmp_path, 1), number=1)
    assert len(wrong) >= 3, wrong


@pytest.mark.slow
def test_the_inputs_come_late_twice_corrected_and_retracted() -> None:
    """In the histories of a number that the runners are tried on, and of each more than once."""
    found: Counter[str] = Counter()
    for history in drawn(distinct(ALL), 3).values():
        if not history or "event_id" not in history[0]:
            continue  # facts have no id of their own
        newest: dict[str, int] = {}
        ahead = 0
        for record in history:
            identity, time = record["event_id"], record["occurred_at"]
            known = newest.get(identity, 0)
            found["late"] += time < ahead
            found["twice"] += record["revision"] == known
            found["superseded"] += record["revision"] < known
            found["corrected"] += record["revision"] > known > 0
            found["retracted"] += record["kind"] == "retract"
            newest[identity], ahead = max(known, record["revision"]), max(ahead, time)
    assert {name for name, times in found.items() if times > 3} == {
        *("late", "twice", "superseded", "corrected", "retracted")
    }
