"""A task by itself: what closes a tick, what is committed, what is a repeat after a crash, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headwater.errors import Fault, Misfit
from headwater.ports.keys import key_bytes
from headwater.processing.engine import Task, new_task
from headwater.processing.expressions import col
from headwater.processing.flow import Stream, count, total
from headwater.processing.operators.rekey import MARK_HEADER
from headwater.processing.state import MemoryStore
from headwater.processing.windows import tumbling
from headwater.testing.harness import plan_of, product

EVENTS = product("a.events", shape="event", key=["k"], fields={"k": "string", "g": "string", "n": "long"}, partitions=1)
FOLDED = product("a.folded", shape="fact", key=["k"], fields={"k": "string", "n": "long"}, partitions=1)
GROUPED = product("a.grouped", shape="fact", key=["g"], fields={"g": "string", "n": "long"}, partitions=2)
KEPT = product("a.kept", shape="event", key=["k"], fields={"k": "string", "twice": "long"}, partitions=1)
TOPIC = EVENTS.topic


def folding(events: Stream) -> Stream:
    return events.aggregate(by=["k"], window=tumbling("1s"), n=total("n"))


def event(
    at: int, n: int = 1, *, revision: int = 1, event_id: str = "e", kind: str = "assert", **other: Any
) -> dict[str, Any]:
    values = {"k": "k", "g": "g", "n": n, "event_id": event_id, "occurred_at": 5, "recorded_at": at}
    return {**values, "kind": kind, "revision": revision, **other}


def task(flow: Any = folding, output: Any = FOLDED, store: MemoryStore | None = None) -> Task:
    """A task whose input has shown that nothing is recorded before the epoch."""
    plan = plan_of(flow, [EVENTS], output, tick=100)
    fresh, state = store is None, store or MemoryStore()
    made = new_task(plan.stages[0], partition=0, store=state)
    if fresh:
        made.mark(TOPIC, -1)
        made.advance()
        commit = made.commit()
        assert commit is not None
        state.apply(commit.changes)
        made.committed()
    return made


def give(to: Task, offset: int, record: dict[str, Any]) -> None:
    to.record(TOPIC, offset, key_bytes([record["k"]]), record)


def test_a_tick_closes_when_a_record_of_a_later_tick_comes() -> None:
    open_task = task()
    give(open_task, 0, event(10))
    assert not open_task.advance() and open_task.commit() is None
    give(open_task, 1, event(100, event_id="f"))
    assert open_task.advance()
    commit = open_task.commit()
    assert commit is not None
    assert [(out.record["n"], out.recorded_at) for out in commit.said[0].records] == [(1, 99)]
    assert commit.offsets == {TOPIC: 1} and commit.through == 99


def test_a_mark_at_the_end_of_a_tick_closes_it_and_one_before_does_not() -> None:
    open_task = task()
    give(open_task, 0, event(10))
    open_task.mark(TOPIC, 98)
    assert not open_task.advance()
    open_task.mark(TOPIC, 99)
    assert open_task.advance()
    commit = open_task.commit()
    assert commit is not None and len(commit.said[0].records) == 1 and commit.offsets == {TOPIC: 1}


def test_marks_alone_move_an_idle_product_on() -> None:
    open_task = task()
    open_task.mark(TOPIC, 5_099)
    assert open_task.advance()
    commit = open_task.commit()
    assert commit is not None and commit.through == 5_099 and not commit.said[0].records


def test_two_records_of_one_tick_make_one_output_and_changes_that_cancel_make_none() -> None:
    open_task = task()
    give(open_task, 0, event(10, 1))
    give(open_task, 1, event(20, 2, revision=2, kind="correct"))
    give(open_task, 2, event(30, 7, event_id="f", k="other"))
    give(open_task, 3, event(40, 7, event_id="f", k="other", revision=2, kind="retract"))
    open_task.mark(TOPIC, 99)
    open_task.advance()
    commit = open_task.commit()
    assert commit is not None
    assert [(out.key, out.record["n"], out.record["revision"]) for out in commit.said[0].records] == [(b"k", 2, 1)]


def test_after_a_crash_the_open_tick_is_read_again_and_the_closed_one_is_a_repeat() -> None:
    store = MemoryStore()
    first = task(store=store)
    give(first, 0, event(10))
    give(first, 1, event(110, event_id="f"))
    first.advance()
    commit = first.commit()
    assert commit is not None
    store.apply(commit.changes)
    second = task(store=store)
    give(second, 0, event(10))  # as a rewound group would
    give(second, 1, event(110, event_id="f"))
    assert second.counts.reread == 1
    assert not second.advance()
    second.mark(TOPIC, 199)
    assert second.advance()
    after = second.commit()
    assert after is not None
    [said] = after.said
    assert [(out.record["n"], out.record["revision"], out.recorded_at) for out in said.records] == [(2, 2, 199)]


def test_recorded_time_that_goes_back_stops_the_task() -> None:
    open_task = task()
    give(open_task, 0, event(50))
    with pytest.raises(Fault) as fault:
        give(open_task, 1, event(49, event_id="f"))
    assert fault.value.code == "HW-P061"


def test_a_record_that_a_mark_had_excluded_stops_the_task() -> None:
    open_task = task()
    open_task.mark(TOPIC, 199)
    with pytest.raises(Fault):
        give(open_task, 0, event(150))
    closed = task()
    closed.mark(TOPIC, 199)
    closed.advance()
    with pytest.raises(Fault):
        give(closed, 0, event(150))


@pytest.mark.parametrize(("field", "value"), [("kind", "delete"), ("revision", 0)])
def test_a_record_that_no_tick_can_take_is_a_misfit_without_its_values(field: str, value: object) -> None:
    with pytest.raises(Misfit) as misfit:
        give(task(), 0, event(10, **{field: value}))
    assert misfit.value.field == field


def test_a_refused_record_is_quarantined_by_the_commit_that_passes_it_and_only_by_that() -> None:
    open_task = task()
    give(open_task, 0, event(10))
    open_task.refuse(TOPIC, 1, "letter")
    open_task.advance()
    assert open_task.commit() is None  # the open tick would be read again, and the letter with it
    give(open_task, 2, event(110, event_id="f"))
    open_task.advance()
    commit = open_task.commit()
    assert commit is not None and commit.refused == ["letter"] and commit.offsets == {TOPIC: 2}


def test_a_refused_record_alone_is_quarantined_at_once() -> None:
    open_task = task()
    open_task.refuse(TOPIC, 0, "letter")
    assert open_task.advance()
    commit = open_task.commit()
    assert commit is not None and commit.refused == ["letter"] and commit.offsets == {TOPIC: 1} and not commit.changes


def test_a_rekeyed_change_goes_to_the_owner_of_its_key_and_marks_to_all() -> None:
    open_task = task(lambda events: events.aggregate(by=["g"], window=tumbling("1s"), n=count()), GROUPED)
    give(open_task, 0, event(10))
    open_task.mark(TOPIC, 99)
    open_task.advance()
    commit = open_task.commit()
    assert commit is not None
    row, *marks = commit.messages
    assert row.key == b"g" and row.timestamp == 0
    assert [(mark.partition, mark.value, mark.headers) for mark in marks] == [
        (0, None, ((MARK_HEADER, b"99"),)),
        (1, None, ((MARK_HEADER, b"99"),)),
    ]


def test_a_rekey_lane_that_is_ahead_is_read_again_from_its_mark() -> None:
    """Else a lane that had passed before a crash and then falls silent would hold the next tick open for ever."""
    plan = plan_of(
        lambda events: events.aggregate(by=["g"], window=tumbling("1s"), n=count()), [EVENTS], GROUPED, tick=100
    )
    stage = plan.stages[1]
    assert stage.inputs[0].lanes == 1
    second = new_task(stage, partition=0, store=MemoryStore())
    topic = stage.inputs[0].topic
    second.exchange(topic, 0, b"g", b'[0,3,0,null,["g",1,5]]', ())
    second.exchange(topic, 1, b"0", None, ((MARK_HEADER, b"299"),))
    second.advance()
    commit = second.commit()
    assert commit is not None and commit.through == 299 and commit.offsets == {topic: 0}


def test_what_only_maps_and_filters_keeps_recorded_time_kind_and_revision() -> None:
    flow = lambda events: events.filter(col("n") > 0).select("k", twice=col("n") * 2)  # noqa: E731
    passing = task(flow, KEPT)
    for offset, record in enumerate(
        [
            event(10, 1),
            event(11, -1, event_id="f"),
            event(12, -1, revision=2, kind="correct"),
            event(13, 5, event_id="g", revision=4, kind="retract"),
        ]
    ):
        give(passing, offset, record)
    passing.mark(TOPIC, 40)
    assert passing.advance()
    commit = passing.commit()
    assert commit is not None and commit.through == 40 and commit.offsets == {TOPIC: 4} and not commit.changes
    assert [
        (out.record["kind"], out.record["revision"], out.recorded_at, out.record["twice"])
        for out in commit.said[0].records
    ] == [
        ("assert", 1, 10, 2),
        ("retract", 2, 12, -2),
        ("retract", 4, 13, 10),
    ]


def test_what_comes_later_than_the_contract_accepts_is_refused_whole() -> None:
    bounded = replace(FOLDED, accept_late=1_000)
    open_task = task(output=bounded)
    give(open_task, 0, event(1_005, event_id="in time"))
    with pytest.raises(Misfit) as misfit:
        give(open_task, 1, event(1_006, event_id="late"))
    assert misfit.value.code == "HW-P087"


def test_an_input_that_is_never_corrected_keeps_no_versions_and_refuses_corrections() -> None:
    plan = plan_of(folding, [replace(EVENTS, corrections=False)], FOLDED, tick=100)
    uncorrected = new_task(plan.stages[0], partition=0, store=MemoryStore())
    give(uncorrected, 0, event(10))
    with pytest.raises(Misfit):
        give(uncorrected, 1, event(20, revision=2, kind="correct"))
    uncorrected.mark(TOPIC, 99)
    uncorrected.advance()
    commit = uncorrected.commit()
    assert commit is not None and len(commit.said[0].records) == 1
    assert not [key for key, _ in commit.changes if key.startswith(b"versions")]
