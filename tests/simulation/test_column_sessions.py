"""Sessions as columns against the row road: the same histories, cut anyhow, give the same bytes and state."""

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
from tests.simulation import test_column_explode
from tests.simulation.column_runner import columned
from tests.simulation.roads import Log, Logs, compared
from tests.simulation.test_column_changes import EVENTS, KEYS, SUMS, TICK, amended, every_batch
from tests.simulation.test_column_join import ORDERS
from tests.simulation.test_column_union import never_corrected
from tests.simulation.test_recall import COUNTS, LEFT, OTHERS, PAYMENTS, SCHEMAS, alike, both
from tests.simulation.test_time_rules import PROFILE, RUNS

from headwater.errors import Fault
from headwater.processing import column_session_results, column_session_rows, column_sessions
from headwater.processing.column_measures import Sums
from headwater.processing.column_session_rows import SessionRows
from headwater.processing.column_sessions import ColumnSessions
from headwater.processing.columns import takes_columns
from headwater.processing.expressions import col, when
from headwater.processing.flow import Stream, average, count, maximum, total
from headwater.processing.operators.sessions import Sessions
from headwater.processing.state import MemoryStore, Overlay
from headwater.processing.windows import session
from headwater.testing.conformance.runner_cases import Case, Histories, Run, log_of
from headwater.testing.conformance.session_cases import CLICKS, GAP, clicks, sessions_of
from headwater.testing.harness import plan_of, product

MEANS = product("a.means", shape="fact", key=["k"], fields={"k": "string", "mean": "double", "m": "long"})
SOME = product(
    "a.means",
    shape="fact",
    key=["k"],
    fields={"k": "string", "mean": ["null", "double"], "m": ["null", "long"], "notes": "long"},
)
TOTALS = product("a.totals", shape="fact", key=["k"], fields={"k": "string", "n": "long"})


def sums(rows: Stream) -> Stream:
    return rows.aggregate(by=["k"], window=session("7us"), events=count(), n=total("n"), seen=count("ok"))


def means(rows: Stream) -> Stream:
    """Rows come in and go out of the filter; what each of them has is not published."""
    chosen = rows.filter(col("n") != 1).map(m=col("n") * 3)
    return chosen.aggregate(by=["k"], window=session("7us"), mean=average("m"), m=total("m"))


def missing(rows: Stream) -> Stream:
    """Of values that may be missing."""
    some = rows.map(m=when(col("n") > 0).then(col("n")).otherwise(None))
    return some.aggregate(by=["k"], window=session("7us"), mean=average("m"), m=total("m"), notes=count("note"))


def totals(rows: Stream) -> Stream:
    """What comes and goes may say nothing."""
    return rows.aggregate(by=["k"], window=session("20us"), n=total("n"))


def united(rows: Stream, payments: Stream) -> Stream:
    folded = both(rows, payments).map(seen=col("n") * 2)
    return folded.aggregate(by=["k"], window=session("7us"), events=count(), n=total("n"), seen=total("seen"))


STAGES = {
    "sums": plan_of(sums, [EVENTS], SUMS, tick=TICK).stages[0],
    "means": plan_of(means, [EVENTS], MEANS, tick=TICK).stages[0],
    "missing": plan_of(missing, [EVENTS], SOME, tick=TICK).stages[0],
    "totals": plan_of(totals, [EVENTS], TOTALS, tick=TICK).stages[0],
    "alike": plan_of(alike, [EVENTS], COUNTS, tick=TICK).stages[0],
    "never corrected": plan_of(sums, [ORDERS], SUMS, tick=TICK).stages[0],
    "united": plan_of(united, [EVENTS, PAYMENTS], SUMS, tick=TICK).stages[0],
}
EVERY_STAGE = pytest.mark.parametrize("name", STAGES)


