"""Joins of every shape as columns: behind a rekey, of a union, of facts, one after another, and handed on."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation import test_recall
from tests.simulation.column_runner import every_batch, kept_alike
from tests.simulation.roads import Driver, Log, Logs, compared
from tests.simulation.test_column_changes import EVENTS, amended
from tests.simulation.test_column_explode import ORDERS as CARTS
from tests.simulation.test_column_explode import SCHEMA as OF_CARTS
from tests.simulation.test_column_explode import busy as busy_carts
from tests.simulation.test_column_explode import histories
from tests.simulation.test_column_facts import FACTS as GRID
from tests.simulation.test_column_facts import HOURS, hours
from tests.simulation.test_column_facts import SCHEMAS as HOURLY
from tests.simulation.test_column_join import FACTS, JOINED, ORDERS, RIGHT, TICK, facts, plain
from tests.simulation.test_recall import GRADED, LEFT, OTHERS, PAYMENTS, SCHEMAS, united_joined
from tests.simulation.test_time_rules import PROFILE, RUNS

from headwater.errors import Fault
from headwater.processing import column_join, recollection
from headwater.processing.column_ends import Delta
from headwater.processing.column_exchange import HandOver
from headwater.processing.column_join import ColumnJoin
from headwater.processing.column_join_road import joins
from headwater.processing.column_rights import RightFacts
from headwater.processing.expressions import col
from headwater.processing.flow import Stream, count, total
from headwater.processing.steps import Stage
from headwater.processing.windows import whole
from headwater.testing.conformance.explode_cases import JOINED as ELEMENTS
from headwater.testing.conformance.runner_cases import (
    FACT_JOIN,
    JOIN,
    JOIN_AND_FOLD,
    Case,
    Histories,
    Run,
    log_of,
)
from headwater.testing.conformance.union_cases import EVENTS as UNITED
from headwater.testing.harness import plan_of, product

MORE = product("a.more", shape="fact", key=["k"], fields={"k": "string", "grade": "string", "at": "long"})
BEHIND = "a.more.v1"
TWICE = product("a.twice", shape="event", key=["k"], fields={"k": "string", "m": "long", "more": ["null", "string"]})
SUMS = product("a.sums", shape="fact", key=["grade"], fields={"grade": "string", "events": "long", "n": "long"})
ALL = {**SCHEMAS, BEHIND: SCHEMAS[RIGHT]}


def by_note(rows: Stream, grades: Stream) -> Stream:
    """By another key than the rows', null in some."""
    return rows.join_as_of(grades, on={"note": "k"}, take={"grade": "grade", "at": "at"})


def twice(rows: Stream, grades: Stream, more: Stream) -> Stream:
    """Two joins in one stage, with steps behind each."""
    first = rows.join_as_of(grades, on={"k": "k"}, take={"at": "at"}).filter((col("at") != 1) | (col("n") > 1))
    second = first.map(m=col("n") + col("at").coalesce(0)).join_as_of(more, on={"k": "k"}, take={"more": "grade"})
    return second.filter(col("m") != 2).select("k", "m", "more")


def folded(rows: Stream, grades: Stream) -> Stream:
    """Handed on by what it was joined to."""
    joined = rows.join_as_of(grades, on={"k": "k"}, take={"found": "grade"}).map(grade=col("found").coalesce("none"))
    return joined.aggregate(by=["grade"], window=whole(), events=count(), n=total("n"))


def doubled(rows: Stream, grades: Stream) -> Stream:
    """What is computed of facts: 64 bits may not hold it."""
    return rows.join_as_of(grades.map(at=col("at") * 4), on={"k": "k"}, take={"grade": "grade", "at": "at"})


def of(flow: Any, inputs: Sequence[Any], output: Any, lanes: int = 1) -> list[Stage]:
    """The stages of a flow, of one partition but for the first input's."""
    first, *rest = [replace(one, partitions=1) for one in inputs]
    inputs = [replace(first, partitions=lanes), *rest]
    return list(plan_of(flow, inputs, replace(output, partitions=1), tick=TICK).stages)


