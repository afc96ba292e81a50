"""`join_as_of` as columns against the row road: the same histories, cut anyhow, give the same bytes and state."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.roads import Driver, Log, Logs, compared

from headwater.errors import Fault
from headwater.processing import column_ends, column_intake, timelines
from headwater.processing import column_join as road
from headwater.processing.column_ends import Delta
from headwater.processing.column_join import ColumnJoin
from headwater.processing.column_join_road import joins
from headwater.processing.expressions import col
from headwater.processing.flow import Stream
from headwater.processing.steps import Stage
from headwater.processing.timelines import Timelines
from headwater.testing.harness import plan_of, product

TICK = 10
ORDER = {"k": "string", "n": "long", "ok": "boolean", "note": ["null", "string"]}
ORDERS = replace(product("a.orders", shape="event", key=["k"], fields=ORDER), corrections=False)
FACTS = product("a.facts", shape="fact", key=["k"], fields={"k": "string", "grade": "string", "at": "long"})
GRADED = {**ORDER, "grade": ["null", "string"], "at": ["null", "long"]}
JOINED = product("a.joined", shape="event", key=["k"], fields=GRADED)
SOME = product("a.joined", shape="event", key=["k"], fields={"k": "string", "m": "long", "grade": ["null", "string"]})
_TIMES = [("event_id", pa.string()), ("occurred_at", pa.int64())]
_INTERVAL = [("valid_from", pa.int64()), ("valid_to", pa.int64())]
_HIDDEN = [("recorded_at", pa.int64()), ("kind", pa.string()), ("revision", pa.int64())]
_ORDER = [("k", pa.string()), ("n", pa.int64()), ("ok", pa.bool_()), ("note", pa.string())]
COLUMNS = {
    "a.orders.v1": pa.schema([*_TIMES, *_ORDER, *_HIDDEN]),
    "a.facts.v1": pa.schema([*_INTERVAL, ("k", pa.string()), ("grade", pa.string()), ("at", pa.int64()), *_HIDDEN]),
}


def plain(orders: Stream, facts: Stream) -> Stream:
    return orders.join_as_of(facts, on={"k": "k"}, take={"grade": "grade", "at": "at"})


def chosen(orders: Stream, facts: Stream) -> Stream:
    """Filters and computed fields on both sides."""
    good = facts.filter(col("at") >= 0)
    return orders.filter(col("n") != 1).map(m=col("n") + 1).join_as_of(good, on={"k": "k"}, take={"grade": "grade"})


def stepped(orders: Stream, facts: Stream) -> Stream:
    """What facts change moves rows in and out of a filter, and means of what sums to more than 64 bits hold."""
    joined = plain(orders, facts).filter((col("grade") != "y") | (col("n") > 0))
    return joined.map(m=((col("n") + col("at").coalesce(0)) // 2).coalesce(0))


STAGES = [
    plan_of(plain, [ORDERS, FACTS], JOINED, tick=TICK).stages[0],
    plan_of(chosen, [ORDERS, FACTS], SOME, tick=TICK).stages[0],
    plan_of(stepped, [ORDERS, FACTS], SOME, tick=TICK).stages[0],
]
NAMES = ["plain", "chosen", "stepped"]
LEFT, RIGHT = "a.orders.v1", "a.facts.v1"


KEYS = st.sampled_from(["a", "b", "\u00e4", "", 'q"\\', "a\x00"])
STEPS = st.sampled_from([0, 0, 0, 1, 3, 10, 25])
INSTANTS = st.integers(-30, 30)
NUMBERS = st.integers(-1, 3) | st.sampled_from([-1, 0, 1, (1 << 62) - 1])


@st.composite
def orders(draw: st.DrawFn) -> Log:
    """Events that are new, and now and then one that is not as the contract says."""
    recorded_at, log = draw(st.integers(0, 20)), list[tuple[bytes | None, Any]]()
    for number in range(draw(st.integers(0, 40))):
        recorded_at += draw(STEPS)
        if not draw(st.integers(0, 8)):
            log.append((None, recorded_at // TICK * TICK - 1))
            continue
        odd = not draw(st.integers(0, 25))
        record = {
            "event_id": f"e{number}", "occurred_at": draw(INSTANTS), "k": draw(KEYS), "n": draw(NUMBERS),
            "ok": draw(st.booleans()), "note": draw(st.none() | KEYS), "recorded_at": recorded_at,
            "kind": draw(st.sampled_from(["correct", "retract"])) if odd else "assert", "revision": 2 if odd else 1,
        }  # fmt: skip
        log.append((record["k"].encode(), record))
    return [*log, (None, 10_000)]


@st.composite
def facts(draw: st.DrawFn) -> Log:
    """Facts that override each other, are corrected, repeated, superseded and taken back."""
    recorded_at, log = draw(st.integers(0, 20)), list[tuple[bytes | None, Any]]()
    for _ in range(draw(st.integers(0, 25))):
        recorded_at += draw(STEPS)
        if not draw(st.integers(0, 8)):
            log.append((None, recorded_at // TICK * TICK - 1))
            continue
        start, size = draw(INSTANTS), draw(st.none() | st.integers(0, 20))
        record = {
            "valid_from": start, "valid_to": None if size is None else start + size, "k": draw(KEYS),
            "grade": draw(st.sampled_from(["x", "y", '"'])), "at": draw(NUMBERS), "recorded_at": recorded_at,
            "kind": draw(st.sampled_from(["assert", "correct", "retract"])), "revision": draw(st.integers(1, 3)),
        }  # fmt: skip
        log.append((record["k"].encode(), record))
    return [*log, (None, 10_000)]


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
@settings(max_examples=20, deadline=None)
@given(left=orders(), right=facts(), seed=st.integers(0, 1 << 30), short=st.sampled_from([0, 1, 99]))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(
    stage: Stage, left: Log, right: Log, seed: int, short: int
) -> None:
    compare(stage, {LEFT: left, RIGHT: right}, seed, short=short)


def compare(stage: Stage, logs: Logs, seed: int, *, short: int = 99) -> int:
    """How many records went as columns; raises where the two roads differ."""
    before = column_intake.LEAST_ROWS, timelines.SHORT
    column_intake.LEAST_ROWS, timelines.SHORT = 1, short
    try:
        return compared(stage, logs, COLUMNS, seed)
    finally:
        column_intake.LEAST_ROWS, timelines.SHORT = before


def busy_logs(events: int) -> Logs:
    """Orders of few customers, each tick with facts that change what earlier ones were joined to."""
    chance = random.Random(7)
    left, right = list[tuple[bytes | None, Any]](), list[tuple[bytes | None, Any]]()
    for number in range(events):
        key = f"k{chance.randrange(9)}"
        at = number * 2
        order = {"event_id": f"e{events - number}", "occurred_at": at - chance.randrange(99), "k": key, "n": number}
        order |= {"ok": number % 2 == 0, "note": None if number % 3 else key, "recorded_at": at}
        left.append((key.encode(), order | {"kind": "assert", "revision": 1}))
        if not number % 7:
            start = at - chance.randrange(200)
            fact = {"valid_from": start, "valid_to": None if number % 2 else start + chance.randrange(1, 99), "k": key}
            fact |= {"grade": f"g{number}", "at": number, "recorded_at": at, "revision": 1}
            right.append((key.encode(), fact | {"kind": "assert" if chance.randrange(6) else "retract"}))
    return {LEFT: [*left, (None, 10_000)], RIGHT: [*right, (None, 10_000)]}


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
def test_new_rows_go_as_columns_beside_what_facts_change(stage: Stage) -> None:
    assert compare(stage, busy_logs(400), seed=1) == 400
    assert compare(stage, busy_logs(400), seed=1, short=2) == 400


def test_an_event_that_was_there_before_is_told_by_rows() -> None:
    logs = busy_logs(60)
    again = [(key, record | {"recorded_at": 500}) for key, record in logs[LEFT][:30] if key is not None]
    for columnar in (True, False):
        driver = Driver(
            STAGES[0],
            {LEFT: [*logs[LEFT][:-1], *again, (None, 10_000)], RIGHT: logs[RIGHT]},
            COLUMNS,
            columnar=columnar,
        )
        for topic in driver.logs:
            driver.take(topic, 99)
        with pytest.raises(Fault) as caught:
            driver.commit()
        assert caught.value.code == "HW-P042"


def test_what_the_list_does_not_name_goes_row_by_row() -> None:
    doubles = product("a.facts", shape="fact", key=["k"], fields={"k": "string", "grade": "double"})
    graded = product("a.joined", shape="event", key=["k"], fields={"k": "string", "grade": ["null", "double"]})

    def joined(orders: Stream, facts: Stream) -> Stream:
        return orders.join_as_of(facts, on={"k": "k"}, take={"grade": "grade"})

    assert all(joins(stage) for stage in STAGES)
    for flow, inputs, output in (
        (joined, [ORDERS, doubles], graded),
        (lambda a, b: plain(a, b).filter(col("n") / 2 > 0), [ORDERS, FACTS], JOINED),
    ):
        assert not joins(plan_of(flow, inputs, output, tick=TICK).stages[0])


# Saboteurs: each breaks the columnar road in one place, and the comparison must see it.


def _says_nothing_again(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnJoin.__call__

    def joined(self: ColumnJoin, delta: Any, facts: Any) -> Any:
        scan, self._join.rows.scan_many = self._join.rows.scan_many, lambda spans: iter(())
        try:
            return whole(self, delta, facts)
        finally:
            self._join.rows.scan_many = scan

    patch.setattr(ColumnJoin, "__call__", joined)


def _takes_what_has_ended(patch: pytest.MonkeyPatch) -> None:
    whole = road.held_at

    def held_at(kept: Timelines, keys: Any, of_row: Any, instants: Any) -> Any:
        return whole(kept, keys, of_row, instants - 1)

    patch.setattr(road, "held_at", held_at)


def _keeps_no_rows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("headwater.processing.state.Table.put_packed", lambda self, keys, bodies: None)


def _passes_what_fails(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Delta, "by_rows", lambda self, names: Delta(column_ends.NO_ROWS, self.changes))


def test_steps_that_are_not_sure_go_by_rows_and_are_missed_where_they_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = busy_logs(100)
    for _, record in logs[LEFT][:-1]:
        record["n"] += (1 << 63) - 100
    compare(STAGES[2], logs, seed=1)
    _passes_what_fails(monkeypatch)
    with pytest.raises(AssertionError):
        compare(STAGES[2], logs, seed=1)


@pytest.mark.parametrize("broken", [_says_nothing_again, _takes_what_has_ended, _keeps_no_rows])
def test_a_broken_join_is_seen(monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        compare(STAGES[0], busy_logs(400), seed=1)
