"""Least, greatest, first and last of rows that never go: the same as with all that is kept to take them out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.test_columns import Driver

from headwater.errors import Fault
from headwater.processing import multisets
from headwater.processing.expressions import col
from headwater.processing.flow import Stream, first, last, maximum, minimum
from headwater.processing.multisets import Extreme, growing
from headwater.processing.steps import Stage
from headwater.processing.windows import Window, tumbling, whole
from headwater.testing.harness import plan_of, product

TICK = 10
FIELDS = {"k": "string", "n": ["null", "long"], "x": "double", "t": "string"}
CORRECTED = product("a.events", shape="event", key=["k"], fields=FIELDS)
NEVER = replace(CORRECTED, corrections=False)
ENDS = {"least": ["null", "long"], "most": "double", "begin": ["null", "long"], "end": "string"}
OUTPUT = product("a.ends", shape="fact", key=["k"], fields={"k": "string", **ENDS})


def stage(window: Window, port: Any) -> Stage:
    def flow(events: Stream) -> Stream:
        return events.filter(col("t") != "out").aggregate(
            by=["k"], window=window, least=minimum("n"), most=maximum("x"), begin=first("n"), end=last("t")
        )

    return plan_of(flow, [port], OUTPUT, tick=TICK).stages[0]


def event(number: int, key: str, n: int | None, recorded_at: int, **others: Any) -> tuple[bytes, dict[str, Any]]:
    record = {"event_id": f"e{number}", "k": key, "n": n, "t": "x", "recorded_at": recorded_at, "occurred_at": number}
    return key.encode(), {**record, "x": float(n or 0), "kind": "assert", "revision": 1, **others}


@st.composite
def logs(draw: st.DrawFn) -> list[Any]:
    recorded_at, log = 0, []
    for number in range(draw(st.integers(1, 40))):
        recorded_at += draw(st.sampled_from([0, 0, 1, 7, 30]))
        key, n = draw(st.sampled_from(["a", "b", ""])), draw(st.none() | st.integers(-3, 3))
        text, x = draw(st.sampled_from(["x", "y", "out"])), draw(st.sampled_from([-1.5, -0.0, 0.0, 2.25, float("inf")]))
        log.append(event(number, key, n, recorded_at, t=text, x=x, occurred_at=draw(st.integers(-30, 30))))
    return [*log, (None, recorded_at + 2 * TICK)]


def said(made: Stage, log: list[Any]) -> tuple[list[Any], int]:
    """What is published, and how many entries the state has."""
    driver = Driver(made, columnar=False)
    for size in (7, len(log)):
        driver.take(log, size)
        driver.commit()
    return [records for records, *_ in driver.said], len(list(driver.store.scan(b"", b"\xff")))


@pytest.mark.parametrize("window", [whole(), tumbling("20us")], ids=["whole", "tumbling"])
@settings(max_examples=80, deadline=None)
@given(log=logs())
def test_nothing_kept_says_the_same_as_everything_kept(window: Window, log: list[Any]) -> None:
    kept, with_all = said(stage(window, CORRECTED), log)
    grown, with_none = said(stage(window, NEVER), log)
    assert grown == kept
    assert with_none <= with_all


def test_what_never_goes_is_not_kept() -> None:
    log = [*(event(number, "a", number, number) for number in range(50)), (None, 100)]
    assert said(stage(whole(), CORRECTED), log)[1] > 200  # versions, and a multiset of each measure
    assert said(stage(whole(), NEVER), log)[1] == 2  # the cell, and the last closed tick


def test_a_fold_that_forgets_its_end_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(self: Extreme, values: list[Any], moved: Any, ends: Any) -> None:
        values[self.position] = moved[-1].entry

    log = [*(event(number, "a", 9 - number, number) for number in range(9)), (None, 100)]
    right = said(stage(whole(), NEVER), log)[0]
    monkeypatch.setattr(multisets.Extreme, "settle", forgetful)
    assert said(stage(whole(), NEVER), log)[0] != right


def test_a_row_that_goes_all_the_same_is_a_fault() -> None:
    least = Extreme(0, False, lambda row: row[0], lambda value: b"%d" % value, int, int)
    with pytest.raises(Fault) as caught:
        growing(least)([None], (1,), -1)
    assert caught.value.code == "HW-P045"
