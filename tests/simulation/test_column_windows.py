"""Folds over windows of each kind as columns against the row road: the same histories give the same bytes and state."""

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
from tests.simulation.column_runner import every_batch
from tests.simulation.roads import Log, compared

from headwater.errors import Fault
from headwater.processing import column_fold, column_windows
from headwater.processing.column_windows import Cells, cells_of
from headwater.processing.columns import reads_columns
from headwater.processing.flow import Stream, average, count, maximum, minimum, total
from headwater.processing.steps import Stage
from headwater.processing.windows import Window, calendar, hopping
from headwater.schemas.unsure import Unsure
from headwater.testing.harness import plan_of, product
from headwater.timeline.instant import Instant

TICK = 10
TOPIC = "a.events.v1"
EVENTS = product("a.events", shape="event", key=["k"], fields={"k": "string", "n": "long"})
SUMS = product("a.sums", shape="fact", key=["k"], fields={"k": "string", "events": "long", "n": "long"})
ENDS = product(
    "a.ends", shape="fact", key=["k"], fields={"k": "string", "least": "long", "most": "long", "mean": "double"}
)
SCHEMAS = {
    TOPIC: pa.schema(
        [
            *(("event_id", pa.string()), ("occurred_at", pa.int64()), ("k", pa.string()), ("n", pa.int64())),
            *(("recorded_at", pa.int64()), ("kind", pa.string()), ("revision", pa.int64())),
        ]
    )
}
SET_BACK = Instant.parse("2009-11-01T02:31:00Z")  # in St. John's, a minute after the midnight that begins November
HALF_AN_HOUR = Instant.parse("2013-10-05T15:30:00Z")  # by which clocks were set on Lord Howe
BORDERS = {
    "hopping": [0],
    "hours": [HALF_AN_HOUR, HALF_AN_HOUR + 1_800_000_000],
    "days": [SET_BACK - 60_000_000, SET_BACK, SET_BACK + 3_540_000_000],
    "months": [SET_BACK - 60_000_000, SET_BACK],
}
WINDOWS = {
    "hopping": hopping("60us", every="20us"),
    "hours": calendar("hour", zone="Australia/Lord_Howe"),
    "days": calendar("day", zone="America/St_Johns"),
    "months": calendar("month", zone="America/St_Johns"),
}


def sums(window: Window) -> Stage:
    def flow(events: Stream) -> Stream:
        return events.aggregate(by=["k"], window=window, events=count(), n=total("n"))

    return plan_of(flow, [EVENTS], SUMS, tick=TICK).stages[0]


def ends(window: Window) -> Stage:
    """What is never corrected."""

    def flow(events: Stream) -> Stream:
        return events.aggregate(by=["k"], window=window, least=minimum("n"), most=maximum("n"), mean=average("n"))

    return plan_of(flow, [replace(EVENTS, corrections=False)], ENDS, tick=TICK).stages[0]


STAGES = {(kind, made.__name__): made(window) for kind, window in WINDOWS.items() for made in (sums, ends)}
EVERY_STAGE = pytest.mark.parametrize("which", STAGES, ids="-".join)


