"""What is mapped and filtered behind a `latest` or sessions and then published, as columns against the row road.

What a filter leaves out goes, and may come back over the same interval; a map makes two values alike. Of folds:
`test_column_stepped.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation import test_column_joins
from tests.simulation.roads import Logs
from tests.simulation.test_column_changes import EVENTS, amended
from tests.simulation.test_column_join import FACTS, ORDERS, RIGHT, TICK, facts, plain
from tests.simulation.test_column_outputs import alike, handed_over, long_logs
from tests.simulation.test_recall import LEFT

from headwater.errors import Fault
from headwater.processing import column_changed
from headwater.processing.column_branches import Numbers
from headwater.processing.column_changed import ChangedSteps
from headwater.processing.columns import reads_columns, takes_columns
from headwater.processing.expressions import col, when
from headwater.processing.flow import Stream, count, total
from headwater.processing.state import Table
from headwater.processing.steps import Stage
from headwater.processing.windows import session
from headwater.testing.harness import plan_of, product

NUMBER, HALF = {"k": "string", "n": ["null", "long"]}, {"k": "string", "n": ["null", "double"]}


def states(rows: Stream) -> Stream:
    """A piece that is left out goes, and may come back over the same interval."""
    return rows.select("k", "n").latest(by=["k"]).filter(col("n") != 2).select("k", n=col("n") * 3)


def sessions(rows: Stream) -> Stream:
    """Those of more than one event."""
    made = rows.aggregate(by=["k"], window=session("7us"), events=count(), n=total("n"))
    return made.filter(col("events") > 1).select("k", n=col("n") * 3)


def levels(rows: Stream) -> Stream:
    """Less often another value than another state."""
    return rows.select("k", "n").latest(by=["k"]).select("k", n=when(col("n") > 2).then(1).otherwise(0))


def joined(rows: Stream, grades: Stream) -> Stream:
    """Of sessions behind a join."""
    made = plain(rows, grades).aggregate(by=["k"], window=session("7us"), events=count("grade"), n=total("n"))
    return made.filter(col("events") > 1).select("k", "n")


def of(flow: Callable[..., Any], inputs: Any, fields: Any = NUMBER, lanes: int = 1) -> Any:
    """The stages of a flow, of one partition but for the first input's."""
    first, *rest = [replace(one, partitions=1) for one in inputs]
    output = product("a.b", shape="fact", key=["k"], fields=fields, partitions=1)
    return plan_of(flow, [replace(first, partitions=lanes), *rest], output, tick=TICK).stages


STAGES: dict[str, Stage] = {
    "states": of(states, [EVENTS])[0],
    "states, never corrected": of(states, [ORDERS])[0],
    "sessions": of(sessions, [EVENTS])[0],
    "sessions, never corrected": of(sessions, [ORDERS])[0],
    "levels": of(levels, [EVENTS])[0],
    "joined": of(joined, [EVENTS, FACTS])[0],
}
MOVED = {
    "states behind a rekey": of(states, [EVENTS], lanes=3),
    "sessions behind a rekey": of(sessions, [EVENTS], lanes=3),
}


def histories(name: str) -> st.SearchStrategy[Logs]:
    left = amended().map(test_column_joins.never_corrected) if "never" in name else amended()
    return st.fixed_dictionaries({LEFT: left, RIGHT: facts()} if name == "joined" else {LEFT: left})


@pytest.mark.parametrize("name", STAGES)
@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(name: str, data: st.DataObject, seed: int) -> None:
    alike(name, STAGES[name], data.draw(histories(name)), seed)


@pytest.mark.parametrize("name", MOVED)
@settings(max_examples=10, deadline=None)
@given(data=st.data(), seed=st.integers(0, 1 << 30))
def test_so_they_do_of_what_was_handed_over(name: str, data: st.DataObject, seed: int) -> None:
    alike(name, MOVED[name][1], handed_over(MOVED[name], data.draw(histories(name)), seed), seed)


def busy(name: str) -> tuple[Stage, Logs]:
    """A long history of which few rows are corrected or go."""
    logs = long_logs(name, ordered=name != "joined")
    return (MOVED[name][1], handed_over(MOVED[name], logs, 5)) if name in MOVED else (STAGES[name], logs)


@pytest.mark.parametrize("name", [*STAGES, *MOVED])
def test_most_of_a_busy_history_goes_as_columns(name: str) -> None:
    stage, logs = busy(name)
    assert takes_columns(stage)
    assert alike(name, stage, logs, 5) > 250


def test_what_columns_cannot_compute_goes_by_rows() -> None:
    def halved(rows: Stream) -> Stream:
        return rows.select("k", "n").latest(by=["k"]).map(n=col("n") / 2)

    assert not reads_columns(of(halved, [EVENTS], HALF)[0])
    assert reads_columns(STAGES["states"])


def _keeps_no_number(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Table, "put_many", lambda self, keys, values: None)


def _says_what_did_not_change(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_changed, "_without_repeats", lambda rows: rows)


def _calls_all_that_comes_new(patch: pytest.MonkeyPatch) -> None:
    whole = Numbers._numbered

    def numbered(self: Any, *given: Any) -> Any:
        numbers, fresh = whole(self, *given)
        return numbers, np.ones(len(fresh), bool)

    patch.setattr(Numbers, "_numbered", numbered)


def _forgets_the_steps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChangedSteps, "made", lambda self, rows: replace(rows, columns=rows.columns[: len(self._wanted)]))


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("states", _keeps_no_number),
        ("levels", _says_what_did_not_change),
        ("states", _calls_all_that_comes_new),
        ("sessions", _forgets_the_steps),
    ],
)
def test_what_is_broken_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, broken: Any) -> None:
    stage, logs = busy(name)
    broken(monkeypatch)
    with pytest.raises((AssertionError, Fault)):
        alike(name, stage, logs, 5)
