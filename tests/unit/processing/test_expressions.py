"""Expressions: what they compute, null as in SQL, and what their types refuse."""

from __future__ import annotations

from decimal import Decimal
from operator import itemgetter
from typing import Any

import pytest

from headwater.errors import CallerFault
from headwater.processing.expressions import Expression, col, lit, when
from headwater.processing.field_types import BOOLEAN, DOUBLE, INSTANT, INTEGER, STRING, FieldType

FIELDS = {
    "n": INTEGER.or_null(),
    "m": INTEGER,
    "x": DOUBLE,
    "s": STRING.or_null(),
    "b": BOOLEAN.or_null(),
    "t": INSTANT,
    "d": FieldType("decimal", precision=9, scale=2),
}
GETTERS = {name: itemgetter(index) for index, name in enumerate(FIELDS)}


def value(expression: Expression, **row: Any) -> Any:
    given = {"n": 5, "m": 2, "x": 0.5, "s": "JFK", "b": True, "t": 1_000, "d": Decimal("1.50"), **row}
    return expression.compile(GETTERS)(tuple(given[name] for name in FIELDS))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (col("n") + col("m"), 7),
        (10 - col("n"), 5),
        (-col("n"), -5),
        ((col("m") - 7).absolute(), 5),
        (col("n") // col("m"), 2),
        (col("n") % col("m"), 1),
        (col("n") / col("m"), 2.5),
        (col("d") * col("m"), Decimal("3.00")),
        (col("d") + Decimal("0.005"), Decimal("1.505")),
        (col("n") > 4, True),
        ((col("s") == "JFK") & (col("n") <= 4), False),
        (col("s").is_in(["LGA", "JFK"]), True),
        (~(col("n") < 0), True),
        (when(col("n") > 10).then("high").when(col("n") > 3).then("middle").otherwise("low"), "middle"),
        (col("t") - lit(400), 600),
    ],
)
def test_what_expressions_compute(expression: Expression, expected: object) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (col("n") + 1, None),
        (col("n") == None, None),  # noqa: E711 - null equals nothing, not even null
        ((col("n") > 1) & lit(False), False),
        ((col("n") > 1) & lit(True), None),
        ((col("n") > 1) | lit(True), True),
        ((col("n") > 1) | lit(False), None),
        (~(col("n") > 1), None),
        (col("n").is_null(), True),
        (col("n").is_not_null(), False),
        (col("n").coalesce(0), 0),
        (when(col("n") > 1).then(1).otherwise(2), 2),
        (col("m") / lit(0), None),
        (col("m") % 0, None),
    ],
)
def test_null_is_as_in_sql_and_nothing_stops_a_flow(expression: Expression, expected: object) -> None:
    assert value(expression, n=None) == expected


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (col("n") + 1, "integer or null"),
        (col("m") + 1, "integer"),
        (col("m") / 2, "double or null"),
        (col("d") * col("m"), "decimal(28,2)"),
        (col("n").coalesce(0), "integer"),
        (col("s") == "JFK", "boolean or null"),
        (when(col("m") > 1).then(None).otherwise(1.5), "double or null"),
        (col("t") - col("t"), "integer"),
    ],
)
def test_types_follow_from_the_schema(expression: Expression, text: str) -> None:
    assert expression.type(FIELDS).text() == text


@pytest.mark.parametrize(
    "expression",
    [col("s") + 1, col("d") + 0.5, col("d") / 2, col("b") > 1, col("s") & True, when(col("n")).then(1).otherwise(2)],
)
def test_types_that_do_not_go_together_are_refused(expression: Expression) -> None:
    with pytest.raises(CallerFault) as fault:
        expression.type(FIELDS)
    assert fault.value.code == "HW-P011"


def test_a_field_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(CallerFault) as fault:
        (col("delay") > 1).type({"delay_minutes": INTEGER})
    assert "delay_minutes" in fault.value.detail


def test_an_expression_has_no_truth_of_its_own() -> None:
    with pytest.raises(CallerFault) as fault:
        bool(col("n") > 1 and col("m") > 1)
    assert "&" in fault.value.hint


def test_a_list_is_no_literal() -> None:
    with pytest.raises(CallerFault):
        lit([1]).type({})
