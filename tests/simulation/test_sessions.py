"""Sessions give way to others: as of any recorded moment a reader sees those of then, whole, apart, and nothing else.

A record overrides what was recorded before it on the overlap, and a retract leaves a hole. So where two sessions merge,
the order in which a tick says so decides what is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.hunting import HUNT, RUNS

from headwater.processing.expressions import col
from headwater.processing.flow import total
from headwater.processing.windows import tumbling
from headwater.testing.conformance.runner_cases import TICK, Case, Histories, Record, Run, Snapshot
from headwater.testing.conformance.session_cases import (
    CLICKS,
    OWN_SESSIONS,
    ROOMS,
    SESSION_ENDS,
    SESSIONS,
    SESSIONS_JOINED,
    SPAN,
    clicks,
    rooms,
    sessions_of,
)
from headwater.testing.harness import product
from headwater.testing.oracles import aggregate_as_of, events_as_of, expected_log, fact_as_of
from headwater.timeline.bitemporal import KnownFacts

PROFILE = settings(HUNT, max_examples=40)
MOVING = (SESSIONS, OWN_SESSIONS, SESSION_ENDS, SESSIONS_JOINED)


def read_as_of(case: Case, partitions: list[list[Any]], at: int) -> list[dict[str, Any]]:
    """What a reader who takes the topic in its order knows at a recorded moment, whenever it is true."""
    known = KnownFacts(case.output.key)
    for partition in partitions:
        for entry in partition:
            if entry.record is not None and entry.record["recorded_at"] <= at:
                known.take(entry.record)
    return [case.value(fact) for fact in known.rows()]


def in_order(values: Any) -> list[dict[str, Any]]:
    return sorted(values, key=lambda value: sorted((name, str(part)) for name, part in value.items()))


def assert_read_as_of_any_tick(case: Case, histories: Histories, run: Run) -> None:
    partitions = run.of(case, histories).topics[case.output.topic]
    recorded = {record["recorded_at"] for history in histories.values() for record in history}
    for end in sorted({instant // TICK * TICK + TICK - 1 for instant in recorded}):
        found = read_as_of(case, partitions, end)
        assert in_order(found) == in_order(case.snapshot(histories, end).values())
        by_key: dict[Any, list[tuple[int, int]]] = {}
        for fact in found:
            key = tuple(fact[name] for name in case.output.key)
            by_key.setdefault(key, []).append((fact["valid_from"], fact["valid_to"]))
        for intervals in by_key.values():
            assert all(one[1] <= other[0] for one, other in pairwise(sorted(intervals)))


@pytest.mark.parametrize("case", MOVING, ids=lambda case: case.name)
def test_as_of_any_tick_the_sessions_of_then_are_read(case: Case) -> None:
    @PROFILE
    @given(case.histories, RUNS)
    def holds(histories: Histories, run: Run) -> None:
        assert_read_as_of_any_tick(case, histories, run)

    holds()


@PROFILE
@given(clicks, RUNS, st.integers(0, 45), st.integers(0, 150))
def test_at_an_instant_the_rule_of_reading_finds_the_session(history: Any, run: Run, valid: int, recorded: int) -> None:
    """By the oracle's rule of override, not by the one that ports use."""
    end = recorded // TICK * TICK + TICK - 1
    histories = {CLICKS.topic: history}
    said = [
        entry.record
        for partition in run.of(SESSIONS, histories).topics[SESSIONS.output.topic]
        for entry in partition
        if entry.record is not None
    ]
    for user in ("ann", "bob"):
        found = fact_as_of(said, {"user": user}, valid, end)
        right = [
            value
            for (key, start, until), value in SESSIONS.snapshot(histories, end).items()
            if key == (user,) and start <= valid < until
        ]
        read = [SESSIONS.value(found)] if found else []
        assert read == right


VISITS = replace(
    product("web.visits", shape="fact", key=["user"], fields={"user": "string", "clicks": "long"}, grid=True),
    moving=True,
)


def _log(history: list[Record]) -> list[dict[str, Any]]:
    """The log of a product of sessions, in the order of its topic."""
    histories = {CLICKS.topic: history}
    log = expected_log(
        lambda at: sessions_of(histories, at, lambda run: {"clicks": len(run)}),
        [record["recorded_at"] for record in history],
        tick=TICK,
        order=SESSIONS.order,
    )
    made = [
        {**entry["value"], "recorded_at": entry["recorded_at"], "kind": entry["kind"], "revision": entry["revision"]}
        for entry in log
    ]
    return sorted(made, key=lambda record: (record["recorded_at"], record["kind"] != "retract"))


def _visits(histories: Histories, at: int) -> dict[Any, dict[str, Any]]:
    """The sessions that a product of sessions says, by identity: the newest revision, unless it is a retract."""
    newest = {
        (record["user"], record["valid_from"], record["valid_to"]): record
        for record in histories[VISITS.topic]
        if record["recorded_at"] <= at
    }
    return {identity: record for identity, record in newest.items() if record["kind"] != "retract"}