ALONE = {
    "united": of(united_joined, [EVENTS, PAYMENTS, FACTS], GRADED)[0],
    "united, one never corrected": of(united_joined, [ORDERS, PAYMENTS, FACTS], GRADED)[0],
    "twice": of(twice, [EVENTS, FACTS, MORE], TWICE)[0],
    "twice, never corrected": of(twice, [ORDERS, FACTS, MORE], TWICE)[0],
    "handed on": of(folded, [EVENTS, FACTS], SUMS)[0],
    "doubled": of(doubled, [EVENTS, FACTS], JOINED)[0],
}
"""Stages that read products alone."""

PLANS = {
    "by another key": of(by_note, [EVENTS, FACTS], JOINED),
    "by another key, never corrected": of(by_note, [ORDERS, FACTS], JOINED),
    "of more partitions": of(by_note, [EVENTS, FACTS], JOINED, 3),
    "by its own key, of more partitions": of(plain, [EVENTS, FACTS], JOINED, 3),
    "by its own key, never corrected": of(plain, [ORDERS, FACTS], JOINED, 3),
}
"""Plans of which the second stage joins what the first hands over."""


PARTS = product(
    "a.parts",
    shape="event",
    key=["k"],
    fields={"k": "string", "article": "string", "n": "long", "grade": ["null", "string"]},
)


def elements(carts: Stream, grades: Stream) -> Stream:
    joined = carts.explode("lines").join_as_of(grades, on={"k": "k"}, take={"grade": "grade"})
    return joined.select("k", "article", "n", "grade")


EXPLODED = of(elements, [CARTS, FACTS], PARTS)[0]


@settings(max_examples=15, deadline=None)
@given(carts=histories(), right=facts(), seed=st.integers(0, 1 << 30))
def test_elements_are_joined_alike(carts: Log, right: Log, seed: int) -> None:
    logs = {CARTS.topic: carts, RIGHT: right}
    with every_batch():
        compared(EXPLODED, logs, {**ALL, CARTS.topic: OF_CARTS}, seed)


def test_most_elements_go_as_columns_and_versions_alone_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(test_recall.SCHEMAS, CARTS.topic, OF_CARTS)
    monkeypatch.setattr(recollection, "LEAST_ROWS", 4)
    logs = {CARTS.topic: busy_carts("parts")[CARTS.topic], RIGHT: busy()[RIGHT]}
    assert joins(EXPLODED)
    with every_batch(4):
        assert compared(EXPLODED, logs, test_recall.SCHEMAS, 5) > 300
        assert test_recall.hold(EXPLODED, logs, 7, columnar=True) > 2


WINDY = product(
    "a.windy",
    shape="fact",
    key=["k"],
    fields={"k": "string", "n": "long", "note": ["null", "string"], "grade": ["null", "string"]},
)


def graded(hours: Stream, grades: Stream) -> Stream:
    joined = hours.join_as_of(grades, on={"k": "k"}, take={"grade": "grade"})
    return joined.filter((col("grade") != "y") | (col("n") > 0)).select("k", "n", "note", "grade")


def graded_by_note(hours: Stream, grades: Stream) -> Stream:
    return hours.join_as_of(grades, on={"note": "k"}, take={"grade": "grade"}).select("k", "n", "note", "grade")


GRADED_HOURS = of(graded, [GRID, FACTS], WINDY)
GRADED_BY_NOTE = of(graded_by_note, [GRID, FACTS], WINDY, 2)
OF_HOURS = {**ALL, HOURS: HOURLY[HOURS], CARTS.topic: OF_CARTS}


@settings(max_examples=20, deadline=None)
@given(left=hours(), right=facts(), seed=st.integers(0, 1 << 30))
def test_facts_are_joined_to_facts_alike(left: Log, right: Log, seed: int) -> None:
    with every_batch():
        compared(GRADED_HOURS[0], {HOURS: left, RIGHT: right}, OF_HOURS, seed)


