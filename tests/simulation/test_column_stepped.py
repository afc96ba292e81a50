"""Folds that are mapped and filtered before they are published, as columns against the row road: the same bytes and
state, and the same numbers of records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.column_runner import every_batch
from tests.simulation.roads import Log, compared
from tests.simulation.test_column_changes import EVENTS, LEFT, TICK, amended
from tests.simulation.test_column_handover import busy_log, handed_on, parted_by_key
from tests.simulation.test_column_join import COLUMNS

from headwater.errors import Fault
from headwater.processing import column_changed
from headwater.processing.column_results import Published, Results
from headwater.processing.columns import takes_columns
from headwater.processing.expressions import col, when
from headwater.processing.flow import Stream, average, count, maximum, total
from headwater.processing.windows import hopping, tumbling
from headwater.testing.harness import plan_of, product

NUMBER, DOUBLE = ["null", "long"], ["null", "double"]
MADE = product("a.made", shape="fact", key=["k"], fields={"k": "string", "m": NUMBER, "events": NUMBER})
FULL = product("a.full", shape="fact", key=["k"], fields={"k": "string", "full": "boolean"})
MEANS = product("a.means", shape="fact", key=["k"], fields={"k": "string", "mean": DOUBLE, "most": NUMBER})
NOTED = product("a.noted", shape="fact", key=["note"], fields={"note": ["null", "string"], "m": NUMBER})


def some(rows: Stream) -> Stream:
    """What is said of a cell comes and goes with what it amounts to."""
    made = rows.aggregate(by=["k"], window=tumbling("20us"), events=count(), n=total("n"))
    return made.filter(col("n") != 3).map(m=col("n") * 2 + 1).select("k", "m", "events")


def full(rows: Stream) -> Stream:
    """Most of what changes is not seen."""
    made = rows.aggregate(by=["k"], window=tumbling("20us"), events=count(), n=total("n"))
    return made.map(full=when(col("events") > 2).then(True).otherwise(False)).select("k", "full")


def means(rows: Stream) -> Stream:
    """Of cells of which something goes by rows, with all that is said of them."""
    made = rows.aggregate(by=["k"], window=hopping("40us", every="20us"), mean=average("n"), most=maximum("n"))
    return made.filter(col("most") > 0).map(mean=col("mean") * 2.0)


def noted(rows: Stream) -> Stream:
    """By another key, which may be none."""
    made = rows.aggregate(by=["note"], window=tumbling("20us"), n=total("n"), events=count())
    return made.filter(col("events") > 1).map(m=col("n") // 2).select("note", "m")


FLOWS: dict[str, tuple[Any, Any]] = {
    "some": (some, MADE),
    "full": (full, FULL),
    "means": (means, MEANS),
    "noted": (noted, NOTED),
}
PLANS = {
    name: plan_of(flow, [replace(EVENTS, partitions=2)], replace(output, partitions=2), tick=TICK).stages
    for name, (flow, output) in FLOWS.items()
}
EVERY_PLAN = pytest.mark.parametrize("name", PLANS)


def alike(name: str, log: Log, seed: int) -> int:
    """How many records went as columns of the first partition of the last stage; raises where the two roads differ."""
    *before, last = PLANS[name]
    parted = parted_by_key(log)
    for stage in before:
        parted = handed_on(stage, parted, seed)
    with every_batch():
        return compared(last, {last.inputs[0].topic: parted[0]}, COLUMNS, seed)


@EVERY_PLAN
@settings(max_examples=25, deadline=None)
@given(log=amended(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(name: str, log: Log, seed: int) -> None:
    alike(name, log, seed)


@EVERY_PLAN
def test_most_of_a_busy_history_goes_as_columns(name: str) -> None:
    assert PLANS[name][0].inputs[0].topic == LEFT and all(takes_columns(stage) for stage in PLANS[name])
    assert alike(name, busy_log(600), 5) > 100


# Saboteurs: each breaks the end in one place, and the comparison must show it.


def numbers_what_is_not_said(patch: pytest.MonkeyPatch) -> None:
    whole = Published._block

    def block(self: Published, results: Results) -> Any:
        results.number(slice(None))
        return whole(self, results)

    patch.setattr(Published, "_block", block)


def says_what_is_the_same(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_changed, "_without_repeats", lambda rows: rows)


def calls_all_that_comes_new(patch: pytest.MonkeyPatch) -> None:
    whole = Published._said

    def said(self: Published, results: Results) -> Any:
        which, was, comes, columns = whole(self, results)
        return which, np.zeros(len(was), bool), comes, columns

    patch.setattr(Published, "_said", said)


def takes_back_nothing(patch: pytest.MonkeyPatch) -> None:
    whole = Published._said

    def said(self: Published, results: Results) -> Any:
        which, was, comes, columns = whole(self, results)
        return which, was, comes | True, columns

    patch.setattr(Published, "_said", said)


@pytest.mark.parametrize(
    ("name", "break_it"),
    [
        ("some", numbers_what_is_not_said),
        ("full", says_what_is_the_same),
        ("some", calls_all_that_comes_new),
        ("some", takes_back_nothing),
    ],
)
def test_a_broken_end_is_seen(
    monkeypatch: pytest.MonkeyPatch, name: str, break_it: Callable[[pytest.MonkeyPatch], None]
) -> None:
    break_it(monkeypatch)
    with pytest.raises((AssertionError, Fault)):
        alike(name, busy_log(400), 5)