def _read(histories: Histories, at: int, more: Callable[[dict[str, Any]], dict[str, Any]]) -> Snapshot:
    names = ("user", "clicks", "valid_from", "valid_to")
    return {
        ((user,), start, end): {**{name: record[name] for name in names}, **more(record)}
        for (user, start, end), record in _visits(histories, at).items()
    }


def _roomed(histories: Histories, at: int) -> Snapshot:
    def room(visit: dict[str, Any]) -> dict[str, Any]:
        found = fact_as_of(histories[ROOMS.topic], {"user": visit["user"]}, visit["valid_from"], at)
        return {"room": found["room"] if found else None}

    return _read(histories, at, room)


def _totals(histories: Histories, at: int) -> Snapshot:
    folded = aggregate_as_of(
        _visits(histories, at).values(),
        group=lambda visit: (visit["user"],),
        interval=lambda visit: (visit["valid_from"] // SPAN * SPAN, visit["valid_from"] // SPAN * SPAN + SPAN),
        value=lambda visits: {"clicks": sum(visit["clicks"] for visit in visits)},
    )
    return {
        (key, start, end): {"user": key[0], "valid_from": start, "valid_to": end, **value}
        for (key, start, end), value in folded.items()
    }


def _located(histories: Histories, at: int) -> Snapshot:
    rows = {}
    for event in events_as_of(histories[CLICKS.topic], at):
        visit = fact_as_of(histories[VISITS.topic], {"user": event["user"]}, event["occurred_at"], at)
        names = ("click", "user", "event_id", "occurred_at")
        told = {**{name: event[name] for name in names}, "clicks": visit["clicks"] if visit else None}
        rows[((event["click"],), event["event_id"])] = told
    return rows


logs = clicks.map(_log)
ROOMED = Case(
    "a product of sessions, joined",
    lambda visits, facts: visits.join_as_of(facts, on={"user": "user"}, take={"room": "room"}),
    (VISITS, ROOMS),
    product(
        "web.roomed",
        shape="fact",
        key=["user"],
        fields={"user": "string", "clicks": "long", "room": ["null", "long"]},
    ),
    st.fixed_dictionaries({VISITS.topic: logs, ROOMS.topic: rooms}),
    _roomed,
    moving=True,
)
TOTALS = Case(
    "a product of sessions, folded",
    lambda visits: visits.aggregate(by=["user"], window=tumbling(f"{SPAN}us"), clicks=total("clicks")),
    (VISITS,),
    product("web.totals", shape="fact", key=["user"], fields={"user": "string", "clicks": ["null", "long"]}),
    st.fixed_dictionaries({VISITS.topic: logs}),
    _totals,
)
LOCATED = Case(
    "events joined with the session that they lie in",
    lambda events, visits: events.select("click", "user").join_as_of(
        visits, on={"user": "user"}, take={"clicks": "clicks"}
    ),
    (CLICKS, VISITS),
    product(
        "web.located",
        shape="event",
        key=["click"],
        fields={"click": "string", "user": "string", "clicks": ["null", "long"]},
    ),
    clicks.map(lambda history: {CLICKS.topic: history, VISITS.topic: _log(history)}),
    _located,
)


@pytest.mark.parametrize("case", [ROOMED, TOTALS, LOCATED], ids=lambda case: case.name)
def test_what_reads_a_product_of_sessions_says_what_they_are(case: Case) -> None:
    @PROFILE
    @given(case.histories, RUNS)
    def holds(histories: Histories, run: Run) -> None:
        if case.output.shape == "fact":
            assert_read_as_of_any_tick(case, histories, run)
        else:
            partitions = run.of(case, histories).topics[case.output.topic]
            newest = {
                case.identity(one.record): one.record for partition in partitions for one in partition if one.record
            }
            left = {identity: case.value(record) for identity, record in newest.items() if record["kind"] != "retract"}
            assert left == case.snapshot(histories, 100_000)

    holds()


def test_what_only_filters_a_product_of_sessions_leaves_those_that_pass() -> None:
    """Recorded time, order and holes are the input's."""
    case = Case(
        "long sessions",
        lambda visits: visits.filter(col("clicks") > 1),
        (VISITS,),
        product("web.long", shape="fact", key=["user"], fields={"user": "string", "clicks": "long"}),
        st.fixed_dictionaries({VISITS.topic: logs}),
        lambda histories, at: {
            identity: value for identity, value in _read(histories, at, lambda visit: {}).items() if value["clicks"] > 1
        },
    )

    @PROFILE
    @given(case.histories, RUNS)
    def holds(histories: Histories, run: Run) -> None:
        assert_read_as_of_any_tick(case, histories, run)

    holds()
