"""What folds and sessions hand over as columns against the row road: the same is handed over, and made of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.column_runner import columned, every_batch, kept_alike
from tests.simulation.roads import Driver, Log, compared
from tests.simulation.test_column_changes import EVENTS, TICK, amended
from tests.simulation.test_column_exchange import BUSY, SHARES, busy
from tests.simulation.test_column_join import COLUMNS
from tests.simulation.test_time_rules import PROFILE, RUNS

from headwater.errors import Fault
from headwater.processing import column_changed, column_rekey
from headwater.processing.column_changed import ChangedRows
from headwater.processing.column_exchange import HandOver
from headwater.processing.column_fold import ColumnFold
from headwater.processing.column_rekey import ColumnRekey, read_moved
from headwater.processing.column_results import Results
from headwater.processing.column_session_results import SessionResults, Steps
from headwater.processing.columns import takes_columns
from headwater.processing.expressions import col, lit
from headwater.processing.field_types import INTEGER
from headwater.processing.flow import Stream, count, maximum, minimum, total
from headwater.processing.graph import Port
from headwater.processing.operators.rekey import MANY_CHANGES, MANY_ROWS, RekeySpec
from headwater.processing.steps import Stage
from headwater.processing.windows import hopping, session, tumbling, whole
from headwater.testing.conformance.runner_cases import DEPARTURES, Case, Histories, Run, departures, log_of
from headwater.testing.harness import plan_of, product
from headwater.testing.oracles import aggregate_as_of, events_as_of

LEFT = "a.orders.v1"
DAYS = product(
    "a.days",
    shape="fact",
    key=["place"],
    fields={"place": ["null", "long"], "cells": "long", "events": ["null", "long"], "n": ["null", "long"]},
)
MOST = product("a.most", shape="fact", key=["place"], fields={"place": "long", "most": "long", "least": "long"})
NOTES = product("a.notes", shape="fact", key=["note"], fields={"note": ["null", "string"], "cells": "long"})


def daily(rows: Stream) -> Stream:
    return rows.aggregate(by=["place"], window=tumbling("40us"), cells=count(), events=total("events"), n=total("n"))


def by_value(rows: Stream) -> Stream:
    """A cell moves from key to key, since what it amounts to says which."""
    hourly = rows.aggregate(by=["k"], window=tumbling("20us"), name="hourly", events=count(), n=total("n"))
    return daily(hourly.map(place=col("n") // 3))


def some(rows: Stream) -> Stream:
    """A cell comes and goes, and what of it changes is not always seen."""
    hourly = rows.aggregate(by=["k"], window=tumbling("20us"), name="hourly", events=count(), n=total("n"))
    return daily(hourly.filter(col("events") > 1).map(place=col("events") // 3, n=lit(1), events=col("events") // 2))


def picked(rows: Stream) -> Stream:
    cells = rows.aggregate(by=["k"], window=hopping("40us", every="20us"), name="hourly", place=count(), n=total("n"))
    return cells.aggregate(by=["place"], window=whole(), cells=count(), events=total("place"), n=total("n"))


def ends(rows: Stream) -> Stream:
    hourly = rows.aggregate(
        by=["k"], window=tumbling("20us"), name="hourly", most=maximum("n"), least=minimum("n"), place=count()
    )
    return hourly.aggregate(by=["place"], window=whole(), most=maximum("most"), least=minimum("least"))


def notes(rows: Stream) -> Stream:
    """By text that may be null; the fold takes moved rows and hands over itself."""
    hourly = rows.aggregate(by=["note", "k"], window=tumbling("20us"), name="hourly", events=count())
    return hourly.aggregate(by=["note"], window=whole(), cells=count())


def one_note(rows: Stream) -> Stream:
    """The same by one column: null and the text that its key looks like are of one key."""
    noted = rows.aggregate(by=["note"], window=tumbling("20us"), name="noted", place=count(), n=total("n"))
    return noted.aggregate(by=["place"], window=whole(), cells=count(), events=total("place"), n=total("n"))


def visits(rows: Stream) -> Stream:
    """Sessions that grow go and come; others change, and are of another key then."""
    found = rows.aggregate(by=["k"], window=session("7us"), name="visits", place=count("note"), n=total("n"))
    return found.aggregate(by=["place"], window=whole(), cells=count(), events=total("place"), n=total("n"))


def some_visits(rows: Stream) -> Stream:
    """What of them is seen says how long they are."""
    found = rows.aggregate(by=["k"], window=session("7us"), name="visits", events=count(), n=total("n"))
    lasting = found.filter(col("n") != 3).map(place=col("n") // 3, n=col("valid_to") - col("valid_from"))
    return daily(lasting.map(events=col("events") // 2))


def stages(flow: Any, output: Port) -> Sequence[Stage]:
    return plan_of(flow, [replace(EVENTS, partitions=2)], replace(output, partitions=2), tick=TICK).stages


PLANS = {
    "by value": stages(by_value, DAYS),
    "some": stages(some, DAYS),
    "picked": stages(picked, DAYS),
    "ends": stages(ends, MOST),
    "notes": stages(notes, NOTES),
    "one note": stages(one_note, DAYS),
    "visits": stages(visits, DAYS),
    "some visits": stages(some_visits, DAYS),
}
EVERY_PLAN = pytest.mark.parametrize("name", PLANS)


@st.composite
def events(draw: st.DrawFn) -> Log:
    """Events as ever, some with a note that says null."""
    texts = draw(st.sampled_from([{}, {"a": "null"}]))
    log = draw(amended())
    return [(key, one if key is None else {**one, "note": texts.get(one["note"], one["note"])}) for key, one in log]


@EVERY_PLAN
@settings(max_examples=20, deadline=None)
@given(log=events(), seed=st.integers(0, 1 << 30))
def test_each_stage_says_the_same_by_both_roads_under_any_cut_and_crash(name: str, log: Log, seed: int) -> None:
    with every_batch():
        gone_through(PLANS[name], log, seed)


def gone_through(plan: Sequence[Stage], log: Log, seed: int) -> list[int]:
    """How many of each stage's records went as columns, of those of its first partition; raises where roads differ."""
    parted, found = parted_by_key(log), []
    for stage in plan:
        found.append(compared(stage, {stage.inputs[0].topic: parted[0]}, COLUMNS, seed))
        parted = handed_on(stage, parted, seed) if stage.output.kind == "exchange" else []
    return found