@settings(max_examples=20, deadline=None)
@given(left=hours(), right=facts(), seed=st.integers(0, 1 << 30))
def test_facts_that_were_handed_over_are_joined_alike(left: Log, right: Log, seed: int) -> None:
    with every_batch():
        compared(GRADED_BY_NOTE[1], moved(GRADED_BY_NOTE, left, seed, right), OF_HOURS, seed)


def busy_hours() -> Log:
    """Facts of a grid, of which one in twenty is corrected or taken back soon after."""
    chance = random.Random(3)
    log: list[tuple[bytes | None, Any]] = []
    for number in range(400):
        start = number // 5 * 20
        said = {"valid_from": start, "valid_to": start + 20, "k": f"k{number % 5}", "n": number % 7, "ok": True}
        said |= {"note": f"k{chance.randrange(6)}" if number % 7 else None, "recorded_at": number // 4}
        said |= {"kind": "assert", "revision": 1}
        if number > 9 and not number % 19:
            before = log[-chance.randrange(1, 9)][1]
            kind = chance.choice(["correct", "retract"])
            said = {
                **before,
                "recorded_at": number // 4,
                "kind": kind,
                "revision": before["revision"] + 1,
                "n": -number,
            }
        log.append((said["k"].encode(), said))
    return [*log, (None, 10_000)]


def test_facts_that_are_joined_come_back_with_the_facts_they_are_joined_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(test_recall.SCHEMAS, HOURS, HOURLY[HOURS])
    monkeypatch.setattr(recollection, "LEAST_ROWS", 4)
    [stage] = GRADED_HOURS
    assert stage.recalled_from == (HOURS, RIGHT)

    @settings(max_examples=6, deadline=None)
    @given(left=hours(), right=facts(), seed=st.integers(0, 1 << 30))
    def holds(left: Log, right: Log, seed: int) -> None:
        test_recall.hold(stage, {HOURS: left, RIGHT: right}, seed, columnar=True)

    with every_batch(4):
        holds()
        assert test_recall.hold(stage, {HOURS: busy_hours(), RIGHT: busy()[RIGHT]}, 7, columnar=True) > 2


@pytest.mark.parametrize("stages", [GRADED_HOURS, GRADED_BY_NOTE], ids=["by their own key", "by another key"])
def test_most_facts_of_a_busy_history_go_as_columns(stages: list[Stage]) -> None:
    with every_batch():
        right = busy()[RIGHT]
        own = stages is GRADED_HOURS
        stage, logs = (
            (stages[0], {HOURS: busy_hours(), RIGHT: right})
            if own
            else (stages[1], moved(stages, busy_hours(), 5, right))
        )
        assert joins(stage)
        assert compared(stage, logs, OF_HOURS, 5) > 300


def never_corrected(log: Log) -> Log:
    """The same events, each said once."""
    return [
        (key, said if key is None else {**said, "event_id": f"e{number}", "kind": "assert", "revision": 1})
        for number, (key, said) in enumerate(log)
    ]


def logs_of(name: str, stage: Stage, left: Log, right: Log, others: Log, more: Log) -> Logs:
    left = never_corrected(left) if "never" in name else left
    given_ = {LEFT: left, RIGHT: right, OTHERS: others, BEHIND: more}
    return {entry.topic: given_[entry.topic] for entry in stage.inputs}


def moved(stages: Sequence[Stage], left: Log, seed: int, right: Log) -> Logs:
    """What the first stage hands over, as columns and as rows, and the facts that the second joins it to."""
    chance = random.Random(seed)
    lanes, topic = stages[0].partitions, stages[0].inputs[0].topic
    messages: list[list[Any]] = []
    for lane in range(lanes):
        own = [one for one in left if one[0] is None or len(one[0]) % lanes == lane]
        feeding = Driver(stages[0], {topic: own}, OF_HOURS, columnar=True, partition=lane)
        while feeding.read[topic] < len(own):
            feeding.take(topic, chance.randrange(1, 30))
            if chance.random() < 0.5:
                feeding.commit()
        feeding.commit()
        messages.append(feeding.messages)
    order = [lane for lane, some in enumerate(messages) for _ in some]
    chance.shuffle(order)
    each = [iter(some) for some in messages]
    return {stages[1].inputs[0].topic: [(b"", next(each[lane])) for lane in order], RIGHT: right}


@pytest.mark.parametrize("name", ALONE)
@settings(max_examples=20, deadline=None)
@given(left=amended(), right=facts(), others=amended(), more=facts(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(
    name: str, left: Log, right: Log, others: Log, more: Log, seed: int
) -> None:
    stage = ALONE[name]
    with every_batch():
        compared(stage, logs_of(name, stage, left, right, others, more), ALL, seed)


@pytest.mark.parametrize("name", PLANS)
@settings(max_examples=20, deadline=None)
@given(left=amended(), right=facts(), seed=st.integers(0, 1 << 30))
def test_what_was_handed_over_is_joined_alike(name: str, left: Log, right: Log, seed: int) -> None:
    left = never_corrected(left) if "never" in name else left
    with every_batch():
        compared(PLANS[name][1], moved(PLANS[name], left, seed, right), ALL, seed)


def busy(events: int = 400) -> dict[str, Log]:
    """Events of which most are said once, with facts in some ticks, one of them of a key that no row has."""
    chance = random.Random(5)
    logs: dict[str, Log] = {}
    for topic in (LEFT, OTHERS, RIGHT, BEHIND):
        log: list[tuple[bytes | None, Any]] = []
        for number in range(events if topic in (LEFT, OTHERS) else events // 20):
            at = number // 4 if topic in (LEFT, OTHERS) else number // 5 * 30 + 2
            key = f"k{chance.randrange(6)}" if number != 7 or topic in (LEFT, OTHERS) else "null"
            said = {"recorded_at": at, "kind": "assert", "revision": 1, "event_id": f"e{number}", "k": key, "ok": True}
            said |= {
                "occurred_at": at - chance.randrange(60),
                "n": number % 5,
                "at": number % 7,
                "grade": f"g{number % 4}",
            }
            said |= {"note": f"k{chance.randrange(6)}" if number % 7 else None}
            said |= {"valid_from": at - 40, "valid_to": None if number % 3 else at + 9}
            if number > 9 and topic in (LEFT, OTHERS) and not number % 19:
                before = log[-chance.randrange(1, min(len(log), 60))][1]
                kind = chance.choice(["correct", "retract"])
                said = {**before, "recorded_at": at, "kind": kind, "revision": before["revision"] + 1, "n": -number}
                said["note"] = chance.choice([before["note"], "k1"])
            log.append((said["k"].encode(), said))
        logs[topic] = [*log, (None, 10_000)]
    return logs


def busy_logs(name: str) -> tuple[Stage, Logs]:
    logs = busy()
    if name in ALONE:
        return ALONE[name], logs_of(name, ALONE[name], logs[LEFT], logs[RIGHT], logs[OTHERS], logs[BEHIND])
    left = never_corrected(logs[LEFT]) if "never" in name else logs[LEFT]
    return PLANS[name][1], moved(PLANS[name], left, 5, logs[RIGHT])


@pytest.mark.parametrize("name", [*ALONE, *PLANS])
def test_most_of_a_busy_history_goes_as_columns(name: str) -> None:
    with every_batch():
        stage, logs = busy_logs(name)
        assert joins(stage)
        assert compared(stage, logs, ALL, 5) > 250 * sum(topic in (LEFT, OTHERS) or "rekey" in topic for topic in logs)


def test_an_event_that_was_there_before_is_told_by_rows_behind_a_rekey_too() -> None:
    stages = PLANS["by another key, never corrected"]
    left = never_corrected(busy()[LEFT])
    again = [(key, {**said, "recorded_at": 5_000}) for key, said in left[:60] if key is not None]
    logs = moved(stages, [*left[:-1], *again, (None, 10_000)], 5, busy()[RIGHT])
    for columnar in (True, False):
        driver = Driver(stages[1], logs, ALL, columnar=columnar)
        for topic in logs:
            driver.take(topic, 999)
        with every_batch(), pytest.raises(Fault) as caught:
            driver.commit()
        assert caught.value.code == "HW-P042"


def test_what_is_beyond_64_bits_goes_by_rows() -> None:
    logs = busy()
    for _, record in logs[RIGHT][:-1]:
        record["at"] += (1 << 62) - 3
    stage = ALONE["doubled"]
    with every_batch():
        compared(stage, logs_of("doubled", stage, logs[LEFT], logs[RIGHT], (), ()), ALL, 5)


WHOLE = (JOIN, JOIN_AND_FOLD, FACT_JOIN, UNITED, ELEMENTS)


@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.name)
def test_the_log_is_what_the_whole_input_says(case: Case) -> None:
    """Whole plans, with every join behind a rekey or before one."""

    @settings(PROFILE, max_examples=15)
    @given(case.histories, RUNS, st.sampled_from([1.0, 0.5]), st.sampled_from([1, 4]))
    def holds(histories: Histories, run: Run, share: float, least: int) -> None:
        assert log_of(case, kept_alike(case, histories, run, share, least)) == case.expected(histories)

    holds()


# Saboteurs: each breaks the columnar road in one place, and the comparison must see it.

Break = Callable[[pytest.MonkeyPatch], None]


def takes_all_for_new(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ColumnJoin, "_surely_new", lambda self, rows, changes: np.ones(len(rows.places), bool))


def looks_at_the_state_alone(patch: pytest.MonkeyPatch) -> None:
    """Not at what these ticks say of the same row."""
    whole = ColumnJoin._surely_new
    patch.setattr(ColumnJoin, "_surely_new", lambda self, rows, changes: whole(self, rows, {}))


def joins_what_has_no_key(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnJoin._taken

    def taken(self: ColumnJoin, rows: Any) -> Any:
        on, self._spec = self._spec.on, replace(self._spec, on=())
        try:
            return whole(self, rows)
        finally:
            self._spec = replace(self._spec, on=on)

    patch.setattr(ColumnJoin, "_taken", taken)


def forgets_the_changes_of_the_first(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnJoin.__call__

    def joined(self: ColumnJoin, delta: Delta, facts: Any) -> Any:
        changes = {} if self._spec.right.gives == ("grade",) else delta.changes
        return whole(self, delta._replace(changes=changes), facts)

    patch.setattr(ColumnJoin, "__call__", joined)


def gives_the_first_facts_to_all(patch: pytest.MonkeyPatch) -> None:
    whole = RightFacts.arrived
    patch.setattr(RightFacts, "arrived", lambda self, lanes, ticks: whole(self, {**lanes, BEHIND: lanes[RIGHT]}, ticks))


def hands_on_what_is_new_alone(patch: pytest.MonkeyPatch) -> None:
    whole = HandOver.__call__
    patch.setattr(HandOver, "__call__", lambda self, delta: whole(self, delta._replace(changes={})))


def keeps_the_instant_alone(patch: pytest.MonkeyPatch) -> None:
    """Rows of one key and instant in one place."""
    patch.setattr(column_join, "rest_columns", lambda shape, columns: [])


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("by another key", takes_all_for_new),
        ("by another key", looks_at_the_state_alone),
        ("by another key", joins_what_has_no_key),
        ("twice", forgets_the_changes_of_the_first),
        ("twice", gives_the_first_facts_to_all),
        ("handed on", hands_on_what_is_new_alone),
        ("united", keeps_the_instant_alone),
    ],
)
def test_a_broken_join_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, broken: Break) -> None:
    with every_batch():
        stage, logs = busy_logs(name)
        broken(monkeypatch)
        with pytest.raises((AssertionError, Fault, TypeError)):
            compared(stage, logs, ALL, 5)
