"""Facts as inputs of columns against the row road: on a grid most records take the place of one that was known."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.column_runner import columned, every_batch, kept_alike
from tests.simulation.roads import Log, Logs, compared
from tests.simulation.test_time_rules import PROFILE, RUNS

from headwater.errors import Fault
from headwater.processing import column_changes, column_versions
from headwater.processing.column_exchange import hands_over
from headwater.processing.columns import reads_columns
from headwater.processing.expressions import col
from headwater.processing.flow import Stream, count, total
from headwater.processing.steps import Stage
from headwater.processing.windows import tumbling, whole
from headwater.testing.conformance.runner_cases import GRID_FOLD, HOURLY, Case, Histories, Run, hourly, log_of
from headwater.testing.harness import plan_of, product
from headwater.testing.oracles import aggregate_as_of, grid_as_of

TICK, GRID = 10, 20
HOURS, OTHERS = "a.hours.v1", "b.hours.v1"
FIELDS = {"k": "string", "n": "long", "ok": "boolean", "note": ["null", "string"]}
FACTS = product("a.hours", shape="fact", key=["k"], fields=FIELDS, grid=True)
MORE = product("b.hours", shape="fact", key=["k"], fields=FIELDS, grid=True)
SUMS = product("a.sums", shape="fact", key=["k"], fields={"k": "string", "hours": "long", "n": "long"})
SCHEMA = pa.schema(
    [
        *(("k", pa.string()), ("n", pa.int64()), ("ok", pa.bool_()), ("note", pa.string())),
        *(("valid_from", pa.int64()), ("valid_to", pa.int64())),
        *(("recorded_at", pa.int64()), ("kind", pa.string()), ("revision", pa.int64())),
    ]
)
SCHEMAS = {HOURS: SCHEMA, OTHERS: SCHEMA}


def sums(rows: Stream) -> Stream:
    return rows.aggregate(by=["k"], window=whole(), hours=count(), n=total("n"))


def chosen(rows: Stream) -> Stream:
    """Corrections move rows in and out of the filter."""
    some = rows.filter(col("n") != 1).map(n=col("n") * 3)
    return some.aggregate(by=["k"], window=tumbling("40us"), hours=count(), n=total("n"))


def united(rows: Stream, others: Stream) -> Stream:
    both = rows.select("k", "n").union(others.filter(col("n") != 2).select("k", "n"), named="of")
    return both.aggregate(by=["k"], window=tumbling("40us"), hours=count(), n=total("n"))


def stage_of(flow: Any, *inputs: Any, output: Any = SUMS) -> Stage:
    return plan_of(flow, inputs, output, tick=TICK).stages[0]


STAGES = {
    "sums": stage_of(sums, FACTS),
    "chosen": stage_of(chosen, FACTS),
    "never late": stage_of(chosen, FACTS, output=replace(SUMS, accept_late=25)),
    "never corrected": stage_of(chosen, replace(FACTS, corrections=False)),
    "united": stage_of(united, FACTS, MORE),
}
EVERY_STAGE = pytest.mark.parametrize("name", STAGES)


@st.composite
def hours(draw: st.DrawFn) -> Log:
    """Facts that come, are corrected, repeated, superseded, taken back and said again, some within their tick."""
    recorded_at, log = draw(st.integers(0, 20)), list[tuple[bytes | None, Any]]()
    starts = st.integers(-2, draw(st.sampled_from([-1, 6])))
    numbers = st.integers(-1, 3) | st.integers(-(1 << 60), 1 << 60) if draw(st.booleans()) else st.integers(-1, 3)
    for _ in range(draw(st.integers(0, 50))):
        recorded_at += draw(st.sampled_from([0, 0, 0, 1, 3, 10, 25]))
        if not draw(st.integers(0, 8)):
            log.append((None, recorded_at // TICK * TICK - 1))
            continue
        start = draw(starts) * GRID
        end = draw(st.sampled_from([*[start + GRID] * 20, None, None, start]))
        record = {
            "valid_from": start, "valid_to": end, "k": draw(st.sampled_from(["a", "b", "ä", ""])), "n": draw(numbers),
            "ok": draw(st.booleans()), "note": draw(st.none() | st.sampled_from(["", 'q"'])),
            "recorded_at": recorded_at, "kind": draw(st.sampled_from(["assert", "assert", "correct", "retract"])),
            "revision": draw(st.integers(1, 4)),
        }  # fmt: skip
        log.append((record["k"].encode(), record))
    return [*log, (None, 10_000)]


def logs_of(stage: Stage, *logs: Log) -> Logs:
    return {entry.topic: log for entry, log in zip(stage.inputs, logs, strict=False)}


@EVERY_STAGE
@settings(max_examples=20, deadline=None)
@given(left=hours(), right=hours(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(name: str, left: Log, right: Log, seed: int) -> None:
    if name == "never corrected":
        left = [(key, one if key is None else {**one, "kind": "assert", "revision": 1}) for key, one in left]
    with every_batch():
        compared(STAGES[name], logs_of(STAGES[name], left, right), SCHEMAS, seed)


def busy(topic: str) -> Log:
    """Sums by hour as a fold says them: each hour is said, and then corrected again and again; one in twenty goes."""
    chance = random.Random(topic)
    revisions: dict[tuple[str, int], int] = {}
    log: list[tuple[bytes | None, Any]] = []
    for number in range(400):
        key, start = f"k{chance.randrange(3)}", (number // 40 - chance.randrange(2)) * GRID
        revision = revisions[key, start] = revisions.get((key, start), 0) + (number % 11 != 0)
        said = {"valid_from": start, "valid_to": None if number % 9 == 0 else start + GRID, "k": key, "n": number % 7}
        said |= {"ok": True, "note": None, "recorded_at": number, "revision": max(revision, 1)}
        log.append((key.encode(), said | {"kind": "retract" if number % 20 == 7 else "correct"}))
        if number % 50 == 30:  # comes and goes within its tick, where nothing else ever is
            once = {**said, "valid_from": 9_000 + number * GRID, "valid_to": None, "kind": "assert"}
            log += [(key.encode(), {**once, "n": 1 if gone else 5, "revision": 1 + gone}) for gone in (0, 1)]
    return [*log, (None, 10_000)]


@pytest.mark.parametrize("name", ["sums", "chosen", "united"])
def test_all_that_is_said_of_facts_goes_as_columns(name: str) -> None:
    stage = STAGES[name]
    logs = logs_of(stage, busy(HOURS), busy(OTHERS))
    assert reads_columns(stage) == tuple(logs)
    with every_batch():
        assert compared(stage, logs, SCHEMAS, seed=2) > 350 * len(logs)


# Handed over to another key, and against oracles.


BY_FLIGHTS = product("airports.counts", shape="fact", key=["flights"], fields={"flights": "long", "hours": "long"})


def _by_flights(histories: Histories, at: int) -> Any:
    folded = aggregate_as_of(
        grid_as_of(histories[HOURLY.topic], ["origin"], at),
        group=lambda fact: (fact["flights"],),
        interval=lambda fact: (fact["valid_from"] // 60 * 60, fact["valid_from"] // 60 * 60 + 60),
        value=len,
    )
    return {
        (key, start, end): {"flights": key[0], "valid_from": start, "valid_to": end, "hours": hours}
        for (key, start, end), hours in folded.items()
    }


MOVED = Case(
    "facts handed over to another key",
    lambda facts: facts.aggregate(by=["flights"], window=tumbling("60us"), hours=count()),
    (HOURLY,),
    BY_FLIGHTS,
    st.fixed_dictionaries({HOURLY.topic: hourly}),
    _by_flights,
)


@pytest.mark.parametrize("case", [GRID_FOLD, MOVED], ids=lambda case: case.name)
def test_the_log_is_what_the_whole_input_says_and_state_is_that_of_rows(case: Case) -> None:
    @settings(PROFILE, max_examples=25)
    @given(case.histories, RUNS, st.sampled_from([1.0, 1.0, 0.5]))
    def holds(histories: Histories, run: Any, share: float) -> None:
        by_both = kept_alike(case, histories, run, share)
        assert hands_over(by_both.plan.stages[0]) == (case is MOVED)
        assert log_of(case, by_both) == case.expected(histories)

    holds()


def test_new_facts_are_handed_over_as_columns_and_what_changes_by_rows() -> None:
    said = {"origin": "JFK", "delay": 0, "kind": "assert", "revision": 1}
    history = [
        said | {"valid_from": at * 20, "valid_to": at * 20 + 20, "recorded_at": at * 3, "flights": at % 5}
        for at in range(200)
    ]
    again = [{**fact, "flights": 2, "kind": "correct", "revision": 2, "recorded_at": 800} for fact in history[::20]]
    histories: Histories = {HOURLY.topic: [*history, *again]}
    with every_batch():
        runner = columned(MOVED, histories, Run(partitions=2, batch=60, seed=3), 1.0)
    assert log_of(MOVED, runner) == MOVED.expected(histories)
    assert runner.columnar[runner.plan.stages[0].name] >= 200
    assert runner.many > 5


# Saboteurs: each breaks the columnar road in one place, and the comparison must see it.


def _forgets_what_was_known(patch: pytest.MonkeyPatch) -> None:
    whole = column_changes.followed
    patch.setattr(column_changes, "followed", lambda records, known: whole(records, known * 0))


def _counts_each_record_of_a_tick(patch: pytest.MonkeyPatch) -> None:
    """A row that is gone again at the tick's end touches its cell."""
    whole = column_changes.followed

    def followed(records: Any, known: Any) -> Any:
        return whole(records._replace(ticks=np.arange(len(records.codes))), known)

    patch.setattr(column_changes, "followed", followed)


