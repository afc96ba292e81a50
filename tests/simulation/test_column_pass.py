"""Products that only map and filter as columns against the row road: the same records, whatever is cut or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.roads import Log, compared

from headwater.processing.column_pass import ColumnPass
from headwater.processing.columns import reads_columns
from headwater.processing.expressions import col
from headwater.processing.flow import Stream
from headwater.processing.steps import Stage
from headwater.testing.harness import plan_of, product

PRICE = ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]
FIELDS = {"k": "string", "n": "long", "note": ["null", "string"], "price": PRICE}
BOTH = [
    product("a.events", shape="event", key=["k"], fields=FIELDS),
    product("a.facts", shape="fact", key=["k"], fields=FIELDS),
]
MADE = {"k": "string", "m": "long", "price": PRICE}
_OWN = [("k", pa.string()), ("n", pa.int64()), ("note", pa.string()), ("price", pa.decimal128(9, 2))]
_HIDDEN = [("recorded_at", pa.int64()), ("kind", pa.string()), ("revision", pa.int64())]
COLUMNS = {
    "a.events.v1": pa.schema([("event_id", pa.string()), ("occurred_at", pa.int64()), *_OWN, *_HIDDEN]),
    "a.facts.v1": pa.schema([("valid_from", pa.int64()), ("valid_to", pa.int64()), *_OWN, *_HIDDEN]),
}


def mapped(rows: Stream) -> Stream:
    return rows.map(m=col("n") * 2 + 1)


def chosen(rows: Stream) -> Stream:
    return rows.filter(col("n") > 0).map(m=col("n") - 1).filter(col("m") < 3)


def stage_of(flow: Callable[[Stream], Stream], shape: str, accept_late: int | None = None) -> Stage:
    entry = BOTH[shape == "fact"]
    output = replace(product("a.made", shape=shape, key=["k"], fields=MADE), accept_late=accept_late)
    return plan_of(flow, [entry], output, tick=10).stages[0]


STAGES = [
    stage_of(mapped, "event"),
    stage_of(chosen, "event", accept_late=40),
    stage_of(mapped, "fact", accept_late=40),
    stage_of(chosen, "fact"),
]
NAMES = ["events", "chosen-events", "facts", "chosen-facts"]


@st.composite
def logs(draw: st.DrawFn, topic: str) -> Log:
    """Records of every kind and revision; now and then one that is refused, or too large to be sure of."""
    recorded_at, log = draw(st.integers(0, 20)), list[tuple[bytes | None, Any]]()
    careless = draw(st.booleans())
    for number in range(draw(st.integers(0, 60))):
        recorded_at += draw(st.sampled_from([0, 0, 1, 3, 25]))
        if not draw(st.integers(0, 12)):
            log.append((None, recorded_at - 1))
            continue
        odd = careless and not draw(st.integers(0, 15))
        start, size = recorded_at - draw(st.integers(0, 60 if careless else 30)), draw(st.integers(0 if odd else 1, 9))
        times: dict[str, Any] = {"event_id": f"e{number}", "occurred_at": start}
        if topic == "a.facts.v1":
            times = {"valid_from": start, "valid_to": None if size == 9 else start + size}
        key = draw(st.sampled_from(["a", "", "ä"]))
        record = times | {
            "k": key, "n": (1 << 62) if odd else draw(st.integers(-2, 6)), "note": draw(st.none() | st.just("x")),
            "price": draw(st.sampled_from([None, Decimal("0.00"), Decimal("-1.50")])),
            "recorded_at": recorded_at, "kind": draw(st.sampled_from(["assert", "correct", "retract", "assert"])),
            "revision": draw(st.integers(0 if odd else 1, 3)),
        }  # fmt: skip
        log.append((key.encode(), record))
    return [*log, (None, 10_000)]


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
@settings(max_examples=20, deadline=None)
@given(data=st.data(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_under_any_cut_and_crash(stage: Stage, data: st.DataObject, seed: int) -> None:
    topic = stage.inputs[0].topic
    compared(stage, {topic: data.draw(logs(topic))}, COLUMNS, seed)


def plain(stage: Stage) -> dict[str, Log]:
    """Records of which some fail the filters, at each revision, and some are taken back."""
    topic, log = stage.inputs[0].topic, []
    for number in range(300):
        times: dict[str, Any] = {"event_id": f"e{number}", "occurred_at": number}
        if topic == "a.facts.v1":
            times = {"valid_from": number, "valid_to": None if number % 2 else number + 5}
        kind = ["assert", "correct", "retract"][number % 7 % 3]
        record = times | {"k": f"k{number % 5}", "n": number % 11, "note": None, "recorded_at": number, "kind": kind}
        record["price"] = Decimal(number).scaleb(-2) if number % 3 else None
        log.append((record["k"].encode(), record | {"revision": number % 3 + 1}))
    return {topic: log}


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
def test_a_plain_history_goes_as_columns(stage: Stage) -> None:
    assert compared(stage, plain(stage), COLUMNS, seed=1) == 300


def test_what_cannot_be_computed_over_columns_goes_row_by_row() -> None:
    def halved(rows: Stream) -> Stream:
        return rows.map(m=(col("n") / 2).coalesce(0.0))

    output = product("a.made", shape="event", key=["k"], fields={"k": "string", "m": "double"})
    assert all(reads_columns(stage) for stage in STAGES)
    assert not reads_columns(plan_of(halved, BOTH[:1], output, tick=10).stages[0])
    copied = product("a.made", shape="event", key=["k"], fields={"k": "string", "n": "double"})
    assert not reads_columns(plan_of(lambda rows: rows, BOTH[:1], copied, tick=10).stages[0])


# Saboteurs: each breaks the columnar road in one place, and the comparison must see it.


def _drops_what_fails(patch: pytest.MonkeyPatch) -> None:
    """What fails a filter above revision 1 does not leave as a retract."""
    whole = ColumnPass._with_retracts

    def with_retracts(self: ColumnPass, columns: Any, kept: Any, stays: Any, batch: Any, gone: Any) -> Any:
        back = np.array(batch.column("kind").to_pylist())[gone] == "retract"
        return whole(self, columns, kept, stays, batch, gone[back])

    patch.setattr(ColumnPass, "_with_retracts", with_retracts)


def _retracts_at_the_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("headwater.processing.column_pass.np.argsort", lambda places, kind: np.arange(len(places)))


def _accepts_what_is_late(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ColumnPass, "_refused", lambda self, block, recorded: False)


@pytest.mark.parametrize("broken", [_drops_what_fails, _retracts_at_the_end])
def test_a_broken_pass_is_seen(monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        compared(STAGES[1], plain(STAGES[1]), COLUMNS, seed=1)


def test_a_pass_that_refuses_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    late = plain(STAGES[1])
    for _, record in late["a.events.v1"]:
        record["occurred_at"] -= record["n"] * 10
    compared(STAGES[1], late, COLUMNS, seed=1)
    _accepts_what_is_late(monkeypatch)
    with pytest.raises(AssertionError):
        compared(STAGES[1], late, COLUMNS, seed=1)
