"""States and sessions of which late and corrected events concern what lies behind, and what stands in front: the same
histories down both roads, cut anyhow.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.column_runner import every_batch
from tests.simulation.roads import Driver, Log, Logs, compared
from tests.simulation.test_column_changes import EVENTS, LEFT, SUMS, TICK
from tests.simulation.test_column_sessions import sums, united
from tests.simulation.test_recall import OTHERS, PAYMENTS, SCHEMAS, both, hold

from headwater.errors import Fault
from headwater.processing import (
    column_front,
    column_latest,
    column_pieces,
    column_session_results,
    column_session_rows,
    recollection,
)
from headwater.processing.column_ends import Delta
from headwater.processing.columns import takes_columns
from headwater.processing.expressions import col
from headwater.processing.flow import Stream, count, total
from headwater.processing.operators.latest import Latest
from headwater.processing.state import MemoryStore, Overlay
from headwater.processing.windows import session
from headwater.testing.harness import plan_of, product

LAST = product("a.last", shape="fact", key=["k"], fields={"k": "string", "n": "long"})


def last(rows: Stream) -> Stream:
    return rows.select("k", "n").latest(by=["k"])


def chosen(rows: Stream) -> Stream:
    """Events come in and go out of the filter as they are corrected."""
    return last(rows.filter(col("n") != 1))


def last_of_both(rows: Stream, payments: Stream) -> Stream:
    return last(both(rows, payments))


def longer(rows: Stream) -> Stream:
    """Sessions in which most corrections lie; what comes out alike is one row twice."""
    return rows.aggregate(by=["k"], window=session("60us"), events=count(), n=total("n"), seen=count("ok"))


STAGES = {
    "last": plan_of(last, [EVENTS], LAST, tick=TICK).stages[0],
    "chosen": plan_of(chosen, [EVENTS], LAST, tick=TICK).stages[0],
    "last of both": plan_of(last_of_both, [EVENTS, PAYMENTS], LAST, tick=TICK).stages[0],
    "sums": plan_of(sums, [EVENTS], SUMS, tick=TICK).stages[0],
    "longer": plan_of(longer, [EVENTS], SUMS, tick=TICK).stages[0],
    "united": plan_of(united, [EVENTS, PAYMENTS], SUMS, tick=TICK).stages[0],
}
EVERY_STAGE = pytest.mark.parametrize("name", STAGES)


@st.composite
def histories(draw: st.DrawFn) -> Log:
    """Events of few keys that go on; those before, near and far, are corrected, moved, taken back and said again."""
    at, log, said = draw(st.integers(0, 20)), list[tuple[bytes | None, Any]](), list[dict[str, Any]]()
    keys = st.sampled_from(["a", "b"][: draw(st.integers(1, 2))])
    pace, late = draw(st.sampled_from([[0, 1, 3], [1, 7, 8], [3, 12, 30]])), draw(st.sampled_from([3, 15, 60]))
    for number in range(draw(st.integers(5, 60))):
        at += draw(st.sampled_from(pace))
        if not draw(st.integers(0, 9)):
            log.append((None, at // TICK * TICK - 1))
            continue
        if said and not draw(st.integers(0, 5)):
            again = said[max(0, len(said) - 1 - draw(st.integers(0, 30)))]
            moved = draw(st.sampled_from([0, 0, 0, 1, -7, 20]))
            record = {**again, "n": draw(st.integers(-1, 2)), "recorded_at": at}
            record |= {"kind": draw(st.sampled_from(["correct", "correct", "retract"]))}
            record |= {"revision": again["revision"] + 1, "occurred_at": again["occurred_at"] + moved}
            said.remove(again)
        else:
            behind = draw(st.integers(0, late)) if not draw(st.integers(0, 3)) else 0
            record = {
                "event_id": f"e{number}", "k": draw(keys), "ok": True, "occurred_at": at - behind,
                "n": draw(st.integers(-1, 2)), "note": None, "recorded_at": at, "revision": 1, "kind": "assert",
            }  # fmt: skip
        said.append(record)
        log.append((record["k"].encode(), record))
    return [*log, (None, 10_000)]


@EVERY_STAGE
@settings(max_examples=30, deadline=None)
@given(left=histories(), right=histories(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(name: str, left: Log, right: Log, seed: int) -> None:
    logs = {LEFT: left, OTHERS: right}
    with every_batch():
        compared(STAGES[name], {entry.topic: logs[entry.topic] for entry in STAGES[name].inputs}, SCHEMAS, seed)


def busy(name: str) -> Logs:
    """Events of which every eighth is late, or corrects, moves or takes back another."""
    chance = random.Random(7)
    logs: dict[str, Log] = {}
    for place, topic in enumerate(entry.topic for entry in STAGES[name].inputs):
        log: list[tuple[bytes | None, Any]] = []
        first: list[dict[str, Any]] = []
        for number in range(1200):
            late = chance.randrange(1, 900) if number % 16 == 3 else 0
            said = {"event_id": f"e{number}", "occurred_at": number * 2 + place - late, "k": f"k{chance.randrange(6)}"}
            said |= {"n": chance.randrange(5), "ok": True, "note": None}
            said |= {"recorded_at": number, "kind": "assert", "revision": 1}
            if number > 9 and number % 16 == 11:
                again = first.pop(-1 - chance.randrange(min(len(first), chance.choice([4, 60]))))
                kind, moved = chance.choice(["correct", "correct", "retract"]), chance.choice([0, 0, 0, -9, 1])
                more = {"occurred_at": again["occurred_at"] + moved, "n": again["n"] + 3, "recorded_at": number}
                said = {**again, **more, "kind": kind, "revision": 2}
            else:
                first.append(said)
            log.append((said["k"].encode(), said))
        logs[topic] = [*log, (None, 10_000)]
    return logs


@contextmanager
def rows_told() -> Iterator[list[int]]:
    """How many changes operators are told of by rows while columns are kept."""
    found, whole = [0], Delta.by_rows

    def by_rows(self: Delta, names: Any) -> Delta:
        made = whole(self, names)
        found[0] += sum(map(len, made.changes.values()))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Delta, "by_rows", by_rows)
        yield found


@EVERY_STAGE
def test_what_does_not_concern_the_front_leaves_its_key_to_columns(name: str) -> None:
    assert takes_columns(STAGES[name])
    logs = busy(name)
    with every_batch(), rows_told() as by_rows:
        columnar = compared(STAGES[name], logs, SCHEMAS, seed=5)
    assert columnar > 900 * len(logs)
    assert by_rows[0] < columnar / 2


@pytest.mark.parametrize("name", ["last", "chosen", "sums", "longer"])
def test_what_lies_behind_comes_back_from_the_input_byte_for_byte(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recollection, "LEAST_ROWS", 4)

    @settings(max_examples=6, deadline=None)
    @given(log=histories(), seed=st.integers(0, 1 << 30))
    def holds(log: Log, seed: int) -> None:
        hold(STAGES[name], {LEFT: log}, seed, columnar=True)

    with every_batch(4):
        holds()
        assert hold(STAGES[name], busy(name), 7, columnar=True) > 2


def test_the_order_in_a_tick_decides_nothing_that_is_written() -> None:
    """Of a state one event goes and another comes: no event is moved to where it is then taken away."""
    spec = STAGES["last"].logic.operations[0].spec
    row = {"k": "k", "n": 1}

    def event(at: int) -> tuple[Any, ...]:
        known = row | {"event_id": f"e{at}", "occurred_at": at}
        return tuple(known[name] for name in spec.columns)

    written = []
    for order in itertools.permutations([(b"k", event(1), None), (b"k", None, event(2)), (b"k", event(5), event(3))]):
        overlay = Overlay(MemoryStore())
        states = Latest(spec, overlay)
        states.tick([(b"k", None, event(1)), (b"k", None, event(5))])
        overlay.store.apply(overlay.changes())
        overlay.committed()
        states.tick(order)
        written.append(sorted(overlay.changes()))
    assert all(one == written[0] for one in written)


@pytest.mark.parametrize("broken", [False, True])
def test_rows_that_change_places_in_a_tick_touch_nothing(broken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two events of one instant each become what the other was: no row and no session is written again."""
    known: dict[str, Any] = {"k": "a", "ok": True, "note": None, "occurred_at": 5}
    first = [known | {"event_id": f"e{n}", "n": n, "recorded_at": 5, "kind": "assert", "revision": 1} for n in (0, 1)]
    then = [one | {"n": 1 - one["n"], "recorded_at": 15, "kind": "correct", "revision": 2} for one in first]
    log: Log = [*((b"a", one) for one in first), (None, 9), *((b"a", one) for one in then), (None, 10_000)]
    if broken:
        monkeypatch.setattr(column_session_rows, "_crowded", lambda rows, replaced: np.zeros(len(rows.codes), bool))
    said = []
    for columnar in (True, False):
        driver = Driver(STAGES["longer"], {LEFT: log}, SCHEMAS, columnar=columnar)
        with every_batch():
            for size in (3, 3):
                driver.take(LEFT, size)
                driver.commit()
        said.append(driver.said)
    assert (said[0] == said[1]) is not broken