def _leaves_what_goes(patch: pytest.MonkeyPatch) -> None:
    whole = column_changes.ColumnChanges.split
    patch.setattr(
        column_changes.ColumnChanges,
        "split",
        lambda self, parts: replace(whole(self, parts), gone=column_changes.NO_ROWS),
    )


def _tells_intervals_by_their_start(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("headwater.processing.column_state.ends_of", lambda valid_to: np.zeros(len(valid_to), np.int64))


def _takes_back_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_versions, "_RETRACT", pa.scalar("never"))


def _replaces_by_the_oldest(patch: pytest.MonkeyPatch) -> None:
    whole = column_changes.followed

    def followed(*arguments: Any) -> Any:
        found = whole(*arguments)
        return found._replace(then=np.full(len(found.then), -1))

    patch.setattr(column_changes, "followed", followed)


@pytest.mark.parametrize(
    "broken",
    [
        _forgets_what_was_known,
        _counts_each_record_of_a_tick,
        _leaves_what_goes,
        _tells_intervals_by_their_start,
        _takes_back_nothing,
        _replaces_by_the_oldest,
    ],
)
def test_a_broken_road_is_seen(monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    logs = logs_of(STAGES["chosen"], busy(HOURS))
    broken(monkeypatch)
    with every_batch(), pytest.raises((AssertionError, Fault)):
        compared(STAGES["chosen"], logs, SCHEMAS, seed=2)
