"""Hand-overs, states and folds behind them as columns: the log is the oracle's, and state is that of the row road."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.column_runner import columned, every_batch, kept_alike
from tests.simulation.test_time_rules import PROFILE, RUNS

from headwater.errors import Fault
from headwater.processing.column_exchange import HandOver, MovedSide, hands_over
from headwater.processing.column_keys import partitions_of
from headwater.processing.column_latest import ColumnLatest
from headwater.processing.columns import takes_columns
from headwater.processing.expressions import col
from headwater.processing.flow import count, total
from headwater.processing.state import Table
from headwater.processing.windows import tumbling
from headwater.testing.conformance.fold_cases import FIRST_AND_LAST
from headwater.testing.conformance.latest_cases import FILTERED_STATES, OWN_STATES, STATES
from headwater.testing.conformance.runner_cases import AGGREGATE, DEPARTURES, Case, Histories, Run, departures, log_of
from headwater.testing.conformance.session_cases import OWN_SESSIONS, SESSIONS
from headwater.testing.conformance.union_cases import UNION_CASES
from headwater.testing.harness import plan_of, product
from headwater.testing.oracles import aggregate_as_of, events_as_of

CROWDS = product("airports.crowds", shape="fact", key=["origin"], fields={"origin": "string", "n": "long", "s": "long"})


def _crowds(histories: Histories, at: int) -> Any:
    folded = aggregate_as_of(
        [event for event in events_as_of(histories[DEPARTURES.topic], at) if event["number"] != 1],
        group=lambda event: (event["origin"],),
        interval=lambda event: (event["occurred_at"] // 20 * 20, event["occurred_at"] // 20 * 20 + 20),
        value=lambda members: (len(members), sum(member["number"] for member in members)),
    )
    return {
        (key, start, end): {"origin": key[0], "valid_from": start, "valid_to": end, "n": n, "s": s}
        for (key, start, end), (n, s) in folded.items()
    }


FOLDED = Case(
    "a fold that columns can make, by another key",
    lambda stream: stream.filter(col("number") != 1).aggregate(
        by=["origin"], window=tumbling("20us"), n=count(), s=total("number")
    ),
    (DEPARTURES,),
    CROWDS,
    st.fixed_dictionaries({DEPARTURES.topic: departures}),
    _crowds,
)
CASES = (STATES, OWN_STATES, FOLDED, FIRST_AND_LAST, AGGREGATE, FILTERED_STATES)
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
SHARES = st.sampled_from([1.0, 1.0, 0.5])


@pytest.mark.parametrize("case", (*CASES, SESSIONS, OWN_SESSIONS, *UNION_CASES), ids=lambda case: case.name)
def test_the_log_is_what_the_whole_input_says(case: Case) -> None:
    """Late, corrected, moved, retracted, repeated and superseded; cut anyhow, with crashes; all or some as blocks."""

    @PROFILE
    @given(case.histories, RUNS, SHARES, st.sampled_from([1, 4]))
    def holds(histories: Histories, run: Run, share: float, least: int) -> None:
        with every_batch(least):
            assert log_of(case, columned(case, histories, run, share)) == case.expected(histories)

    holds()


@EVERY_CASE
def test_what_is_kept_in_the_end_is_what_the_row_road_keeps(case: Case) -> None:
    @settings(PROFILE, max_examples=20)
    @given(case.histories, RUNS, SHARES)
    def holds(histories: Histories, run: Run, share: float) -> None:
        kept_alike(case, histories, run, share)

    holds()


ANOTHER = {
    100: {"event_id": "z"},
    250: {"event_id": "z", "kind": "retract", "revision": 2},
    400: {"event_id": "another"},
}


def busy(case: Case) -> Histories:
    """Events of which most come in their order, some late, some corrected, moved or taken back; one comes in the
    place of another that has gone.
    """
    chance = random.Random(5)
    log: list[dict[str, Any]] = []
    for number in range(600):
        late = chance.randrange(9 if number % 23 else 299) if number % 5 else 0
        record: dict[str, Any] = {
            "event_id": f"e{number}\0" if number % 50 == 3 else f"e{number}", "report": f"r{number % 40}",
            "flight_id": f"f{number % 40}", "plane": f"N{chance.randrange(30)}", "origin": f"O{chance.randrange(30)}",
            "tailnum": None, "delay": 1, "number": number % 7, "airport": chance.choice(["JFK", "LGA"]),
            "fuel": chance.choice([None, 1, 2]), "occurred_at": number * 2 - late, "recorded_at": number * 2,
            "kind": "assert", "revision": 1,
        }  # fmt: skip
        again = chance.choice(log[-40:]) if log and not number % 17 else None
        if number in ANOTHER:
            record |= {"report": "z", "plane": "Z", "occurred_at": 200, **ANOTHER[number]}
        elif again is not None and sum(one["event_id"] == again["event_id"] for one in log) == 1:
            record |= {name: again[name] for name in ("event_id", "report", "flight_id")}
            record |= {"kind": chance.choice(["correct", "retract"]), "revision": 2}
        log.append(record)
    [port] = case.inputs
    return {port.topic: [{name: one[name] for name in one if _known(port, name)} for one in log]}


def _known(port: Any, name: str) -> bool:
    return name in port.fields or name in ("recorded_at", "kind", "revision")


BUSY, SMALL = Run(partitions=2, batch=150, seed=3), Run(partitions=2, batch=25, seed=3)


@EVERY_CASE
def test_most_of_a_busy_history_goes_as_columns(case: Case) -> None:
    histories = busy(case)
    runner = columned(case, histories, BUSY, 1.0)
    assert log_of(case, runner) == case.expected(histories)
    first, *rest = runner.plan.stages
    if rest:
        assert hands_over(first) and runner.many > 5
        assert runner.columnar[first.name] > 400
    assert takes_columns(runner.plan.stages[-1])
    assert runner.columnar[runner.plan.stages[-1].name] > 400


def test_a_stage_that_keeps_more_than_columns_can_hold_goes_by_rows() -> None:
    fuels = product("a.seen", shape="event", key=["plane"], fields={"plane": "string", "fuel": "double"})
    kept = product("a.kept", shape="fact", key=["fuel_class"], fields={"fuel_class": "string", "fuel": "double"})

    def classes(stream: Any) -> Any:
        return stream.map(fuel_class=col("plane")).latest(by=["fuel_class"])

    stages = plan_of(classes, [fuels], kept, tick=10).stages
    assert not any(takes_columns(stage) for stage in stages)


# Saboteurs: each breaks one road in one place, and the log or the state must show it.

Break = Callable[[pytest.MonkeyPatch], None]


def takes_late_events_for_new(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnLatest._in_front
    patch.setattr(
        ColumnLatest,
        "_in_front",
        lambda self, found, newest, size: whole(self, found, [None] * len(newest), size),
    )


def forgets_what_held_before(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnLatest._ordered
    patch.setattr(
        ColumnLatest,
        "_ordered",
        lambda self, new, order, codes, names, newest: whole(self, new, order, codes, names, [None] * len(names)),
    )


def lets_pieces_of_a_tick_overlap(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnLatest._ordered

    def ordered(self: ColumnLatest, *arguments: Any) -> Any:
        rows = whole(self, *arguments)
        return rows._replace(ends=np.full(len(rows.codes), (1 << 63) - 1))

    patch.setattr(ColumnLatest, "_ordered", ordered)


def keeps_the_newest_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ColumnLatest, "_older", lambda self, rows, sizes: ([], np.zeros(0, np.int64)))


def numbers_every_piece_as_its_first(patch: pytest.MonkeyPatch) -> None:
    whole = Table.has_many

    def has_many(self: Table, keys: Any) -> list[bool]:
        return [False] * len(keys) if self._prefix == b"publish\0" else whole(self, keys)

    patch.setattr(Table, "has_many", has_many)


def leaves_out_what_changes(patch: pytest.MonkeyPatch) -> None:
    whole = HandOver._messages

    def messages(self: HandOver, rows: Any, delta: Any) -> Any:
        return [one for one in whole(self, rows, delta) if one.value and one.value.startswith(b"\1")]

    patch.setattr(HandOver, "_messages", messages)


def says_changes_after_all_new_rows(patch: pytest.MonkeyPatch) -> None:
    whole = HandOver._messages

    def messages(self: HandOver, rows: Any, delta: Any) -> Any:
        return sorted(whole(self, rows, delta), key=lambda one: not one.value.startswith(b"\1"))

    patch.setattr(HandOver, "_messages", messages)


def hands_over_to_the_neighbour(patch: pytest.MonkeyPatch) -> None:
    def neighbours(keys: Any, partitions: int) -> Any:
        return (partitions_of(keys, partitions) + 1) % partitions

    patch.setattr("headwater.processing.column_rekey.partitions_of", neighbours)


def reads_one_lane(patch: pytest.MonkeyPatch) -> None:
    count, bring = MovedSide.columnar, MovedSide.brought

    def first(lanes: Any) -> Any:
        return {topic: some[:1] for topic, some in lanes.items()}

    patch.setattr(MovedSide, "columnar", lambda self, lanes, ticks: count(self, first(lanes), ticks))
    patch.setattr(MovedSide, "brought", lambda self, lanes, ticks: bring(self, first(lanes), ticks))


@pytest.mark.parametrize(
    "break_it",
    [
        takes_late_events_for_new,
        forgets_what_held_before,
        lets_pieces_of_a_tick_overlap,
        keeps_the_newest_alone,
        numbers_every_piece_as_its_first,
        leaves_out_what_changes,
        says_changes_after_all_new_rows,
        hands_over_to_the_neighbour,
        reads_one_lane,
    ],
)
def test_a_broken_road_is_seen(monkeypatch: pytest.MonkeyPatch, break_it: Break) -> None:
    histories = busy(STATES)
    expected = STATES.expected(histories)

    def holds() -> None:
        with every_batch():
            right = log_of(STATES, columned(STATES, histories, SMALL, 1.0)) == expected
        assert right

    holds()
    break_it(monkeypatch)
    with pytest.raises((AssertionError, Fault)):
        holds()