# Saboteurs: each breaks columns in one place, and the bytes or the state must show it.


def _sees_no_change(patch: pytest.MonkeyPatch) -> None:
    whole = column_front.touches
    for module in (column_latest, column_session_rows):
        patch.setattr(module, "touches", lambda new, codes, names, changes, at: whole(new, codes, names, {}, at))


def _takes_the_front_for_what_lies_behind(patch: pytest.MonkeyPatch) -> None:
    """An event at the newest one's instant, or a change of that one."""
    whole = column_latest.greatest_before
    patch.setattr(column_latest, "greatest_before", lambda *more: whole(*more) + 1)


def _lets_what_meets_a_session_lie_behind_it(patch: pytest.MonkeyPatch) -> None:
    whole = column_session_rows.SessionRows.going_on

    def going_on(self: Any, *more: Any) -> Any:
        patch.setattr(self, "_gap", 1)
        try:
            return whole(self, *more)
        finally:
            patch.setattr(self, "_gap", 7)

    patch.setattr(column_session_rows.SessionRows, "going_on", going_on)


def _forgets_what_others_take_the_place_of(patch: pytest.MonkeyPatch) -> None:
    whole = column_session_rows.SessionRows.told

    def told(self: Any, delta: Delta) -> Any:
        made = whole(self, delta)
        return made if made.weights is None else made._replace(weights=np.abs(made.weights))

    patch.setattr(column_session_rows.SessionRows, "told", told)


