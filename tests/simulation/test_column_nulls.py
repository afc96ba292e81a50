"""Folds of fields that may be null, and by such fields, as columns: as the row road has them, and as oracles do."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.column_runner import columned, every_batch
from tests.simulation.roads import Log, compared
from tests.simulation.test_column_windows import TICK
from tests.simulation.test_time_rules import PROFILE, RUNS

from headwater.errors import Fault
from headwater.processing import column_fold, column_measures
from headwater.processing.column_measures import Amounts
from headwater.processing.columns import reads_columns, takes_columns
from headwater.processing.flow import Stream, average, count, total
from headwater.processing.steps import Stage
from headwater.processing.windows import Window, hopping, tumbling, whole
from headwater.testing.conformance.runner_cases import DEPARTURES, NULLABLE, Case, Histories, Run, departures, log_of
from headwater.testing.harness import plan_of, product
from headwater.testing.oracles import aggregate_as_of, events_as_of

TOPIC = "a.events.v1"
FIELDS = {"k": "string", "m": NULLABLE, "note": ["null", "string"]}
EVENTS = product("a.events", shape="event", key=["k"], fields=FIELDS)
SUMS = product(
    "a.sums",
    shape="fact",
    key=["k"],
    fields={"k": "string", "seen": "long", "m": NULLABLE, "mean": ["null", "double"], "notes": "long"},
)
TYPES = {"event_id": pa.string(), "occurred_at": pa.int64(), "k": pa.string(), "m": pa.int64(), "note": pa.string()}
TYPES |= {"recorded_at": pa.int64(), "kind": pa.string(), "revision": pa.int64()}
SCHEMAS = {TOPIC: pa.schema(list(TYPES.items()))}


def stage(window: Window, *, corrected: bool) -> Stage:
    def flow(events: Stream) -> Stream:
        return events.aggregate(
            by=["k"], window=window, seen=count("m"), m=total("m"), mean=average("m"), notes=count("note")
        )

    return plan_of(flow, [replace(EVENTS, corrections=corrected)], SUMS, tick=TICK).stages[0]


def alone() -> Stage:
    """A sum that begins as nothing, and may go on as zero."""
    fields = {"k": "string", "m": NULLABLE}
    sums = product("a.alone", shape="fact", key=["k"], fields=fields)

    def flow(events: Stream) -> Stream:
        return events.aggregate(by=["k"], window=whole(), m=total("m"))

    return plan_of(flow, [EVENTS], sums, tick=TICK).stages[0]


STAGES = {
    "alone": alone(),
    "corrected": stage(whole(), corrected=True),
    "corrected, hopping": stage(hopping("40us", every="20us"), corrected=True),
    "never corrected": stage(tumbling("20us"), corrected=False),
}
EVERY_STAGE = pytest.mark.parametrize("name", STAGES)


@st.composite
def logs(draw: st.DrawFn, *, corrected: bool) -> Log:
    recorded_at, log = draw(st.integers(0, 20)), list[tuple[bytes | None, Any]]()
    names = st.integers(0, draw(st.sampled_from([3, 60])))
    for number in range(draw(st.integers(1, 40))):
        recorded_at += draw(st.sampled_from([0, 0, 0, 1, 3, 10, 25]))
        record = {
            "event_id": f"e{number}", "occurred_at": draw(st.integers(-30, 30)), "k": draw(st.sampled_from("ab")),
            "m": draw(st.none() | st.integers(-1, 1)), "note": draw(st.none() | st.just("")),
            "recorded_at": recorded_at, "kind": "assert", "revision": 1,
        }  # fmt: skip
        if corrected:
            record["event_id"] = f"e{draw(names)}"
            record["kind"] = draw(st.sampled_from(["assert", "assert", "correct", "retract"]))
            record["revision"] = draw(st.integers(1, 3))
        log.append((record["k"].encode(), record))
    return [*log, (None, 10_000)]


@EVERY_STAGE
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(name: str) -> None:
    @settings(max_examples=20, deadline=None)
    @given(log=logs(corrected=name != "never corrected"), seed=st.integers(0, 1 << 30))
    def same(log: Log, seed: int) -> None:
        with every_batch():
            compared(STAGES[name], {TOPIC: log}, SCHEMAS, seed)

    same()


def busy(name: str) -> Log:
    """Keys that begin with nothing known of `m`, then know it, and some of which forget it again."""
    chance = random.Random(3)
    log: list[tuple[bytes | None, Any]] = []
    for number in range(400):
        said = {"event_id": f"e{number}", "k": f"k{chance.randrange(60)}", "kind": "assert", "revision": 1}
        said |= {"m": chance.choice([None, None, None, -1, 0, 1]), "note": chance.choice([None, "x"])}
        said |= {"occurred_at": number - chance.randrange(60)}
        if name != "never corrected" and number > 9 and not number % 9:
            before = log[chance.randrange(len(log))][1]
            said = before | {"kind": chance.choice(["correct", "retract"]), "revision": 2, "m": None}
        log.append((said["k"].encode(), said | {"recorded_at": number}))
    return [*log, (None, 10_000)]


@EVERY_STAGE
@pytest.mark.parametrize("limit", [0, 1_000])
def test_most_of_a_busy_history_goes_as_columns(monkeypatch: pytest.MonkeyPatch, name: str, limit: int) -> None:
    monkeypatch.setattr(column_fold, "CACHE_LIMIT", limit)
    assert reads_columns(STAGES[name]) == (TOPIC,)
    with every_batch():
        assert compared(STAGES[name], {TOPIC: busy(name)}, SCHEMAS, 5) > 300


TAILS = product(
    "fleet.tails",
    shape="fact",
    key=["tailnum"],
    fields={"tailnum": ["null", "string"], "flights": "long", "known": "long", "delay": NULLABLE},
)


def _tails(histories: Histories, at: int) -> Any:
    def measured(members: Any) -> Any:
        delays = [record["delay"] for record in members if record["delay"] is not None]
        return len(members), len(delays), sum(delays) if delays else None

    folded = aggregate_as_of(
        events_as_of(histories[DEPARTURES.topic], at),
        group=lambda event: (event["tailnum"],),
        interval=lambda event: (event["occurred_at"] // 20 * 20, event["occurred_at"] // 20 * 20 + 20),
        value=measured,
    )
    return {
        (key, start, end): {
            "tailnum": key[0],
            "valid_from": start,
            "valid_to": end,
            "flights": flights,
            "known": known,
            "delay": delay,
        }
        for (key, start, end), (flights, known, delay) in folded.items()
    }


BY_TAIL = Case(
    "a fold by a field that may be null",
    lambda stream: stream.aggregate(
        by=["tailnum"], window=tumbling("20us"), flights=count(), known=count("delay"), delay=total("delay")
    ),
    (DEPARTURES,),
    TAILS,
    st.fixed_dictionaries({DEPARTURES.topic: departures}),
    _tails,
)


@settings(PROFILE, max_examples=20)
@given(BY_TAIL.histories, RUNS, st.sampled_from([1.0, 0.5]))
def test_groups_without_a_value_are_what_the_oracle_says(histories: Histories, run: Run, share: float) -> None:
    with every_batch():
        by_both = columned(BY_TAIL, histories, run, share)
    assert log_of(BY_TAIL, by_both) == BY_TAIL.expected(histories)
    assert by_both.states() == columned(BY_TAIL, histories, run, 0.0).states()


def flights(tails: list[str | None]) -> Histories:
    chance = random.Random(5)
    events = [
        {
            "event_id": f"e{number}", "flight_id": f"f{number % 9}", "origin": "JFK", "tailnum": chance.choice(tails),
            "delay": chance.choice([None, 1]), "number": 1, "occurred_at": number, "recorded_at": number,
            "kind": "assert", "revision": 1,
        }
        for number in range(300)
    ]  # fmt: skip
    return {DEPARTURES.topic: events}


RUN = Run(batch=300, seed=1, partitions=1, crashes=False, marks=False)


def test_groups_without_a_value_go_as_columns() -> None:
    histories = flights(["N1", "N2", None])
    with every_batch():
        runner = columned(BY_TAIL, histories, RUN, 1.0)
    last = runner.plan.stages[-1]
    assert takes_columns(last) and runner.columnar[last.name] >= 300
    assert log_of(BY_TAIL, runner) == BY_TAIL.expected(histories)


def test_a_group_without_a_value_and_one_whose_text_is_null_go_row_by_row() -> None:
    """Both have one key, so that the first row of a cell says which of the two it is."""
    histories = flights(["N1", "null", None])
    with every_batch():
        runner = columned(BY_TAIL, histories, RUN, 1.0)
    assert not runner.columnar[runner.plan.stages[-1].name]


# Saboteurs: each takes what is null for what is not, or the other way.

Break = Callable[[pytest.MonkeyPatch], None]


def _folds_every_row(patch: pytest.MonkeyPatch) -> None:
    whole = column_measures._counts
    patch.setattr(column_measures, "_counts", lambda rows, groups, field="": whole(rows, groups))


def _says_zero_of_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Amounts, "where", lambda self, was, is_: self)


def _forgets_that_a_value_came(patch: pytest.MonkeyPatch) -> None:
    whole = Amounts.where
    patch.setattr(Amounts, "where", lambda self, was, is_: whole(self, was, is_)._replace(differs=self.differs))


def _says_nothing_of_what_goes(patch: pytest.MonkeyPatch) -> None:
    whole = Amounts.where
    patch.setattr(Amounts, "where", lambda self, was, is_: whole(self, np.zeros_like(was), is_))


@pytest.mark.parametrize(
    "broken", [_folds_every_row, _says_zero_of_nothing, _forgets_that_a_value_came, _says_nothing_of_what_goes]
)
def test_broken_nulls_are_seen(monkeypatch: pytest.MonkeyPatch, broken: Break) -> None:
    broken(monkeypatch)
    with every_batch(), pytest.raises((AssertionError, Fault)):
        compared(STAGES["alone"], {TOPIC: busy("alone")}, SCHEMAS, 5)