def histories(kind: str, *, corrected: bool) -> st.SearchStrategy[Log]:
    instants = st.builds(int.__add__, st.sampled_from(BORDERS[kind]), st.integers(-50, 50))

    @st.composite
    def logs(draw: st.DrawFn) -> Log:
        recorded_at, log = draw(st.integers(0, 20)), list[tuple[bytes | None, Any]]()
        names = st.integers(0, draw(st.sampled_from([3, 60])))
        for number in range(draw(st.integers(1, 40))):
            recorded_at += draw(st.sampled_from([0, 0, 0, 1, 3, 10, 25]))
            if not draw(st.integers(0, 8)):
                log.append((None, recorded_at // TICK * TICK - 1))
                continue
            record = {
                "event_id": f"e{number}", "occurred_at": draw(instants), "k": draw(st.sampled_from(["a", "b", ""])),
                "n": draw(st.integers(-2, 3)), "recorded_at": recorded_at, "kind": "assert", "revision": 1,
            }  # fmt: skip
            if corrected:
                record["event_id"] = f"e{draw(names)}"
                record["kind"] = draw(st.sampled_from(["assert", "assert", "correct", "retract"]))
                record["revision"] = draw(st.integers(1, 3))
            log.append((record["k"].encode(), record))
        return [*log, (None, 10_000)]

    return logs()


@EVERY_STAGE
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(which: tuple[str, str]) -> None:
    kind, made = which

    @settings(max_examples=20, deadline=None)
    @given(log=histories(kind, corrected=made == "sums"), seed=st.integers(0, 1 << 30))
    def same(log: Log, seed: int) -> None:
        with every_batch():
            compared(STAGES[which], {TOPIC: log}, SCHEMAS, seed)

    same()


def busy(which: tuple[str, str]) -> Log:
    """Events beside the borders, many late; of those that may be, some are moved or taken back."""
    kind, made = which
    chance = random.Random(3)
    log: list[tuple[bytes | None, Any]] = []
    for number in range(400):
        said = {"event_id": f"e{number}", "k": f"k{chance.randrange(5)}", "n": number % 5, "kind": "assert"}
        said |= {"occurred_at": chance.choice(BORDERS[kind]) + number - chance.randrange(60), "revision": 1}
        if made == "sums" and number > 9 and not number % 9:
            before = log[chance.randrange(len(log))][1]
            kinds = chance.choice(["correct", "correct", "retract"])
            said = before | {"kind": kinds, "revision": 2, "occurred_at": before["occurred_at"] + 25}
        said["recorded_at"] = number
        log.append((said["k"].encode(), said))
    return [*log, (None, 10_000)]


@EVERY_STAGE
def test_most_of_a_busy_history_goes_as_columns(which: tuple[str, str]) -> None:
    assert reads_columns(STAGES[which]) == (TOPIC,)
    with every_batch():
        assert compared(STAGES[which], {TOPIC: busy(which)}, SCHEMAS, 5) > 300


def test_rows_that_count_in_too_many_intervals_go_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_windows, "_TOUCHES_LIMIT", 2)
    with every_batch():
        assert compared(STAGES["hopping", "sums"], {TOPIC: busy(("hopping", "sums"))}, SCHEMAS, 5) == 0


def test_a_day_that_no_calendar_has_is_not_sure() -> None:
    with pytest.raises(Unsure):
        cells_of(WINDOWS["days"], pa.array([b"a"]), np.array([1 << 60]))


# Saboteurs: each finds other cells than the row road.

Break = Callable[[pytest.MonkeyPatch], None]


def _changed(change: Callable[[Cells], Cells]) -> Break:
    def made(window: Window, keys: Any, instants: Any) -> Cells:
        return change(cells_of(window, keys, instants))

    return lambda patch: patch.setattr(column_fold, "cells_of", made)


def _counts_in_its_own_interval_alone(patch: pytest.MonkeyPatch) -> None:
    def made(window: Window, keys: Any, instants: Any) -> Cells:
        return cells_of(replace(window, hops=1), keys, instants)

    patch.setattr(column_fold, "cells_of", made)


def _folds_the_rows_of_others(cells: Cells) -> Cells:
    return cells._replace(rows=cells.rows // 2)


def _takes_the_day_for_24_hours(patch: pytest.MonkeyPatch) -> None:
    def made(window: Window, instants: Any) -> Any:
        starts, _ends, of_start = _INTERVALS(window, instants)
        return starts, starts + 86_400_000_000, of_start

    patch.setattr(column_windows, "_intervals", made)


def _finds_the_interval_before(patch: pytest.MonkeyPatch) -> None:
    def made(window: Window, instants: Any) -> Any:
        starts, ends, of_start = _INTERVALS(window, instants)
        return starts, ends, np.maximum(of_start - 1, 0)

    patch.setattr(column_windows, "_intervals", made)


_INTERVALS = column_windows._intervals


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("hopping", _counts_in_its_own_interval_alone),
        ("hopping", _changed(_folds_the_rows_of_others)),
        ("days", _takes_the_day_for_24_hours),
        ("hours", _finds_the_interval_before),
        ("hopping", _changed(lambda cells: cells._replace(rank=np.arange(len(cells.keys))[::-1]))),
    ],
)
def test_broken_windows_are_seen(monkeypatch: pytest.MonkeyPatch, kind: str, broken: Break) -> None:
    broken(monkeypatch)
    with every_batch(), pytest.raises((AssertionError, Fault)):
        compared(STAGES[kind, "sums"], {TOPIC: busy((kind, "sums"))}, SCHEMAS, 5)
