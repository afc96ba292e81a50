"""`join_within` as columns against the row road: the same histories, cut anyhow, give the same bytes and state."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.column_runner import columned, kept_alike
from tests.simulation.roads import Driver, Log, Logs, compared
from tests.simulation.test_column_changes import EVENTS, amended, every_batch
from tests.simulation.test_column_join import ORDERS
from tests.simulation.test_recall import LEFT, OTHERS, PAIRS, PAYMENTS, SCHEMAS, TICK, both, near
from tests.simulation.test_time_rules import PROFILE, RUNS

from headwater.errors import Fault
from headwater.processing import column_near, column_within
from headwater.processing.column_join_road import joins
from headwater.processing.column_near import Places
from headwater.processing.column_side import ColumnSide
from headwater.processing.column_within import ColumnWithin
from headwater.processing.columns import reads_columns
from headwater.processing.expressions import col
from headwater.processing.flow import Stream
from headwater.processing.steps import Stage
from headwater.testing.conformance.runner_cases import Case, Histories, Run, log_of
from headwater.testing.conformance.within_cases import BOARDINGS, CALLS, PAIRED, WITHIN_CASES
from headwater.testing.harness import plan_of, product

BANKED = product("a.banked", shape="event", key=["k"], fields={"k": "string", "n": "long"})
THIRD = "a.banked.v1"
SCHEMAS_ = {**SCHEMAS, THIRD: SCHEMAS[OTHERS]}
NOTED = product("a.noted", shape="event", key=["k"], fields={"k": "string", "n": "long", "paid": "long", "at": "long"})
NEVER_PAID = replace(PAYMENTS, corrections=False)


def chosen(rows: Stream, payments: Stream) -> Stream:
    """Filters and computed fields on both sides, and sums behind them that 64 bits may not hold."""
    good = payments.filter(col("n") != 0).map(n=col("n") * 2)
    pairs = rows.filter(col("n") != 1).join_within(good, within="8us", on={"k": "k"}, take={"paid": "n", "at": "n"})
    return pairs.filter(col("paid") > -7).map(n=col("n") + col("paid"), at=col("at") + 1)


def united(rows: Stream, payments: Stream, banked: Stream) -> Stream:
    return both(rows, payments).join_within(banked, within="5us", on={"k": "k"}, take={"paid": "n"})


def stage_of(flow: Any, inputs: Any, output: Any = PAIRS) -> Stage:
    return plan_of(flow, inputs, output, tick=TICK).stages[0]


STAGES = {
    "near": stage_of(near, [EVENTS, PAYMENTS]),
    "chosen": stage_of(chosen, [EVENTS, PAYMENTS], NOTED),
    "left never corrected": stage_of(near, [ORDERS, PAYMENTS]),
    "never corrected": stage_of(near, [ORDERS, NEVER_PAID]),
    "united": stage_of(united, [EVENTS, PAYMENTS, BANKED]),
}
NEVER = {"left never corrected": [LEFT], "never corrected": [LEFT, OTHERS]}


def never_corrected(log: Log) -> Log:
    """The same events, each said once."""
    return [
        (key, said if key is None else {**said, "event_id": f"e{number}", "kind": "assert", "revision": 1})
        for number, (key, said) in enumerate(log)
    ]


def logs_of(name: str, *logs: Log) -> Logs:
    topics = [entry.topic for entry in STAGES[name].inputs]
    never = NEVER.get(name, ())
    return {topic: never_corrected(log) if topic in never else log for topic, log in zip(topics, logs, strict=False)}


@pytest.mark.parametrize("name", STAGES)
@settings(max_examples=20, deadline=None)
@given(left=amended(), right=amended(), third=amended(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(
    name: str, left: Log, right: Log, third: Log, seed: int
) -> None:
    with every_batch():
        compared(STAGES[name], logs_of(name, left, right, third), SCHEMAS_, seed)


def busy(name: str, events: int = 400) -> Logs:
    """Events of few keys of which some come late, and some are corrected or taken back, within their tick too."""
    chance = random.Random(5)
    logs: list[Log] = []
    for _ in range(3):
        log: list[tuple[bytes | None, Any]] = []
        for number in range(events):
            key, late = f"k{chance.randrange(9)}", chance.randrange(3 if number % 11 else 300)
            said = {"recorded_at": number * 2, "kind": "assert", "revision": 1, "event_id": f"e&~{number}", "k": key}
            said |= {"occurred_at": number * 2 - late, "n": number % 5, "ok": True, "note": None}
            if number > 9 and not number % 29:
                before = log[chance.randrange(number // 2 if number % 2 else number - 9, len(log))][1]
                kind = chance.choice(["correct", "correct", "retract"])
                said = {**before, "recorded_at": number * 2, "kind": kind, "revision": before["revision"] + 1}
                said |= {"n": -number, "occurred_at": before["occurred_at"] + chance.choice([0, 0, 4])}
            log.append((said["k"].encode(), said))
        logs.append([*log, (None, 10_000)])
    return logs_of(name, *logs)


@pytest.mark.parametrize("name", STAGES)
def test_most_of_a_busy_history_goes_as_columns(name: str) -> None:
    stage, logs = STAGES[name], busy(name)
    assert reads_columns(stage) == tuple(logs)
    with every_batch():
        assert compared(stage, logs, SCHEMAS_, 5) > 350 * len(logs)


def test_few_pairs_of_a_busy_history_are_made_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"columns": 0, "rows": 0}
    whole = ColumnWithin._paired

    def paired(self: Any, left: Any, right: Any) -> Any:
        found = whole(self, left, right)
        made["columns"] += len(found.new)
        made["rows"] += sum(map(len, found.changes.values()))
        return found

    monkeypatch.setattr(ColumnWithin, "_paired", paired)
    with every_batch():
        compared(STAGES["near"], busy("near"), SCHEMAS_, 5)

    assert made["columns"] > 3 * made["rows"] > 0


@pytest.mark.parametrize(("moved", "code"), [(0, "HW-P166"), (1, "HW-P044")], ids=["at its instant", "at another"])
@pytest.mark.parametrize("columnar", [True, False])
def test_an_event_that_its_contract_calls_new_and_is_not_is_told_by_rows(columnar: bool, moved: int, code: str) -> None:
    logs = busy("never corrected", 60)
    key, before = logs[LEFT][4]
    again = {**before, "occurred_at": before["occurred_at"] + moved}
    paid = {**logs[OTHERS][4][1], "occurred_at": before["occurred_at"], "k": before["k"]}
    logs = {
        LEFT: [*logs[LEFT][:5], (key, again), *logs[LEFT][5:]],
        OTHERS: [*logs[OTHERS][:4], (key, paid), *logs[OTHERS][5:]],
    }
    driver = Driver(STAGES["never corrected"], logs, SCHEMAS, columnar=columnar)
    with pytest.raises(Fault) as caught:
        feed(driver, 99)
    assert caught.value.code == code


@pytest.mark.parametrize("columnar", [True, False])
def test_an_event_that_is_kept_already_is_told_by_rows(columnar: bool) -> None:
    logs = busy("never corrected", 60)
    key, before = logs[LEFT][4]
    logs = {**logs, LEFT: [*logs[LEFT][:-1], (key, {**before, "recorded_at": 500}), (None, 10_000)]}
    driver = Driver(STAGES["never corrected"], logs, SCHEMAS, columnar=columnar)
    feed(driver, 50)
    assert driver.folded > 50 if columnar else driver.folded == 0
    with pytest.raises(Fault) as caught:
        feed(driver, 20)
    assert caught.value.code == "HW-P166"


def feed(driver: Driver, size: int) -> None:
    for topic in driver.logs:
        driver.take(topic, size)
    driver.commit()


def test_too_many_pairs_and_instants_beyond_counting_go_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_near, "PAIRS_LIMIT", 3)
    with every_batch():
        compared(STAGES["near"], busy("near", 60), SCHEMAS_, 5)
        logs = busy("near", 60)
        logs[LEFT][7][1]["occurred_at"] = logs[OTHERS][9][1]["occurred_at"] = (1 << 63) - 10
        compared(STAGES["near"], logs, SCHEMAS_, 5)


@pytest.mark.parametrize("case", WITHIN_CASES, ids=lambda case: case.name)
def test_what_is_paired_by_another_key_is_what_the_whole_input_says(case: Case) -> None:
    """Handed over to the owner of the right's key, and back; all or some as blocks."""

    @settings(PROFILE, max_examples=20)
    @given(case.histories, RUNS, st.sampled_from([1.0, 1.0, 0.5]))
    def holds(histories: Histories, run: Run, share: float) -> None:
        assert log_of(case, kept_alike(case, histories, run, share)) == case.expected(histories)

    holds()


