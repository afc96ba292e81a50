"""What is folded, set or gathered behind a join in one stage, as columns against the row road: the same bytes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation import test_recall
from tests.simulation.column_runner import every_batch, kept_alike
from tests.simulation.roads import Log, Logs, compared
from tests.simulation.test_column_changes import EVENTS, amended
from tests.simulation.test_column_facts import FACTS as GRID
from tests.simulation.test_column_facts import HOURS, hours
from tests.simulation.test_column_facts import SCHEMAS as HOURLY
from tests.simulation.test_column_join import FACTS, ORDERS, RIGHT, facts
from tests.simulation.test_column_joins import BEHIND, MORE, busy, busy_hours, moved, never_corrected, of
from tests.simulation.test_column_within import busy as busy_pairs
from tests.simulation.test_recall import LEFT, OTHERS, PAYMENTS, SCHEMAS, both
from tests.simulation.test_time_rules import PROFILE, RUNS

from headwater.errors import Fault
from headwater.processing import column_fold, column_join_road, column_results, recollection
from headwater.processing.column_ends import Delta
from headwater.processing.column_fold import ColumnFold
from headwater.processing.column_intake import Ended
from headwater.processing.column_join_road import joins
from headwater.processing.column_keeping import KeepingEnd
from headwater.processing.column_latest import ColumnLatest
from headwater.processing.column_sessions import ColumnSessions
from headwater.processing.columns import takes_columns
from headwater.processing.expressions import col, when
from headwater.processing.flow import Stream, count, count_distinct, first, maximum, total
from headwater.processing.windows import session, tumbling, whole
from headwater.schemas.unsure import Unsure
from headwater.testing.conformance.runner_cases import (
    DEPARTURES,
    NULLABLE,
    WEATHER,
    WIDTH,
    Case,
    Histories,
    Run,
    departures,
    log_of,
    weather,
)
from headwater.testing.conformance.within_cases import BOARDINGS, CALLS, DISTANCE, HISTORIES
from headwater.testing.harness import product
from headwater.testing.oracles import Record, Snapshot, aggregate_as_of, events_as_of, fact_as_of, paired

TEXT = ["null", "string"]
SUMS = product(
    "a.sums", shape="fact", key=["k"], fields={"k": "string", "events": "long", "n": NULLABLE, "seen": "long"}
)
BY_NOTE = product("a.sums", shape="fact", key=["note"], fields={"note": TEXT, "events": "long", "n": NULLABLE})
BY_SEEN = product("a.sums", shape="fact", key=["seen"], fields={"seen": "long", "events": "long"})
STATE = product("a.states", shape="fact", key=["k"], fields={"k": "string", "m": "long", "grade": TEXT})
ENDS = product(
    "a.ends", shape="fact", key=["k"], fields={"k": "string", "n": NULLABLE, "grade": TEXT, "grades": "long"}
)


def graded(rows: Stream, grades: Stream) -> Stream:
    """What facts change moves rows in and out of the filter."""
    joined = rows.join_as_of(grades, on={"k": "k"}, take={"grade": "grade", "at": "at"})
    return joined.filter((col("grade") != "y") | (col("n") > 0)).map(m=col("n") + col("at").coalesce(0))


def summed(rows: Stream) -> Stream:
    return rows.aggregate(by=["k"], window=whole(), events=count(), n=total("m"), seen=count("grade"))


def late(rows: Stream) -> Stream:
    return rows.aggregate(by=["k"], window=tumbling("20us"), events=count(), n=total("m"), seen=count("grade"))


def again(rows: Stream, grades: Stream) -> Stream:
    """What the fold gives is handed over, and folded by another key."""
    first_ = late(graded(rows, grades)).map(size=col("events") * 2)
    return first_.aggregate(by=["seen"], window=tumbling("40us"), name="again", events=total("size"))


def measured(rows: Stream) -> Stream:
    return rows.aggregate(
        by=["k"], window=tumbling("20us"), n=maximum("m"), grade=first("grade"), grades=count_distinct("grade")
    )


def computed(rows: Stream) -> Stream:
    """Of which some are left out, and the others said otherwise."""
    return summed(rows).filter(col("events") > 1).map(n=col("n") + 1)


def state(rows: Stream) -> Stream:
    return rows.select("k", "m", "grade").latest(by=["k"])


def gathered(rows: Stream) -> Stream:
    return rows.aggregate(by=["k"], window=session("7us"), events=count(), n=total("m"), seen=count("grade"))


def twice(rows: Stream, grades: Stream, more: Stream) -> Stream:
    joined = rows.join_as_of(grades, on={"k": "k"}, take={"at": "at"}).filter((col("at") != 1) | (col("n") > 1))
    return joined.join_as_of(more, on={"k": "k"}, take={"grade": "grade"}).map(m=col("n") + col("at").coalesce(0))


def behind(end: Callable[[Stream], Stream]) -> Callable[..., Stream]:
    return lambda rows, grades: end(graded(rows, grades))


def union(rows: Stream, payments: Stream, grades: Stream) -> Stream:
    return measured(graded(both(rows, payments), grades))


def near(end: Callable[[Stream], Stream]) -> Callable[..., Stream]:
    """Pairs of which some are left out."""

    def paired_(rows: Stream, payments: Stream) -> Stream:
        pairs = rows.join_within(payments, within="5us", on={"k": "k"}, take={"paid": "n"})
        return end(pairs.filter(col("paid") > -7).map(m=col("n") + col("paid"), grade=col("note")))

    return paired_


def by_note(rows: Stream, grades: Stream) -> Stream:
    """By a key that may be null: what is handed over, and pairs and facts by it."""
    joined = rows.join_as_of(grades, on={"note": "k"}, take={"at": "at"})
    return joined.aggregate(by=["note"], window=tumbling("20us"), events=count(), n=total("at"))


def ends_by_note(rows: Stream, grades: Stream) -> Stream:
    joined = rows.join_as_of(grades, on={"note": "k"}, take={"at": "at"})
    return noted(joined.select("note", n=col("at").coalesce(0) + col("n")))


def noted(rows: Stream) -> Stream:
    return rows.aggregate(by=["note"], window=tumbling("20us"), events=count(), n=maximum("n"))


JOINS = {
    "summed": of(behind(summed), [EVENTS, FACTS], SUMS)[0],
    "summed, never corrected": of(behind(summed), [ORDERS, FACTS], SUMS)[0],
    "computed": of(behind(computed), [EVENTS, FACTS], SUMS)[0],
    "measured": of(behind(measured), [EVENTS, FACTS], ENDS)[0],
    "late": of(behind(late), [EVENTS, FACTS], SUMS)[0],
    "handed over": of(again, [EVENTS, FACTS], BY_SEEN)[0],
    "state": of(behind(state), [EVENTS, FACTS], STATE)[0],
    "sessions": of(behind(gathered), [EVENTS, FACTS], SUMS)[0],
    "twice": of(lambda *streams: summed(twice(*streams)), [EVENTS, FACTS, MORE], SUMS)[0],
    "twice, state": of(lambda *streams: state(twice(*streams)), [EVENTS, FACTS, MORE], STATE)[0],
    "united": of(union, [EVENTS, PAYMENTS, FACTS], ENDS)[0],
}
PAIRED = {
    "pairs, summed": of(near(summed), [EVENTS, PAYMENTS], SUMS)[0],
    "pairs, measured": of(near(measured), [EVENTS, PAYMENTS], ENDS)[0],
    "pairs, state": of(near(state), [EVENTS, PAYMENTS], STATE)[0],
    "pairs, sessions": of(near(gathered), [EVENTS, PAYMENTS], SUMS)[0],
    "pairs, never corrected": of(near(summed), [ORDERS, PAYMENTS], SUMS)[0],
}
STAGES = {**JOINS, **PAIRED}
NOTED = replace(EVENTS, key=("note",))
NULLS = {
    "joined, summed": of(by_note, [NOTED, FACTS], BY_NOTE)[0],
    "joined, measured": of(ends_by_note, [NOTED, FACTS], BY_NOTE)[0],
    "measured": of(noted, [NOTED], BY_NOTE)[0],
}
"""Of a key whose text is that of none."""
PLANS = {
    "summed": of(by_note, [EVENTS, FACTS], BY_NOTE),
    "measured": of(ends_by_note, [EVENTS, FACTS], BY_NOTE),
}
"""Plans of which the second stage joins and folds what the first hands over."""
FOLDED_HOURS = of(lambda rows, grades: summed(graded(rows, grades)), [GRID, FACTS], SUMS)[0]
ALL = {**SCHEMAS, BEHIND: SCHEMAS[RIGHT], HOURS: HOURLY[HOURS]}


def logs_of(name: str, left: Log, right: Log, others: Log, more: Log) -> Logs:
    left = never_corrected(left) if "never" in name else left
    given_ = {LEFT: left, RIGHT: right, OTHERS: others, BEHIND: more}
    return {entry.topic: given_[entry.topic] for entry in STAGES[name].inputs}


@pytest.mark.parametrize("name", STAGES)
@settings(max_examples=12, deadline=None)
@given(left=amended(), right=facts(), others=amended(), more=facts(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(
    name: str, left: Log, right: Log, others: Log, more: Log, seed: int
) -> None:
    with every_batch():
        compared(STAGES[name], logs_of(name, left, right, others, more), ALL, seed)


@settings(max_examples=20, deadline=None)
@given(left=hours(), right=facts(), seed=st.integers(0, 1 << 30))
def test_facts_are_folded_alike_behind_a_join(left: Log, right: Log, seed: int) -> None:
    with every_batch():
        compared(FOLDED_HOURS, {HOURS: left, RIGHT: right}, ALL, seed)


def named_null(log: Log, chance: random.Random) -> Log:
    """The same, with keys that are null and some whose text is that."""
    return [
        (key, said if key is None else {**said, "note": chance.choice([None, "null", "k1", "k2"])}) for key, said in log
    ]


@pytest.mark.parametrize("name", PLANS)
@settings(max_examples=20, deadline=None)
@given(left=amended(), right=facts(), seed=st.integers(0, 1 << 30))
def test_what_was_handed_over_is_joined_and_folded_alike(name: str, left: Log, right: Log, seed: int) -> None:
    left = named_null(left, random.Random(seed))
    with every_batch():
        compared(PLANS[name][1], moved(PLANS[name], left, seed, right), ALL, seed)


def busy_logs(name: str, events: int = 400) -> Logs:
    """Events of few keys, most of them said once and each after the one before."""
    if name in PAIRED:
        pairs = busy_pairs("near", events)
        left, others = pairs[LEFT], pairs[OTHERS]
        return logs_of(name, left, (), others, ())
    logs = busy(events)
    for log in logs.values():
        for _, said in log[:-1]:
            if "occurred_at" in said and said["n"] % 7:
                said["occurred_at"] = said["recorded_at"]
    return logs_of(name, logs[LEFT], logs[RIGHT], logs[OTHERS], logs[BEHIND])


@pytest.mark.parametrize("name", STAGES)
def test_most_of_a_busy_history_goes_as_columns(name: str) -> None:
    stage, logs = STAGES[name], busy_logs(name)
    assert takes_columns(stage) and joins(stage)
    with every_batch():
        assert compared(stage, logs, ALL, 5) > 300 * sum(topic in (LEFT, OTHERS) for topic in logs)


@pytest.mark.parametrize("name", PLANS)
def test_most_of_what_was_handed_over_goes_as_columns(name: str) -> None:
    logs = busy()
    with every_batch():
        assert compared(PLANS[name][1], moved(PLANS[name], logs[LEFT], 5, logs[RIGHT]), ALL, 5) > 300


def test_most_facts_of_a_busy_history_go_as_columns() -> None:
    with every_batch():
        assert compared(FOLDED_HOURS, {HOURS: busy_hours(), RIGHT: busy()[RIGHT]}, ALL, 5) > 300


@pytest.mark.parametrize("kernel", [ColumnFold, ColumnLatest, ColumnSessions])
def test_what_a_kernel_is_not_sure_of_goes_by_rows_from_there(monkeypatch: pytest.MonkeyPatch, kernel: Any) -> None:
    """Once in two it is not: what the join has kept by then stays."""
    whole, calls = kernel.fold, list[None]()

    def fold(self: Any, delta: Delta) -> Ended:
        calls.append(None)
        if len(calls) % 2:
            raise Unsure
        ended: Ended = whole(self, delta)
        return ended

    monkeypatch.setattr(kernel, "fold", fold)
    ends = {ColumnFold: "summed", ColumnLatest: "state", ColumnSessions: "sessions"}
    with every_batch():
        for name in (ends[kernel], f"pairs, {ends[kernel]}"):
            assert compared(STAGES[name], busy_logs(name), ALL, 5) > 300
    assert len(calls) > 20


def test_what_is_beyond_64_bits_goes_by_rows() -> None:
    logs = busy_logs("summed")
    for _, record in logs[RIGHT][:-1]:
        record["at"] += (1 << 60) - 3
    with every_batch():
        compared(STAGES["summed"], logs, ALL, 5)


@pytest.mark.parametrize("name", ["summed", "measured", "state", "sessions", "pairs, measured", "pairs, sessions"])
def test_what_was_lost_comes_back_with_what_is_folded_behind_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(recollection, "LEAST_ROWS", 4)
    with every_batch(4):
        assert test_recall.hold(STAGES[name], busy_logs(name, 150), 7, columnar=True) > 2


@pytest.mark.parametrize("name", NULLS)
@pytest.mark.parametrize("broken", [False, True])
def test_of_a_key_the_first_row_says_whether_it_is_none(
    monkeypatch: pytest.MonkeyPatch, name: str, broken: bool
) -> None:
    """One that is corrected to an interval, and named as none is, comes before a new one that has no name."""
    said = {"kind": "assert", "revision": 1, "k": "k", "n": 1, "ok": True, "note": "null", "occurred_at": 5}
    moved = {**said, "event_id": "e0", "kind": "correct", "revision": 2, "occurred_at": 25, "recorded_at": 25}
    log = [{**said, "event_id": f"e{number}", "recorded_at": 5} for number in range(9)]
    log += [moved, {**said, "event_id": "new", "occurred_at": 26, "note": None, "recorded_at": 26}]
    logs = {LEFT: [(b"null", one) for one in log], RIGHT: [(None, 10_000)]}
    if broken:
        for module in (column_join_road, column_fold):
            monkeypatch.setattr(module, "tells_value", lambda column, others: True)
    stage = NULLS[name]
    with every_batch():
        for seed in range(9):
            run = {
                topic: [*logs[topic], (None, 10_000)] for topic in logs if topic in [one.topic for one in stage.inputs]
            }
            try:
                compared(stage, run, ALL, seed)
            except AssertionError:
                assert broken
                return
    assert not broken


def by_origin(stream: Stream, weather: Stream) -> Stream:
    joined = stream.join_as_of(weather, on={"origin": "origin"}, take={"wind": "wind"})
    return joined.filter(col("wind").coalesce(0) >= 0).aggregate(
        by=["origin"], window=tumbling(f"{WIDTH}us"), flights=count(), wind=total("wind")
    )


def by_gate(calls: Stream, boardings: Stream) -> Stream:
    pairs = calls.join_within(boardings, within=f"{DISTANCE}us", on={"gate": "gate"}, take={"wind": "seats"})
    return pairs.map(origin=col("gate").coalesce("")).aggregate(
        by=["gate"], window=tumbling(f"{WIDTH}us"), flights=count(), wind=total("wind")
    )


def windy(histories: Histories, at: int) -> list[Record]:
    rows = []
    for event in events_as_of(histories[DEPARTURES.topic], at):
        wind = fact_as_of(histories[WEATHER.topic], {"origin": event["origin"]}, event["occurred_at"], at)
        rows.append({**event, "wind": wind["wind"] if wind else None})
    return [row for row in rows if (row["wind"] or 0) >= 0]


def pairs_of(histories: Histories, at: int) -> list[Record]:
    sides = [events_as_of(histories[port.topic], at) for port in (CALLS, BOARDINGS)]
    return list(paired(*sides, on="gate", distance=DISTANCE, take={"wind": "seats"}))


def folded(key: str, rows_of: Callable[[Histories, int], list[Record]]) -> Callable[[Histories, int], Snapshot]:
    def interval(row: Record) -> tuple[int, int]:
        start = row["occurred_at"] // WIDTH * WIDTH
        return start, start + WIDTH

    def sums(members: list[Record]) -> tuple[int, int | None]:
        known = [row["wind"] for row in members if row["wind"] is not None]
        return len(members), sum(known) if known else None

    def answer(histories: Histories, at: int) -> Snapshot:
        found = aggregate_as_of(rows_of(histories, at), group=lambda row: (row[key],), interval=interval, value=sums)
        return {
            (group, start, end): {key: group[0], "valid_from": start, "valid_to": end, "flights": number, "wind": wind}
            for (group, start, end), (number, wind) in found.items()
        }

    return answer


def winds(key: str, type_: Any) -> Any:
    return product("desk.winds", shape="fact", key=[key], fields={key: type_, "flights": "long", "wind": NULLABLE})


WHOLE = (
    Case(
        "a fold behind a join",
        by_origin,
        (DEPARTURES, WEATHER),
        winds("origin", "string"),
        st.fixed_dictionaries({DEPARTURES.topic: departures, WEATHER.topic: weather}),
        folded("origin", windy),
    ),
    Case("a fold behind pairs", by_gate, (CALLS, BOARDINGS), winds("gate", TEXT), HISTORIES, folded("gate", pairs_of)),
)


@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.name)
def test_the_log_is_what_the_whole_input_says(case: Case) -> None:
    """Both in one stage, behind a change of the key."""
    joined = Run(partitions=2, batch=9, seed=1).plan(case).stages[1]
    assert len(joined.logic.operations) == 2 and takes_columns(joined)

    @settings(PROFILE, max_examples=15)
    @given(case.histories, RUNS, st.sampled_from([1.0, 0.5]), st.sampled_from([1, 4]))
    def holds(histories: Histories, run: Run, share: float, least: int) -> None:
        assert log_of(case, kept_alike(case, histories, run, share, least)) == case.expected(histories)

    holds()


def test_what_the_list_does_not_name_goes_row_by_row() -> None:
    halved = when(col("m") / 2 > 1.0).then(col("m")).otherwise(0)

    def moved_on(rows: Stream, grades: Stream) -> Stream:
        return state(graded(rows, grades)).map(m=halved)

    def set_and_computed(rows: Stream, payments: Stream) -> Stream:
        return near(state)(rows, payments).map(m=halved)

    for flow, inputs, output in (
        (moved_on, [EVENTS, FACTS], STATE),
        (set_and_computed, [EVENTS, PAYMENTS], STATE),
    ):
        stages = of(flow, inputs, output)
        assert len(stages) == 1 and not takes_columns(stages[0])


# Saboteurs: each breaks the columnar road in one place, and the comparison must see it.

Break = Callable[[pytest.MonkeyPatch], None]


def folds_what_is_new_alone(patch: pytest.MonkeyPatch) -> None:
    whole = KeepingEnd.__call__
    patch.setattr(KeepingEnd, "__call__", lambda self, delta: whole(self, delta._replace(changes={})))


def is_never_sure(self: ColumnFold, delta: Delta) -> Ended:
    raise Unsure


def forgets_what_the_kernel_is_not_sure_of(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ColumnFold, "fold", is_never_sure)
    patch.setattr(Delta, "by_rows", lambda self, names: Delta(self.new, self.changes))


def says_it_before_the_tick(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ColumnFold, "fold", is_never_sure)
    whole = column_results.said_by_rows
    patch.setattr(
        column_results,
        "said_by_rows",
        lambda changes, *rest: whole({tick - 1: some for tick, some in changes.items()}, *rest),
    )


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("summed", folds_what_is_new_alone),
        ("pairs, measured", folds_what_is_new_alone),
        ("summed", forgets_what_the_kernel_is_not_sure_of),
        ("pairs, summed", forgets_what_the_kernel_is_not_sure_of),
        ("summed", says_it_before_the_tick),
    ],
)
def test_a_broken_end_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, broken: Break) -> None:
    logs = busy_logs(name)
    broken(monkeypatch)
    with every_batch(), pytest.raises((AssertionError, Fault)):
        compared(STAGES[name], logs, ALL, 5)
