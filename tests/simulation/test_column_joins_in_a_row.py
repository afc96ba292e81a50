"""Joins as of valid time and within a distance, one after another in one stage, as columns against the row road."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation import test_recall
from tests.simulation.column_runner import every_batch
from tests.simulation.roads import Driver, Log, Logs, compared
from tests.simulation.test_column_behind import SUMS, graded, summed
from tests.simulation.test_column_changes import EVENTS, amended
from tests.simulation.test_column_explode import ORDERS as CARTS
from tests.simulation.test_column_explode import SCHEMA as OF_CARTS
from tests.simulation.test_column_explode import busy as busy_carts
from tests.simulation.test_column_explode import histories
from tests.simulation.test_column_join import FACTS, ORDERS, RIGHT, facts
from tests.simulation.test_column_joins import busy as busy_facts
from tests.simulation.test_column_joins import never_corrected, of
from tests.simulation.test_column_within import BANKED, THIRD
from tests.simulation.test_column_within import SCHEMAS_ as PAID
from tests.simulation.test_column_within import busy as busy_pairs
from tests.simulation.test_recall import LEFT, OTHERS, PAYMENTS

from headwater.errors import Fault
from headwater.processing import column_rights, recollection
from headwater.processing.column_ends import NO_ROWS, Delta
from headwater.processing.column_join_road import joins
from headwater.processing.column_within import ColumnWithin
from headwater.processing.columns import reads_columns
from headwater.processing.expressions import col
from headwater.processing.flow import Stream
from headwater.schemas.unsure import Unsure
from headwater.testing.harness import product

TEXT = ["null", "string"]
PAIRS = product("a.pairs", shape="event", key=["k"], fields={"k": "string", "n": "long", "paid": "long", "grade": TEXT})
TWICE = product("a.pairs", shape="event", key=["k"], fields={"k": "string", "paid": "long", "banked": "long"})
PARTS = product("a.parts", shape="event", key=["k"], fields={"k": "string", "n": "long", "paid": "long"})


def near(rows: Stream, payments: Stream) -> Stream:
    return rows.join_within(payments, within="5us", on={"k": "k"}, take={"paid": "n"}).filter(col("paid") > -7)


def paired_first(rows: Stream, payments: Stream, grades: Stream) -> Stream:
    return graded(near(rows, payments), grades).select("k", "n", "paid", "grade")


def joined_first(rows: Stream, payments: Stream, grades: Stream) -> Stream:
    """What facts change alters pairs, or takes them back."""
    return near(graded(rows, grades), payments).select("k", "n", "paid", "grade")


def twice(rows: Stream, payments: Stream, banked: Stream) -> Stream:
    pairs = near(rows, payments).join_within(banked, name="again", within="3us", on={"k": "k"}, take={"banked": "n"})
    return pairs.select("k", "paid", "banked")


def summed_behind(rows: Stream, payments: Stream, grades: Stream) -> Stream:
    return summed(graded(near(rows, payments), grades))


def elements(carts: Stream, payments: Stream) -> Stream:
    return near(carts.explode("lines", take={"n": "n"}), payments).select("k", "n", "paid")


STAGES = {
    "paired first": of(paired_first, [EVENTS, PAYMENTS, FACTS], PAIRS)[0],
    "paired first, never corrected": of(paired_first, [ORDERS, PAYMENTS, FACTS], PAIRS)[0],
    "joined first": of(joined_first, [EVENTS, PAYMENTS, FACTS], PAIRS)[0],
    "joined first, never corrected": of(joined_first, [ORDERS, PAYMENTS, FACTS], PAIRS)[0],
    "paired twice": of(twice, [EVENTS, PAYMENTS, BANKED], TWICE)[0],
    "summed": of(summed_behind, [EVENTS, PAYMENTS, FACTS], SUMS)[0],
}
ELEMENTS = of(elements, [CARTS, PAYMENTS], PARTS)[0]
ALL = {**PAID, CARTS.topic: OF_CARTS}


def logs_of(name: str, left: Log, others: Log, third: Log, right: Log) -> Logs:
    left = never_corrected(left) if "never" in name else left
    given_ = {LEFT: left, OTHERS: others, THIRD: third, RIGHT: right}
    return {entry.topic: given_[entry.topic] for entry in STAGES[name].inputs}


@pytest.mark.parametrize("name", STAGES)
@settings(max_examples=20, deadline=None)
@given(left=amended(), others=amended(), third=amended(), right=facts(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(
    name: str, left: Log, others: Log, third: Log, right: Log, seed: int
) -> None:
    with every_batch():
        compared(STAGES[name], logs_of(name, left, others, third, right), ALL, seed)


@settings(max_examples=20, deadline=None)
@given(carts=histories(), others=amended(), seed=st.integers(0, 1 << 30))
def test_elements_are_paired_alike(carts: Log, others: Log, seed: int) -> None:
    with every_batch():
        compared(ELEMENTS, {CARTS.topic: carts, OTHERS: others}, ALL, seed)


def busy(name: str, events: int = 400) -> Logs:
    logs = busy_pairs("united", events)
    return logs_of(name, logs[LEFT], logs[OTHERS], logs[THIRD], busy_facts(events)[RIGHT])


@pytest.mark.parametrize("name", STAGES)
def test_most_of_a_busy_history_goes_as_columns(name: str) -> None:
    stage, logs = STAGES[name], busy(name)
    assert joins(stage) and set(reads_columns(stage)) == set(logs)
    with every_batch():
        assert compared(stage, logs, ALL, 5) > 300 * sum(topic != RIGHT for topic in logs)


def test_most_elements_go_as_columns() -> None:
    chance = random.Random(3)
    log: list[tuple[bytes | None, Any]] = list(busy_carts("parts")[CARTS.topic])
    others: list[tuple[bytes | None, Any]] = []
    for number, (key, said) in enumerate(log[:-1]):
        paid = {"event_id": f"p{number}", "k": said["k"], "n": number, "kind": "assert", "revision": 1}
        at = said["occurred_at"] + chance.randrange(3)
        others.append((key, {**paid, "occurred_at": at, "recorded_at": said["recorded_at"]}))
    others.append(log[-1])
    assert joins(ELEMENTS)
    with every_batch():
        assert compared(ELEMENTS, {CARTS.topic: log, OTHERS: others}, ALL, 5) > 300


@pytest.mark.parametrize("name", ["paired first", "joined first", "paired twice"])
def test_what_was_lost_comes_back(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(recollection, "LEAST_ROWS", 4)
    monkeypatch.setitem(test_recall.SCHEMAS, THIRD, ALL[THIRD])
    with every_batch(4):
        assert test_recall.hold(STAGES[name], busy(name, 150), 7, columnar=True) > 2


@pytest.mark.parametrize("name", ["joined first", "paired twice"])
def test_what_pairs_are_not_sure_of_behind_a_join_goes_by_rows_from_there(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    behind, whole, calls = list(STAGES[name].logic.operations[1].given), ColumnWithin._paired, list[None]()

    def paired(self: Any, left: Delta, right: Delta) -> Delta:
        if self._names == behind:
            calls.append(None)
            if len(calls) % 2:
                raise Unsure
        return whole(self, left, right)

    monkeypatch.setattr(ColumnWithin, "_paired", paired)
    with every_batch():
        compared(STAGES[name], busy(name), ALL, 5)
    assert len(calls) > 20


@pytest.mark.parametrize("columnar", [True, False])
def test_an_event_that_its_contract_calls_new_and_is_not_is_told_by_rows(columnar: bool) -> None:
    name = "paired first, never corrected"
    logs = busy(name, 60)
    key, before = logs[LEFT][4]
    paid = {**logs[OTHERS][4][1], "occurred_at": before["occurred_at"], "k": before["k"]}
    logs = {
        **logs,
        LEFT: [*logs[LEFT][:5], (key, before), *logs[LEFT][5:]],
        OTHERS: [*logs[OTHERS][:4], (key, paid), *logs[OTHERS][5:]],
    }
    driver = Driver(STAGES[name], logs, ALL, columnar=columnar)
    for topic in logs:
        driver.take(topic, 99)
    with pytest.raises(Fault) as caught:
        driver.commit()
    assert caught.value.code == "HW-P166"


# Saboteurs: each breaks the columnar road in one place, and the comparison must see it.

Break = Callable[[pytest.MonkeyPatch], None]


def forgets_what_a_later_right_changes(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnWithin.surely
    patch.setattr(ColumnWithin, "surely", lambda self, left, right: whole(self, left, right._replace(changes={})))


def pairs_nothing_that_is_not_sure(patch: pytest.MonkeyPatch) -> None:
    def surely(self: ColumnWithin, left: Delta, right: Delta) -> Delta:
        return Delta(NO_ROWS, {})

    patch.setattr(ColumnWithin, "surely", surely)


def closes_facts_with_others(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_rights.RightFacts, "alone", lambda self, lanes, tick: False)


def hands_on_pairs_that_are_new_alone(patch: pytest.MonkeyPatch) -> None:
    whole = column_rights.RightFacts.joined
    patch.setattr(
        column_rights.RightFacts,
        "joined",
        lambda self, left, right, first: whole(self, left._replace(changes={}), right, first=first),
    )


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("joined first", forgets_what_a_later_right_changes),
        ("paired twice", pairs_nothing_that_is_not_sure),
        ("paired first", closes_facts_with_others),
        ("paired first", hands_on_pairs_that_are_new_alone),
    ],
)
def test_a_broken_row_of_joins_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, broken: Break) -> None:
    broken(monkeypatch)
    with every_batch(), pytest.raises((AssertionError, Fault)):
        compared(STAGES[name], busy(name), ALL, 5)