@st.composite
def flowing(draw: st.DrawFn) -> Log:
    """Events that come about in their order, with gaps, and now and then a late or corrected one."""
    at, log = draw(st.integers(0, 20)), list[tuple[bytes | None, Any]]()
    late = draw(st.sampled_from([0, 3, 12]))
    for number in range(draw(st.integers(0, 60))):
        at += draw(st.sampled_from([0, 0, 1, 3, 6, 7, 8, 25]))
        if not draw(st.integers(0, 8)):
            log.append((None, at // TICK * TICK - 1))
            continue
        again = not draw(st.integers(0, 15))
        record = {
            "event_id": f"e{draw(st.integers(0, number)) if again else number}", "k": draw(KEYS), "ok": True,
            "occurred_at": at - draw(st.integers(0, late)), "n": draw(st.integers(-1, 2)),
            "note": draw(st.none() | KEYS), "recorded_at": at, "revision": 2 if again else 1,
            "kind": draw(st.sampled_from(["correct", "retract"])) if again else "assert",
        }  # fmt: skip
        log.append((record["k"].encode(), record))
    return [*log, (None, 10_000)]


@EVERY_STAGE
@settings(max_examples=25, deadline=None)
@given(left=flowing() | amended(), right=flowing() | amended(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(name: str, left: Log, right: Log, seed: int) -> None:
    if name == "never corrected":
        left = never_corrected(left)
    logs = {LEFT: left, OTHERS: right} if name == "united" else {LEFT: left}
    with every_batch():
        compared(STAGES[name], logs, SCHEMAS, seed)


def of_lines(orders: Stream) -> Stream:
    lines = orders.explode("lines").filter(col("n") != 1)
    return lines.aggregate(by=["k"], window=session("7us"), lines=count(), n=total("n"))


@settings(max_examples=20, deadline=None)
@given(log=test_column_explode.histories(), seed=st.integers(0, 1 << 30))
def test_sessions_of_the_elements_of_arrays_are_those_of_the_row_road(log: Log, seed: int) -> None:
    stage = plan_of(of_lines, [test_column_explode.ORDERS], test_column_explode.SUMS, tick=TICK).stages[0]
    assert takes_columns(stage)
    with every_batch():
        compared(stage, {test_column_explode.LEFT: log}, test_column_explode.SCHEMAS, seed)


def busy(name: str, events: int = 600) -> Logs:
    """Events of which most come in their order, some within their session, and few corrected, taken back or before."""
    chance = random.Random(11)
    logs: dict[str, Log] = {}
    for topic in (LEFT, OTHERS) if name == "united" else (LEFT,):
        log: list[tuple[bytes | None, Any]] = []
        for number in range(events):
            key, at = f"k{chance.randrange(20)}", number // 2
            late = chance.choice([0, 0, 2, 6]) if number % 40 else 60
            occurred_at = (at - late) // 3 * 2
            if not number % 14:  # just a gap behind the one before
                key, occurred_at = "exact", at
            said = {"event_id": f"e{number}", "occurred_at": occurred_at, "k": key, "n": number % 5, "ok": True}
            said |= {"note": None if number % 3 else key, "recorded_at": at, "kind": "assert", "revision": 1}
            if number > 9 and not number % 50 and name != "never corrected":
                before = log[chance.randrange(len(log))][1]
                kind = chance.choice(["correct", "retract"])
                said = {**before, "recorded_at": at, "kind": kind, "revision": 2, "n": -number}
            log.append((said["k"].encode(), said))
        log.append((None, 10_000))
        logs[topic] = log
    return logs


SUMMED = Case(
    "sums over sessions, by another key",
    lambda stream: stream.filter(col("number") >= 0).aggregate(
        by=["user"], window=session(f"{GAP}us"), clicks=count(), number=total("number")
    ),
    (CLICKS,),
    product("web.sums", shape="fact", key=["user"], fields={"user": "string", "clicks": "long", "number": "long"}),
    st.fixed_dictionaries({CLICKS.topic: clicks}),
    lambda histories, at: sessions_of(
        histories, at, lambda run: {"clicks": len(run), "number": sum(event["number"] for event in run)}, least=0
    ),
    moving=True,
)


@settings(PROFILE, max_examples=40)
@given(SUMMED.histories, RUNS, st.sampled_from([1.0, 1.0, 0.5]))
def test_the_log_behind_a_rekey_is_what_the_whole_input_says(histories: Histories, run: Run, share: float) -> None:
    with every_batch():
        by_both = columned(SUMMED, histories, run, share)
    assert log_of(SUMMED, by_both) == SUMMED.expected(histories)
    assert by_both.states() == columned(SUMMED, histories, run, 0.0).states()


BY_PAGE = replace(
    SUMMED,
    name="sums over sessions, by a field that may be null, and by its text",
    flow=lambda stream: stream.map(page=when(col("page") == "a").then("null").otherwise(col("page"))).aggregate(
        by=["page"], window=session(f"{GAP}us"), clicks=count(), number=total("number")
    ),
    output=product(
        "web.sums",
        shape="fact",
        key=["page"],
        fields={"page": ["null", "string"], "clicks": "long", "number": "long"},
    ),
)


@settings(PROFILE, max_examples=20)
@given(BY_PAGE.histories, RUNS)
def test_what_is_grouped_by_null_and_by_its_text_is_what_the_row_road_says(histories: Histories, run: Run) -> None:
    with every_batch():
        by_both = columned(BY_PAGE, histories, run, 1.0)
    by_rows = columned(BY_PAGE, histories, run, 0.0)
    assert by_both.states() == by_rows.states()
    assert by_both.topics[BY_PAGE.output.topic] == by_rows.topics[BY_PAGE.output.topic]


def test_most_of_what_is_handed_over_goes_as_columns() -> None:
    log = [
        {
            "event_id": f"e{number}", "click": f"c{number}", "user": f"u{number * 7 % 30}", "page": None, "pause": None,
            "number": number % 4, "occurred_at": number // 3 - number % 2, "recorded_at": number, "kind": "assert",
            "revision": 1,
        }
        for number in range(600)
    ]  # fmt: skip
    histories = {CLICKS.topic: log}
    with every_batch(), rows_counted() as by_rows:
        runner = columned(SUMMED, histories, Run(partitions=2, batch=150, seed=3), 1.0)
    assert log_of(SUMMED, runner) == SUMMED.expected(histories)
    assert runner.columnar[runner.plan.stages[-1].name] > 500
    assert by_rows[0] < 100


@contextmanager
def rows_counted() -> Iterator[list[int]]:
    """How many changes sessions are told of by rows while columns fold."""
    found = [0]
    whole = ColumnSessions._changes

    def changes(self: ColumnSessions, delta: Any) -> Any:
        made = whole(self, delta)
        found[0] += sum(map(len, made.values()))
        return made

    ColumnSessions._changes = changes  # type: ignore[method-assign]
    try:
        yield found
    finally:
        ColumnSessions._changes = whole  # type: ignore[method-assign]


@EVERY_STAGE
def test_most_of_a_busy_history_goes_as_columns(name: str) -> None:
    assert takes_columns(STAGES[name])
    with every_batch(), rows_counted() as by_rows:
        columnar = compared(STAGES[name], busy(name), SCHEMAS, seed=5)
        assert columnar > 500
        assert by_rows[0] < columnar / 3


def test_what_columns_cannot_measure_goes_by_rows() -> None:
    def ends(rows: Stream) -> Stream:
        return rows.aggregate(by=["k"], window=session("7us"), n=maximum("n"))

    assert not takes_columns(plan_of(ends, [EVENTS], TOTALS, tick=TICK).stages[0])


def test_the_order_in_a_tick_decides_nothing_that_is_kept() -> None:
    spec = STAGES["sums"].logic.operations[0].spec
    names = spec.columns
    rows = [
        (b"k", None, tuple({"k": "k", "n": at, "ok": True, "occurred_at": at}[name] for name in names))
        for at in (0, 10, 5)
    ]
    kept = []
    for some in (rows, rows[::-1]):
        overlay = Overlay(MemoryStore())
        sessions = Sessions(spec, overlay)
        sessions.tick(some)
        sessions.tick([(key, row, None) for key, _, row in some])
        kept.append(overlay.changes())
    assert sorted(kept[0]) == sorted(kept[1])


# Saboteurs: each breaks the columnar road in one place, and the comparison must see it.


def _takes_what_comes_before_a_session_into_it(patch: pytest.MonkeyPatch) -> None:
    whole = SessionRows._rows
    patch.setattr(
        SessionRows, "_rows", lambda self, *more: (rows := whole(self, *more))._replace(first=rows.first - 99)
    )


def _merges_over_the_whole_gap(patch: pytest.MonkeyPatch) -> None:
    whole = SessionRows.__init__

    def made(self: SessionRows, *more: Any) -> None:
        whole(self, *more)
        self._gap += 1

    patch.setattr(SessionRows, "__init__", made)


def _counts_no_row_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_session_rows, "known_numbers", lambda table, keys: np.zeros(len(keys), np.int64))


def _numbers_every_session_anew(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_session_results, "known_numbers", lambda table, keys: np.zeros(len(keys), np.int64))


def _forgets_the_newest(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_sessions, "_newest", lambda keys, rows: ([], []))


def _says_what_is_not_new(patch: pytest.MonkeyPatch) -> None:
    whole = Sums.amounts
    patch.setattr(
        Sums, "amounts", lambda self, *more: (made := whole(self, *more))._replace(differs=made.differs | True)
    )


def _says_it_in_the_order_of_intervals(patch: pytest.MonkeyPatch) -> None:
    whole = column_session_results.in_order
    patch.setattr(column_session_results, "in_order", lambda made, said, moving: whole(made, said))


def _forgets_what_was_summed(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnSessions._held
    patch.setattr(
        ColumnSessions, "_held", lambda self, keys, rows: [(0,) * len(one) for one in whole(self, keys, rows)]
    )


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("sums", _takes_what_comes_before_a_session_into_it),
        ("sums", _merges_over_the_whole_gap),
        ("alike", _counts_no_row_twice),
        ("sums", _numbers_every_session_anew),
        ("sums", _forgets_the_newest),
        ("totals", _says_what_is_not_new),
        ("sums", _says_it_in_the_order_of_intervals),
        ("sums", _forgets_what_was_summed),
    ],
)
def test_a_broken_session_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, broken: Any) -> None:
    broken(monkeypatch)
    with every_batch(), pytest.raises((AssertionError, Fault)):
        compared(STAGES[name], busy(name), SCHEMAS, seed=5)
