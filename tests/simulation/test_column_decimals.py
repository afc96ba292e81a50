"""Totals and averages of decimals as columns against the row road: the same histories give the same bytes and state."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.column_runner import every_batch
from tests.simulation.roads import Log, compared
from tests.simulation.test_column_windows import TICK

from headwater.errors import Fault
from headwater.processing import column_decimal_sums, column_fold
from headwater.processing.column_decimal_sums import DecimalSums
from headwater.processing.columns import reads_columns
from headwater.processing.flow import Stream, average, count, total
from headwater.processing.steps import Stage
from headwater.processing.windows import Window, hopping, tumbling, whole
from headwater.testing.harness import plan_of, product

TOPIC = "a.bills.v1"


def decimals(digits: int, places: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": digits, "scale": places}


FIELDS = {"k": "string", "price": decimals(9, 2), "tip": ["null", decimals(18, 6)], "whole": decimals(4, 0)}
BILLS = replace(product("a.bills", shape="event", key=["k"], fields=FIELDS), corrections=False)
MADE = {
    "k": "string",
    "bills": "long",
    "price": decimals(21, 2),
    "mean": decimals(9, 2),
    "tips": "long",
    "tip": ["null", decimals(30, 6)],
    "tip_mean": ["null", decimals(18, 6)],
    "whole": decimals(4, 0),
}
SUMS = product("a.sums", shape="fact", key=["k"], fields=MADE)
TYPES = {"event_id": pa.string(), "occurred_at": pa.int64(), "k": pa.string(), "price": pa.decimal128(9, 2)}
TYPES |= {"tip": pa.decimal128(18, 6), "whole": pa.decimal128(4, 0)}
TYPES |= {"recorded_at": pa.int64(), "kind": pa.string(), "revision": pa.int64()}
SCHEMAS = {TOPIC: pa.schema(list(TYPES.items()))}


def stage(window: Window, *, corrected: bool = False) -> Stage:
    def flow(bills: Stream) -> Stream:
        return bills.aggregate(
            by=["k"], window=window, bills=count(), price=total("price"), mean=average("price"), tips=count("tip"),
            tip=total("tip"), tip_mean=average("tip"), whole=average("whole"),
        )  # fmt: skip

    return plan_of(flow, [replace(BILLS, corrections=corrected)], SUMS, tick=TICK).stages[0]


STAGES = {
    "whole": stage(whole()),
    "hopping": stage(hopping("40us", every="20us")),
    "corrected": stage(tumbling("20us"), corrected=True),
}
EVERY_STAGE = pytest.mark.parametrize("name", STAGES)


def bill(number: int, recorded_at: int, key: str, price: int, tip: int | None) -> tuple[bytes, dict[str, Any]]:
    record = {
        "event_id": f"e{number}", "occurred_at": recorded_at - number % 30, "k": key,
        "price": Decimal(price).scaleb(-2), "tip": None if tip is None else Decimal(tip).scaleb(-6),
        "whole": Decimal(price % 7 - 3), "recorded_at": recorded_at, "kind": "assert", "revision": 1,
    }  # fmt: skip
    return key.encode(), record


@st.composite
def logs(draw: st.DrawFn, *, corrected: bool) -> Log:
    recorded_at, log = draw(st.integers(0, 20)), list[tuple[bytes | None, Any]]()
    most = draw(st.sampled_from([3, 10**18 - 1]))
    for number in range(draw(st.integers(1, 40))):
        recorded_at += draw(st.sampled_from([0, 0, 0, 1, 3, 10, 25]))
        if not draw(st.integers(0, 8)):
            log.append((None, recorded_at // TICK * TICK - 1))
            continue
        tip = draw(st.none() | st.integers(-most, most))
        key, record = bill(number, recorded_at, draw(st.sampled_from("ab")), draw(st.integers(-3, 3)), tip)
        if corrected:
            record["event_id"] = f"e{draw(st.integers(0, 9))}"
            record["kind"] = draw(st.sampled_from(["assert", "assert", "correct", "retract"]))
            record["revision"] = draw(st.integers(1, 3))
        log.append((key, record))
    return [*log, (None, 10_000)]


@EVERY_STAGE
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(name: str) -> None:
    @settings(max_examples=20, deadline=None)
    @given(log=logs(corrected=name == "corrected"), seed=st.integers(0, 1 << 30))
    def same(log: Log, seed: int) -> None:
        with every_batch():
            compared(STAGES[name], {TOPIC: log}, SCHEMAS, seed)

    same()


def busy(*, corrected: bool = False) -> Log:
    """Keys of which some begin without a tip; means that lie between two cents; of some events prices change later."""
    chance = random.Random(3)
    log = [
        bill(number, number, f"k{chance.randrange(30)}", chance.randrange(-9, 9), chance.choice([None, None, 0, 5]))
        for number in range(400)
    ]
    if corrected:
        for number in range(20, 400, 11):
            key, before = log[number - 20]
            again = {"kind": chance.choice(["correct", "retract"]), "revision": 2, "price": Decimal("7.77")}
            log[number] = key, before | again | {"recorded_at": number}
    return [*log, (None, 10_000)]


@EVERY_STAGE
@pytest.mark.parametrize("limit", [0, 1_000])
def test_a_busy_history_goes_as_columns(monkeypatch: pytest.MonkeyPatch, name: str, limit: int) -> None:
    monkeypatch.setattr(column_fold, "CACHE_LIMIT", limit)
    assert reads_columns(STAGES[name]) == (TOPIC,)
    with every_batch():
        assert compared(STAGES[name], {TOPIC: busy(corrected=name == "corrected")}, SCHEMAS, 5) > 300


def test_sums_beyond_64_bits_go_row_by_row() -> None:
    log = [bill(number, number, "a", 1, 10**18 - 1) for number in range(60)]
    with every_batch():
        assert compared(STAGES["whole"], {TOPIC: [*log, (None, 10_000)]}, SCHEMAS, 2) < 10


@pytest.mark.parametrize(("digits", "places", "corrected"), [(19, 2, False), (18, 7, True)])
def test_longer_decimals_and_what_is_kept_of_those_with_more_places_go_row_by_row(
    digits: int, places: int, corrected: bool
) -> None:
    bills = product("a.bills", shape="event", key=["k"], fields={"k": "string", "price": decimals(digits, places)})
    sums = product("a.sums", shape="fact", key=["k"], fields={"k": "string", "price": decimals(38, places)})

    def flow(stream: Stream) -> Stream:
        return stream.aggregate(by=["k"], window=whole(), price=total("price"))

    assert not reads_columns(plan_of(flow, [replace(bills, corrections=corrected)], sums, tick=TICK).stages[0])


# Saboteurs: each makes other numbers of decimals.

Break = Callable[[pytest.MonkeyPatch], None]


def _rounds_down(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        DecimalSums,
        "_amount",
        lambda self, sums, counts: sums // np.maximum(counts, 1) if self._mean else sums,
    )


def _rounds_half_up(patch: pytest.MonkeyPatch) -> None:
    def amount(self: DecimalSums, sums: Any, counts: Any) -> Any:
        counts = np.maximum(counts, 1)
        return (2 * sums + counts) // (2 * counts) if self._mean else sums

    patch.setattr(DecimalSums, "_amount", amount)


def _begins_with_places(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DecimalSums, "starting", (Decimal("0.00"), 0))


def _forgets_what_was_held(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DecimalSums, "_whole", lambda self, values: np.zeros(len(values), np.int64))


def _shows_another_scale(patch: pytest.MonkeyPatch) -> None:
    whole = column_decimal_sums.of_unscaled
    patch.setattr(column_decimal_sums, "of_unscaled", lambda numbers, type_: whole(numbers * 10, type_))


@pytest.mark.parametrize(
    "broken",
    [_rounds_down, _rounds_half_up, _begins_with_places, _forgets_what_was_held, _shows_another_scale],
)
def test_broken_decimals_are_seen(monkeypatch: pytest.MonkeyPatch, broken: Break) -> None:
    broken(monkeypatch)
    sums = stage(whole())
    with every_batch(), pytest.raises((AssertionError, Fault)):
        compared(sums, {TOPIC: busy()}, SCHEMAS, 5)
