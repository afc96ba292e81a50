"""A product that filters facts says at each (valid, recorded) what the filter makes of what its input says there."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater import Stream, col
from headwater.testing.harness import Harness, product
from headwater.testing.oracles import fact_as_of
from headwater.testing.strategies import fact_histories

KEYS = ("ada", "bob")
FIELDS = {"p": "string", "n": "long"}
LEVELS = product("stock.levels", shape="fact", key=["p"], fields=FIELDS)
HIGH = product("stock.high", shape="fact", key=["p"], fields=FIELDS)
LEAST = 5


def flow(levels: Stream) -> Stream:
    return levels.filter(col("n") >= LEAST)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    fact_histories({"n": st.integers(0, 9)}, key="p", keys=KEYS), st.lists(st.integers(0, 60), min_size=1, max_size=6)
)
def test_what_fails_the_filter_overrides_what_passed_it(history: list[dict[str, Any]], valid: list[int]) -> None:
    harness = Harness(flow, inputs=[LEVELS], output=HIGH)
    for record in sorted(history, key=lambda one: one["recorded_at"]):
        harness.at(record["recorded_at"]).give(LEVELS, **{n: v for n, v in record.items() if n != "recorded_at"})
    made = harness.records()
    for valid_at in valid:
        for key in KEYS:
            for recorded_at in {record["recorded_at"] for record in history}:
                fact = fact_as_of(history, {"p": key}, valid_at, recorded_at)
                expected = fact["n"] if fact is not None and fact["n"] >= LEAST else None
                found = fact_as_of(made, {"p": key}, valid_at, recorded_at)
                assert (None if found is None else found["n"]) == expected