BUSY = Run(partitions=2, batch=150, seed=3)


def busy_case() -> Histories:
    """Calls and boardings of few gates, some late, corrected or taken back."""
    chance = random.Random(7)
    made: dict[str, list[dict[str, Any]]] = {CALLS.topic: [], BOARDINGS.topic: []}
    for topic, log in made.items():
        for number in range(600):
            said: dict[str, Any] = {"gate": f"g{chance.randrange(12)}", "call": f"c{number % 50}", "size": number % 7}
            said |= {"seats": chance.choice([None, 1, 2]), "event_id": f"e{number}", "recorded_at": number * 2}
            said |= {"occurred_at": number * 2 - chance.randrange(9), "kind": "assert", "revision": 1}
            if number > 99 and not number % 37:
                before = log[number - chance.randrange(90)]
                said = {**before, "recorded_at": number * 2, "kind": chance.choice(["correct", "retract"])}
                said |= {"revision": before["revision"] + 1, "size": 3, "seats": 5}
            log.append(said)
        names = {*next(port for port in PAIRED.inputs if port.topic == topic).fields, "recorded_at", "kind", "revision"}
        made[topic] = [{name: one[name] for name in one if name in names} for one in log]
    return made


def test_most_of_what_is_paired_by_another_key_goes_as_columns() -> None:
    histories = busy_case()
    runner = columned(PAIRED, histories, BUSY, 1.0)
    assert log_of(PAIRED, runner) == PAIRED.expected(histories)
    pairing = runner.plan.stages[1]
    assert joins(pairing) and runner.columnar[pairing.name] > 900


