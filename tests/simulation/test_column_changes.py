"""Corrected inputs as columns against the row road: what is new as columns, what is not by rows, the same of both."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.roads import Driver, Log, Logs, compared
from tests.simulation.test_column_join import COLUMNS, JOINED, ORDERS, RIGHT, SOME, chosen, facts, plain, stepped
from tests.simulation.test_column_join import FACTS as GRADES

from headwater.errors import Fault
from headwater.processing import column_intake, column_measures
from headwater.processing.column_changes import ColumnChanges
from headwater.processing.columns import reads_columns
from headwater.processing.expressions import col
from headwater.processing.flow import Stream, count, total
from headwater.processing.operators.changes import Changes
from headwater.processing.steps import Stage
from headwater.processing.windows import tumbling, whole
from headwater.testing.harness import plan_of, product

TICK = 10
LEFT = "a.orders.v1"
EVENTS = replace(ORDERS, corrections=True)
SUMS = product("a.sums", shape="fact", key=["k"], fields={"k": "string", "events": "long", "n": "long", "seen": "long"})
TOTALS = product("a.totals", shape="fact", key=["k"], fields={"k": "string", "n": "long"})


def sums(rows: Stream) -> Stream:
    return rows.aggregate(by=["k"], window=whole(), events=count(), n=total("n"), seen=count("ok"))


def late(rows: Stream) -> Stream:
    """Corrections move rows between intervals, in and out of the filter."""
    chosen = rows.filter(col("n") != 1).map(n=col("n") * 3)
    return chosen.aggregate(by=["k"], window=tumbling("20us"), events=count(), n=total("n"), seen=count("ok"))


def totals(rows: Stream) -> Stream:
    return rows.aggregate(by=["k"], window=whole(), n=total("n"))


def renamed(rows: Stream) -> Stream:
    """To rows there is nothing to do: a name is no part of them."""
    return rows.map(m=col("n")).aggregate(by=["k"], window=whole(), n=total("m"))


STAGES = [
    plan_of(sums, [EVENTS], SUMS, tick=TICK).stages[0],
    plan_of(late, [EVENTS], SUMS, tick=TICK).stages[0],
    plan_of(totals, [EVENTS], TOTALS, tick=TICK).stages[0],
    plan_of(renamed, [EVENTS], TOTALS, tick=TICK).stages[0],
    plan_of(plain, [EVENTS, GRADES], JOINED, tick=TICK).stages[0],
    plan_of(chosen, [EVENTS, GRADES], SOME, tick=TICK).stages[0],
    plan_of(stepped, [EVENTS, GRADES], SOME, tick=TICK).stages[0],
]
NAMES = ["sums", "late", "totals", "renamed", "joined", "chosen", "stepped"]
KEYS = st.sampled_from(["a", "b", "ä", ""])


@st.composite
def amended(draw: st.DrawFn) -> Log:
    """Events that are corrected, repeated, superseded, taken back and said again, in whichever order."""
    recorded_at, log = draw(st.integers(0, 20)), list[tuple[bytes | None, Any]]()
    names = st.integers(0, draw(st.sampled_from([3, 60])))
    large = draw(st.booleans())
    numbers = st.integers(-1, 3) | st.integers(-(1 << 60), 1 << 60) if large else st.integers(-1, 3)
    for _ in range(draw(st.integers(0, 50))):
        recorded_at += draw(st.sampled_from([0, 0, 0, 1, 3, 10, 25]))
        if not draw(st.integers(0, 8)):
            log.append((None, recorded_at // TICK * TICK - 1))
            continue
        record = {
            "event_id": f"e{draw(names)}", "occurred_at": draw(st.integers(-30, 30)), "k": draw(KEYS),
            "n": draw(numbers), "ok": draw(st.booleans()), "note": draw(st.none() | KEYS), "recorded_at": recorded_at,
            "kind": draw(st.sampled_from(["assert", "assert", "correct", "retract"])),
            "revision": draw(st.integers(1, 3)),
        }  # fmt: skip
        log.append((record["k"].encode(), record))
    return [*log, (None, 10_000)]


@contextmanager
def every_batch() -> Iterator[None]:
    before, column_intake.LEAST_ROWS = column_intake.LEAST_ROWS, 1
    try:
        yield
    finally:
        column_intake.LEAST_ROWS = before


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
@settings(max_examples=20, deadline=None)
@given(left=amended(), right=facts(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(stage: Stage, left: Log, right: Log, seed: int) -> None:
    with every_batch():
        compared(stage, {LEFT: left, RIGHT: right} if len(stage.inputs) > 1 else {LEFT: left}, COLUMNS, seed)


def busy_logs(stage: Stage) -> Logs:
    """Events of which some are corrected later, within their tick too, and some are taken back."""
    chance = random.Random(3)
    log, said = list[tuple[bytes | None, Any]](), list[dict[str, Any]]()
    for number in range(400):
        key = f"k{chance.randrange(5)}"
        record = {"event_id": f"e{number}", "occurred_at": number - chance.randrange(60), "k": key, "n": number % 5}
        record |= {"ok": True, "note": None, "recorded_at": number, "kind": "assert", "revision": 1}
        log.append((key.encode(), record))
        said.append(record)
        if not number % 9:
            again = chance.choice(said[-30:])
            kind = chance.choice(["correct", "correct", "retract"])
            again |= {"n": chance.randrange(9), "recorded_at": number, "kind": kind, "revision": again["revision"] + 1}
            log.append((again["k"].encode(), dict(again)))
            said.remove(again)
    log = [(key, dict(record)) for key, record in log]
    for place, (key, record) in enumerate(log):
        if record["revision"] == 1:
            continue
        first = next(one for one, (_, other) in enumerate(log) if other["event_id"] == record["event_id"])
        if first != place:
            number = int(record["event_id"][1:])
            log[first] = key, record | {"n": number % 5, "recorded_at": number, "kind": "assert", "revision": 1}
    log.sort(key=lambda entry: entry[1]["recorded_at"])
    grades = [
        (f"k{number % 5}".encode(), {
            "valid_from": number - 50, "valid_to": None, "k": f"k{number % 5}", "grade": f"g{number}", "at": number,
            "recorded_at": number, "kind": "assert", "revision": 1,
        })
        for number in range(0, 400, 17)
    ]  # fmt: skip
    left: Log = [*log, (None, 10_000)]
    return {LEFT: left, RIGHT: [*grades, (None, 10_000)]} if len(stage.inputs) > 1 else {LEFT: left}


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
def test_what_is_new_goes_as_columns(stage: Stage) -> None:
    assert reads_columns(stage)
    with every_batch():
        assert compared(stage, busy_logs(stage), COLUMNS, seed=1) > 250


def test_a_cell_that_is_moved_and_moved_back_is_put_on_both_roads() -> None:
    """What a run of ticks leaves as it was is in the changelog all the same, as each tick has put it."""
    record = {"event_id": "e0", "occurred_at": 0, "k": "a", "n": 0, "ok": True, "note": None, "recorded_at": 0}
    record |= {"kind": "assert", "revision": 1}
    nothing = record | {"event_id": "e1", "recorded_at": 20}
    gone = nothing | {"recorded_at": 40, "kind": "retract", "revision": 2}
    log: Log = [(b"a", record), (None, 9), (b"a", nothing), (b"a", gone), (None, 99)]
    drivers = [Driver(STAGES[2], {LEFT: log}, COLUMNS, columnar=columnar) for columnar in (True, False)]
    with every_batch():
        for driver in drivers:
            for size in (2, 3):
                driver.take(LEFT, size)
                driver.commit()
    assert drivers[0].folded
    assert drivers[0].said == drivers[1].said


# Saboteurs: each breaks the columnar road in one place, and the comparison must see it.


def _takes_all_for_new(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("headwater.processing.state.Table.has_many", lambda self, keys: [False] * len(keys))


def _forgets_what_is_new(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ColumnChanges, "write", lambda self, split: self._changes.write(split.pending))


def _leaves_out_changes(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnChanges.split
    patch.setattr(ColumnChanges, "split", lambda self, parts: replace(whole(self, parts), changes={}))


def _folds_what_goes_as_what_comes(patch: pytest.MonkeyPatch) -> None:
    whole = column_measures.Weighed.without

    def without(self: Any, gone: Any) -> Any:
        rows = whole(self, gone)
        return rows if rows.weights is None else rows._replace(weights=np.abs(rows.weights))

    patch.setattr(column_measures.Weighed, "without", without)


def _judges_each_tick_by_itself(patch: pytest.MonkeyPatch) -> None:
    """What an earlier tick of the run said of an identity is not known."""
    whole = Changes.judge

    def judge(self: Changes, versions: Any, pending: Any) -> Any:
        own: dict[bytes, Any] = {}
        made = whole(self, versions, own)
        pending.update(own)
        return made

    patch.setattr(Changes, "judge", judge)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("joined", _takes_all_for_new),
        ("joined", _forgets_what_is_new),
        ("joined", _leaves_out_changes),
        ("joined", _judges_each_tick_by_itself),
        ("sums", _forgets_what_is_new),
        ("sums", _folds_what_goes_as_what_comes),
    ],
)
def test_broken_changes_are_seen(monkeypatch: pytest.MonkeyPatch, name: str, broken: Any) -> None:
    stage = STAGES[NAMES.index(name)]
    nothing: Log = [(None, 10_000)]  # no facts: many ticks close together
    logs = {topic: log if topic == LEFT else nothing for topic, log in busy_logs(stage).items()}
    broken(monkeypatch)
    with every_batch(), pytest.raises((AssertionError, Fault)):
        compared(stage, logs, COLUMNS, seed=1)