def parted_by_key(log: Log) -> list[Log]:
    """As if in two partitions, each with all marks."""
    return [[one for one in log if one[0] is None or len(one[0]) % 2 == lane] for lane in range(2)]


def handed_on(stage: Stage, parted: Sequence[Log], seed: int) -> list[Log]:
    """What the tasks of a stage, each with its log, hand over to each partition of the next one; lanes in turns."""
    chance, [entry] = random.Random(seed), stage.inputs
    each: list[list[Any]] = []
    for lane, log in enumerate(parted):
        feeding = Driver(stage, {entry.topic: log}, COLUMNS, columnar=True, partition=lane)
        while feeding.read[entry.topic] < len(log):
            feeding.take(entry.topic, chance.randrange(1, 90))
            if chance.random() < 0.5:
                feeding.commit()
        feeding.commit()
        each.append(feeding.messages)
    found: list[list[Any]] = [[] for _ in range(stage.output.partitions)]
    while any(each):
        lane = chance.choice([place for place, some in enumerate(each) if some])
        message = each[lane].pop(0)
        found[message.partition].append((b"", message))
    return [list(some) for some in found]


def busy_log(size: int, late: int = 9) -> Log:
    """Events of two partitions that mostly come in their order; some are late, corrected, moved or taken back."""
    chance = random.Random(7)
    log: list[tuple[bytes | None, Any]] = []
    for number in range(size):
        key = "k" * chance.randrange(1, 3) + str(chance.choice([0, 1, 2, chance.randrange(3, 9)]))
        said = {"recorded_at": number // 2, "kind": "assert", "revision": 1, "event_id": f"e{number}", "k": key}
        said |= {"occurred_at": number // 2 - chance.randrange(late), "n": number % 5, "ok": True}
        said["note"] = chance.choice(["a", "null", None, "b"])
        if number > 9 and not number % 7:
            before = log[-chance.randrange(1, 9)][1]
            kind = chance.choice(["correct", "retract"])
            said = {**before, "recorded_at": number // 2, "kind": kind, "revision": before["revision"] + 1, "n": 7}
        log.append((said["k"].encode(), said))
    return [*log, (None, 100_000)]


@EVERY_PLAN
def test_most_of_a_busy_history_goes_as_columns(name: str) -> None:
    plan = PLANS[name]
    assert all(takes_columns(stage) for stage in plan)
    log = busy_log(600, late=1 if "visits" in name else 9)  # of sessions those that are late go by rows
    with every_batch():
        first, *rest = gone_through(plan, log, 5)
        assert first > 200 and all(size > 30 for size in rest)
        parted = parted_by_key(log)
        for stage in plan[:-1]:
            parted = handed_on(stage, parted, 5)
    types = plan[-2].output.logic.types
    many = [one.value for some in parted for _, one in some if one.value and one.value.startswith(MANY_CHANGES)]
    assert many
    if name in ("by value", "some"):  # of the others a cell is of another key with each event, or is the same
        assert sum(int(read_moved(types, value)[1].follows().sum()) for value in many) > 10


def test_a_message_never_parts_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_rekey, "ROWS_LIMIT", 3)
    monkeypatch.setattr(column_rekey, "BYTES_LIMIT", 700)
    with every_batch():
        gone_through(PLANS["by value"], busy_log(200), 3)


def test_what_only_comes_is_said_as_it_always_was() -> None:
    """Readers of before take it, as far as nothing goes."""
    spec = RekeySpec(("n",), (INTEGER,), ("n",), 1)
    rows = ChangedRows(np.array([1, 1, 2]), np.array([0, 1, 2]), pa.array([b"", b"", b""]), [pa.array([4, 5, 6])])
    rekey = ColumnRekey(spec, 2)
    [new] = rekey.messages(rekey.rows(rows))
    [alone] = rekey.messages(rekey.rows(replace(rows, goes=np.zeros(3, bool))))
    [changed] = rekey.messages(rekey.rows(replace(rows, goes=np.array([False, True, False]))))
    assert new == alone and new.value.startswith(MANY_ROWS) and changed.value.startswith(MANY_CHANGES)
    assert read_moved(spec.types, changed.value)[1].by_tick() == {
        1: [(b"4", None, (4,)), (b"5", (5,), None)],
        2: [(b"6", None, (6,))],
    }


AGAIN = product(
    "airports.again", shape="fact", key=["flights"], fields={"flights": "long", "hours": "long", "s": "long"}
)


def _again(histories: Histories, at: int) -> Any:
    hours = aggregate_as_of(
        events_as_of(histories[DEPARTURES.topic], at),
        group=lambda event: (event["origin"],),
        interval=lambda event: (event["occurred_at"] // 20 * 20, event["occurred_at"] // 20 * 20 + 20),
        value=lambda members: (len(members), sum(member["number"] for member in members)),
    )
    folded = aggregate_as_of(
        [{"flights": flights, "s": s, "at": start} for (_, start, _), (flights, s) in hours.items() if s > 0],
        group=lambda hour: (hour["flights"],),
        interval=lambda hour: (hour["at"] // 60 * 60, hour["at"] // 60 * 60 + 60),
        value=lambda members: (len(members), sum(member["s"] for member in members)),
    )
    return {
        (key, start, end): {"flights": key[0], "valid_from": start, "valid_to": end, "hours": hours, "s": s}
        for (key, start, end), (hours, s) in folded.items()
    }


FOLDED_AGAIN = Case(
    "a fold of what a fold gives, by what it amounts to",
    lambda stream: (
        stream.aggregate(by=["origin"], window=tumbling("20us"), name="hours", flights=count(), s=total("number"))
        .filter(col("s") > 0)
        .aggregate(by=["flights"], window=tumbling("60us"), hours=count(), s=total("s"))
    ),
    (DEPARTURES,),
    AGAIN,
    st.fixed_dictionaries({DEPARTURES.topic: departures}),
    _again,
)


@PROFILE
@given(FOLDED_AGAIN.histories, RUNS, SHARES, st.sampled_from([1, 4]))
def test_the_log_is_what_the_whole_input_says(histories: Histories, run: Run, share: float, least: int) -> None:
    runner = kept_alike(FOLDED_AGAIN, histories, run, share, least)
    assert log_of(FOLDED_AGAIN, runner) == FOLDED_AGAIN.expected(histories)


def test_all_three_stages_of_a_busy_history_go_as_columns() -> None:
    histories = busy(FOLDED_AGAIN)
    runner = columned(FOLDED_AGAIN, histories, BUSY, 1.0)
    assert log_of(FOLDED_AGAIN, runner) == FOLDED_AGAIN.expected(histories)
    assert all(size > 900 for size in runner.columnar.values()) and len(runner.columnar) == 3


# Saboteurs: each breaks what is handed over in one place, and the comparison must show it.


def keeps_cells_without_rows(patch: pytest.MonkeyPatch) -> None:
    whole_ = ColumnFold._write

    def write(self: ColumnFold, places: Any, known: Any, by: Any, made: Any) -> None:
        whole_(self, places, known, by, made._replace(filled=np.ones(len(made.filled), bool)))

    patch.setattr(ColumnFold, "_write", write)


def says_of_what_went_what_holds_now(patch: pytest.MonkeyPatch) -> None:
    whole_ = Results.columns
    patch.setattr(Results, "columns", lambda self, names, which, came: whole_(self, names, which, came | True))


def hands_over_what_is_the_same(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_changed, "_without_repeats", lambda rows: rows)


def hands_what_goes_to_the_owner_of_what_comes(patch: pytest.MonkeyPatch) -> None:
    whole_ = ColumnRekey.rows

    def rows(self: ColumnRekey, given: ChangedRows) -> ChangedRows:
        made = whole_(self, given)
        after = np.flatnonzero(given.follows())
        which = np.arange(len(made))
        which[after - 1] = after
        return replace(made, keys=made.keys.take(pa.array(which)))

    patch.setattr(ColumnRekey, "rows", rows)


def forgets_what_goes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChangedRows, "going", lambda self: self.slice(0, 0))


def takes_what_comes_in_a_place_for_new(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChangedRows, "apart", lambda self: (self.coming(), self.slice(0, 0)))


def parts_changes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_rekey, "ROWS_LIMIT", 3)
    patch.setattr(column_rekey, "_cut", lambda rows, place: min(place, len(rows)))


def says_of_sessions_that_grow_what_holds_now(patch: pytest.MonkeyPatch) -> None:
    whole_ = SessionResults.until
    patch.setattr(SessionResults, "until", lambda self, step, goes: whole_(self, step, goes & False))


def leaves_out_sessions_that_only_change(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Steps, "corrected", lambda self: np.zeros(len(self.tick), bool))


def forgets_what_changes_by_rows(patch: pytest.MonkeyPatch) -> None:
    whole_ = HandOver.changed
    patch.setattr(HandOver, "changed", lambda self, rows, changes: whole_(self, rows, {}))


@pytest.mark.parametrize(
    ("name", "break_it"),
    [
        ("some", keeps_cells_without_rows),
        ("by value", says_of_what_went_what_holds_now),
        ("some", hands_over_what_is_the_same),
        ("by value", hands_what_goes_to_the_owner_of_what_comes),
        ("by value", forgets_what_goes),
        ("ends", takes_what_comes_in_a_place_for_new),
        ("by value", parts_changes),
        ("ends", forgets_what_changes_by_rows),
        ("visits", forgets_what_changes_by_rows),
        ("some visits", says_of_sessions_that_grow_what_holds_now),
        ("visits", leaves_out_sessions_that_only_change),
    ],
)
def test_a_broken_hand_over_is_seen(
    monkeypatch: pytest.MonkeyPatch, name: str, break_it: Callable[[pytest.MonkeyPatch], None]
) -> None:
    break_it(monkeypatch)
    with every_batch(), pytest.raises((AssertionError, Fault)):
        gone_through(PLANS[name], busy_log(400), 5)