def _counts_what_is_gone_as_nothing(patch: pytest.MonkeyPatch) -> None:
    """A row that is no more is kept, as none."""
    patch.setattr(
        column_session_rows.SessionRows,
        "keep",
        lambda self, counted: self._sessions.rows.put_packed(
            [*counted.places, *counted.gone], [*counted.numbers, *(b"0" for _ in counted.gone)]
        ),
    )


def _goes_on_a_tick_too_long(patch: pytest.MonkeyPatch) -> None:
    whole = column_front.first_ticks
    for module in (column_latest, column_session_rows):
        patch.setattr(module, "first_ticks", lambda codes, ticks, size: whole(codes, ticks + 1, size))


def _drops_what_lies_behind(patch: pytest.MonkeyPatch) -> None:
    for module in (column_pieces, column_session_results):
        patch.setattr(module, "said_by_rows", lambda *more: [])


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("last", _sees_no_change),
        ("longer", _sees_no_change),
        ("last", _takes_the_front_for_what_lies_behind),
        ("sums", _lets_what_meets_a_session_lie_behind_it),
        ("longer", _forgets_what_others_take_the_place_of),
        ("longer", _counts_what_is_gone_as_nothing),
        ("last", _goes_on_a_tick_too_long),
        ("longer", _goes_on_a_tick_too_long),
        ("last", _drops_what_lies_behind),
        ("united", _drops_what_lies_behind),
    ],
)
def test_a_broken_front_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, broken: Any) -> None:
    broken(monkeypatch)
    with every_batch(), pytest.raises((AssertionError, Fault)):
        compared(STAGES[name], busy(name), SCHEMAS, seed=5)
