"""What a fold keeps beside its cells: in order as bytes, and right for values that do not equal themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.processing.expressions import lit
from headwater.processing.field_types import INTEGER, STRING
from headwater.processing.flow import Stream, count_distinct, first, last, maximum, minimum
from headwater.processing.measures import row_order
from headwater.processing.multisets import closed
from headwater.processing.windows import whole
from headwater.testing.harness import Harness, product

READINGS = product(
    "meters.readings", shape="event", key=["meter"], fields={"meter": "string", "value": ["null", "double"]}
)
SEEN = product(
    "meters.seen",
    shape="fact",
    key=["all"],
    fields={
        "all": "string",
        "values": "long",
        "least": ["null", "double"],
        "most": ["null", "double"],
        "opening": ["null", "double"],
        "closing": ["null", "double"],
    },
)


def seen(readings: Stream) -> Stream:
    return readings.select("value", all=lit("all")).aggregate(
        by=["all"],
        window=whole(),
        values=count_distinct("value"),
        least=minimum("value"),
        most=maximum("value"),
        opening=first("value"),
        closing=last("value"),
    )


def told(*readings: tuple[str, str, int, float | None, int, str]) -> dict[str, Any]:
    """What is known after these: meter, event, instant, value, revision, kind."""
    harness = Harness(seen, inputs=[READINGS], output=SEEN)
    for recorded, (meter, event, occurred, value, revision, kind) in enumerate(readings):
        harness.at(recorded * 1_000_000).give(
            READINGS, event_id=event, meter=meter, occurred_at=occurred, value=value, revision=revision, kind=kind
        )
    return harness.records()[-1]


@given(st.lists(st.tuples(st.text(), st.text())))
def test_parts_of_any_length_stay_in_order(pairs: list[tuple[str, str]]) -> None:
    assert sorted(pairs) == sorted(pairs, key=lambda pair: closed(pair[0].encode()) + closed(pair[1].encode()))


@given(st.lists(st.tuples(st.integers(-9, 9), st.text(), st.one_of(st.none(), st.integers(-9, 9)))))
def test_rows_are_in_order_of_instant_and_identity_null_last(rows: list[tuple[int, str, int | None]]) -> None:
    order = row_order(0, [(1, STRING), (2, INTEGER)])
    assert sorted(rows, key=lambda row: (row[0], row[1], row[2] is None, row[2] or 0)) == sorted(rows, key=order)


def test_not_a_number_comes_and_goes() -> None:
    record = told(
        ("m", "a", 1, float("nan"), 1, "assert"), ("m", "b", 2, 5.0, 1, "assert"), ("m", "a", 1, 7.0, 2, "correct")
    )
    assert [record[name] for name in ("values", "least", "most", "opening", "closing")] == [2, 5.0, 7.0, 7.0, 5.0]


def test_both_zeros_are_one_value() -> None:
    assert told(("m", "a", 1, 0.0, 1, "assert"), ("m", "b", 2, -0.0, 1, "assert"))["values"] == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_where_the_key_is_lost_values_decide_and_never_arrival(order: tuple[int, int]) -> None:
    """Two events of two keys may have one id; a flow that drops the key cannot tell them apart."""
    twins = [("m1", "same", 1, 5.0, 1, "assert"), ("m2", "same", 1, 3.0, 1, "assert")]
    record = told(*(twins[index] for index in order))
    assert (record["opening"], record["closing"]) == (3.0, 5.0)
