"""One suite over all runners: every operator, inputs late, corrected, moved, retracted and repeated, a kill in between.

What comes out is compared with the oracle, which shares no code with the engine, record by record and with nothing
left out: a repeat is a difference. What a runner refuses it must refuse with a reason, and by name in the list of what
it is known to refuse: so no operator slips away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from headwater.testing.conformance import (
    calendar_cases,
    explode_cases,
    fold_cases,
    latest_cases,
    pass_cases,
    runner_cases,
    session_cases,
    union_cases,
    within_cases,
)
from headwater.testing.conformance.runner_cases import Case, Histories
from headwater.testing.conformance.runner_mesh import CaseFile
from headwater.testing.conformance.runner_trial import RunnerOnTrial, Running, Trial, wait_for

DRAWN = 12  # histories drawn, of which the fullest is taken
SEEN_SECONDS = 180.0  # a first job may have to load all of Flink; one that ended is not waited for
SETTLED_SECONDS = 60.0
ONE_SECONDS = 30.0  # of each product: a runner may take one after the other, a job for each

_MODULES = (
    pass_cases,
    runner_cases,
    calendar_cases,
    fold_cases,
    session_cases,
    union_cases,
    explode_cases,
    latest_cases,
    within_cases,
)
ALL = tuple(
    CaseFile(value, module.__name__, name)
    for module in _MODULES
    for name, value in sorted(vars(module).items())
    if isinstance(value, Case) and name.isupper()
)
"""Every case of the memory runner's own suites, once."""

# One of each operator, rekeyed and not: map, filter, aggregate, as-of join, explode, latest, join within, union; and
# sessions, whose state is another than that of windows.
SHORT = tuple(
    file
    for file in ALL
    if file.name in {"AGGREGATE", "JOIN", "SCALARS", "STATES", "PAIRED", "FOLDED_UNION", "UNITED", "SESSIONS"}
)


def distinct(files: Sequence[CaseFile]) -> list[CaseFile]:
    """Each case once, and each product made by one of them only.

    >>> len(distinct([*SHORT, *SHORT])) == len(SHORT)
    True
    """
    found: dict[str, CaseFile] = {}
    for file in files:
        found.setdefault(file.case.output.topic, file)
    return list(found.values())


def drawn(files: Sequence[CaseFile], number: int) -> Histories:
    """A history of every input of these cases, the same for a number each time."""
    topics: dict[str, st.SearchStrategy[Any]] = {}
    for file in files:
        for port in file.case.inputs:
            topics.setdefault(port.topic, file.case.histories.map(itemgetter(port.topic)))
    found: list[Histories] = []

    @seed(number)
    @settings(
        max_examples=DRAWN,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(histories=st.fixed_dictionaries(topics))
    def draw(histories: Histories) -> None:
        found.append(histories)

    draw()
    return max(found, key=lambda histories: sum(map(len, histories.values())))


def run_trial(runner: RunnerOnTrial, trial: Trial, *, number: int) -> list[str]:
    """What is wrong with what the runner made, a line for each case; empty where all is right."""
    refused = runner.refused
    told = {file.name: runner.refusal(trial, trial.product(file.case)) for file in trial.files}
    wrong = [f"{name}: refused, {why}" for name, why in told.items() if why and name not in refused]
    wrong += [f"{name}: not refused" for name, why in told.items() if not why and name in refused]
    files = [file for file in trial.files if not told[file.name]]
    products = [trial.product(file.case) for file in files]
    trial.apply(products)
    trial.feed(0, 0.5, number)
    with _running(runner.start(trial, products), kill=True) as begun:
        wait_for(begun, lambda: any(trial.messages(file.case) for file in files), seconds=SEEN_SECONDS)
    trial.feed(0.5, 1, number)
    left = [file.case for file in files]

    def settled() -> bool:
        while left and trial.settled(left[-1]):  # what is settled stays so
            left.pop()
        return not left

    with _running(runner.start(trial, products), kill=False) as running:
        wait_for(running, settled, seconds=SETTLED_SECONDS + ONE_SECONDS * len(files))
    return wrong + [f"{file.name}: {why}" for file in files if (why := difference(trial, file.case))]


def difference(trial: Trial, case: Case) -> str:
    """Where a case's log leaves the oracle's; empty where it does not."""
    made, expected = trial.log(case), case.expected(trial.histories)
    for place, (ours, theirs) in enumerate(zip(made, expected, strict=False)):
        if ours != theirs:
            return f"entry {place} is {ours}, not {theirs}"
    return "" if len(made) == len(expected) else f"{len(made)} records, not {len(expected)}"


@contextmanager
def _running(running: Running, *, kill: bool) -> Iterator[Running]:
    """A runner that is killed at the end, or stopped in order; killed where it did not do what was waited for."""
    try:
        yield running
    except BaseException:
        running.kill()
        raise
    if kill:
        running.kill()
    else:
        running.stop()