@settings(max_examples=100, deadline=None)
@given(*[st.lists(st.tuples(st.integers(0, 2), st.integers(-9, 9))) for _ in range(2)], st.integers(0, 4))
def test_near_are_those_of_one_key_and_within_the_distance(left: Any, right: Any, distance: int) -> None:
    found = column_near.near(places(left), places(right), distance)
    expected = [
        (one, other)
        for one, (code, at) in enumerate(left)
        for other, (code_, at_) in enumerate(right)
        if code == code_ and abs(at - at_) <= distance
    ]
    assert sorted(zip(*(which.tolist() for which in found), strict=True)) == expected


def places(rows: Any) -> Places:
    return Places(*np.array(rows, np.int64).reshape(-1, 2).T)


def test_what_the_list_does_not_name_goes_row_by_row() -> None:
    priced = product("a.payments", shape="event", key=["k"], fields={"k": "string", "n": "double"})
    paid = product("a.pairs", shape="event", key=["k"], fields={"k": "string", "n": "long", "paid": "double"})

    assert all(joins(stage) for stage in STAGES.values())
    assert not joins(stage_of(near, [EVENTS, priced], paid))
    assert not joins(stage_of(lambda a, b: near(a, b).filter(col("n") / 2 > 0), [EVENTS, PAYMENTS]))


# Saboteurs: each breaks the columnar road in one place, and the comparison must see it.


def _leaves_out_the_far_edge(patch: pytest.MonkeyPatch) -> None:
    whole = column_within.near
    patch.setattr(column_within, "near", lambda left, right, distance: whole(left, right, distance - 1))


def _looks_at_new_rows_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_within, "spans_around", lambda places, prefixes, distance: (np.zeros(0, np.int64), []))


def _pairs_what_changes_as_columns(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_within, "beside", lambda left, right, distance: np.zeros(len(left), bool))


def _gives_a_pair_the_tick_of_its_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_within.np, "maximum", lambda left, right: np.where(left > right - 2**40, left, right))


def _leaves_ids_as_they_are(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_within, "_escaped", lambda ids: ids)


def _forgets_what_changed_of_its_own(patch: pytest.MonkeyPatch) -> None:
    whole = column_within.beside
    patch.setattr(column_within, "beside", lambda left, right, distance: whole(left, right, distance) & (distance > 0))


def test_a_broken_pairing_of_what_was_handed_over_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    _forgets_what_changed_of_its_own(monkeypatch)
    histories = busy_case()
    with pytest.raises((AssertionError, Fault)):
        assert log_of(PAIRED, columned(PAIRED, histories, BUSY, 1.0)) == PAIRED.expected(histories)


def _keeps_rows_of_nobody(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnSide.packed
    patch.setattr(ColumnSide, "packed", lambda self, new: whole(self, new) if self._key else ([], []))


@pytest.mark.parametrize(
    "broken",
    [
        _leaves_out_the_far_edge,
        _looks_at_new_rows_alone,
        _pairs_what_changes_as_columns,
        _gives_a_pair_the_tick_of_its_left,
        _leaves_ids_as_they_are,
        _keeps_rows_of_nobody,
    ],
)
def test_a_broken_pairing_is_seen(monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    broken(monkeypatch)
    with every_batch(), pytest.raises((AssertionError, Fault)):
        compared(STAGES["near"], busy("near"), SCHEMAS, 5)
