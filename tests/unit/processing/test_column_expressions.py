"""Expressions over columns against the closures over rows: any listed expression, any rows, the same values."""

from __future__ import annotations

import struct
from functools import cache
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headwater.processing import column_expressions
from headwater.processing.column_expressions import ARROW, kernel, lane_of
from headwater.processing.column_steps import column_steps
from headwater.processing.expressions import Call, Expression, col, lit, when
from headwater.processing.field_types import BOOLEAN, DOUBLE, INSTANT, INTEGER, STRING, FieldType
from headwater.processing.graph import Filter, Map, Source
from headwater.processing.operators.rows import compile_rows
from headwater.schemas.unsure import Unsure

FIELDS = {
    "n": INTEGER.or_null(), "m": INTEGER, "t": INSTANT, "x": DOUBLE.or_null(), "y": DOUBLE,
    "s": STRING.or_null(), "r": STRING, "b": BOOLEAN.or_null(), "c": BOOLEAN,
}  # fmt: skip
GETTERS = {name: itemgetter(index) for index, name in enumerate(FIELDS)}
INTEGERS = st.integers(-3, 3) | st.sampled_from([1 << 62, -(1 << 62), (1 << 53) + 1, 1 << 31])
DOUBLES = st.sampled_from([0.0, -0.0, 1.0, -1.5, 3.0, 1e308, float("inf"), float("nan"), 2.0**53])
TEXTS = st.sampled_from(["", "a", "ab", "b", "ä", "\U0001f600", "\uffff", "a\x00"])
VALUES = {"integer": INTEGERS, "double": DOUBLES, "string": TEXTS, "boolean": st.booleans()}
ROWS = st.lists(
    st.tuples(
        *(
            (VALUES[lane_of(type_)] | st.none()) if type_.nullable else VALUES[lane_of(type_)]
            for type_ in FIELDS.values()
        )
    ),
    max_size=12,
)


@cache
def expressions(lane: str, depth: int = 2) -> st.SearchStrategy[Expression]:
    """Expressions whose values lie in a lane."""
    columns = [name for name, type_ in FIELDS.items() if lane_of(type_) == lane and type_ != INSTANT]
    leaves = st.sampled_from(columns).map(col) | VALUES[lane].map(lit)
    if not depth:
        return leaves
    below = expressions(lane, depth - 1)
    choice = st.builds(
        lambda condition, value, rest: when(condition).then(value).otherwise(rest),
        expressions("boolean", depth - 1),
        below | st.just(lit(None)),
        below,
    )
    made = [leaves, choice, st.builds(lambda one, two: one.coalesce(two), below, below)]
    if lane == "integer":
        made.append(st.just(col("t") - col("t")))
    if lane in ("integer", "double"):
        names = ["add", "subtract", "multiply", *(["divide_whole", "remainder"] if lane == "integer" else [])]
        other = below | st.integers(-3, 3).map(lit) if lane == "double" else below
        made.append(st.builds(lambda name, *two: Call(name, two), st.sampled_from(names), below, other))
        made.append(st.builds(lambda name, one: Call(name, (one,)), st.sampled_from(["negate", "absolute"]), below))
    if lane == "boolean":
        made.append(st.builds(lambda name, *two: Call(name, two), st.sampled_from(["and", "or"]), below, below))
        made.append(below.map(lambda one: ~one))
        names = ["equal", "unequal", "less", "less_or_equal", "greater", "greater_or_equal"]
        made.append(st.builds(lambda name, one: Call(name, (col("t"), lit(one))), st.sampled_from(names), INTEGERS))
        for compared in ARROW:
            sides = expressions(compared, depth - 1)
            made.append(st.builds(lambda name, *two: Call(name, two), st.sampled_from(names), sides, sides))
            made.append(sides.map(lambda one: one.is_null()))
            made.append(sides.map(lambda one: one == lit(None)))
    return st.one_of(made)


TYPED = st.sampled_from(list(ARROW)).flatmap(lambda lane: st.tuples(st.just(lane), expressions(lane)))


def batch_of(rows: list[Any]) -> Any:
    arrays = [
        pa.array([row[index] for row in rows], ARROW[lane_of(type_)]) for index, type_ in enumerate(FIELDS.values())
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(FIELDS))


def told(values: list[Any]) -> list[Any]:
    """What a comparison would hide: NaN, the sign of zero, and truth beside numbers."""
    return [
        (type(value).__name__, struct.pack("<d", value)) if isinstance(value, float) and value == value else repr(value)
        for value in values
    ]


def compare(lane: str, expression: Expression, rows: list[Any]) -> bool:
    """Whether it went as columns; raises where the two differ."""
    wanted = {"v": expression.type(FIELDS).or_null()}
    steps = [Map(Source(0), (("v", expression),), None)]
    compiled = column_steps(steps, FIELDS, wanted)
    assert compiled is not None
    assert lane_of(wanted["v"]) == lane
    try:
        made, kept = compiled(batch_of(rows))
    except Unsure:
        return False
    closure = expression.compile(GETTERS)
    assert made.column("v").type == ARROW[lane]
    assert told(made.column("v").to_pylist()) == told([closure(row) for row in rows])
    assert kept.tolist() == list(range(len(rows)))
    return True


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(typed=TYPED, rows=ROWS)
def test_columns_say_what_rows_say(typed: tuple[str, Expression], rows: list[Any]) -> None:
    compare(*typed, rows)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conditions=st.lists(expressions("boolean", 1), max_size=2), value=expressions("integer", 1), rows=ROWS)
def test_steps_leave_the_same_rows(conditions: list[Expression], value: Expression, rows: list[Any]) -> None:
    steps: list[Map | Filter] = [Filter(Source(0), condition) for condition in conditions]
    # A name that is taken again, one that goes on under another, and a condition on what was computed.
    steps.insert(1, Map(Source(0), (("m", value), ("old", col("m"))), None))
    steps.append(Filter(Source(0), col("m") != 1))
    wanted = {"m": INTEGER.or_null(), "old": INTEGER, "s": STRING.or_null()}
    compiled = column_steps(steps, FIELDS, wanted)
    assert compiled is not None
    step = compile_rows(steps, list(FIELDS), list(wanted))
    assert step is not None
    try:
        made, kept = compiled(batch_of(rows))
    except Unsure:
        return
    expected = [step(row) for row in rows]
    assert [tuple(row.values()) for row in made.to_pylist()] == [row for row in expected if row is not None]
    assert kept.tolist() == [index for index, row in enumerate(expected) if row is not None]


@pytest.mark.parametrize("expression", [col("m") + 1, col("m") * 2, -col("m"), col("m") - 2, (col("m") * 2).absolute()])
def test_what_may_not_fit_is_left_to_the_rows(expression: Expression) -> None:
    rows = [(None, -(1 << 63), 1 << 62, None, 1.0, None, "", None, True)]
    rows += [(None, (1 << 63) - 1, -(1 << 62), None, 1.0, None, "", None, True)]
    assert not compare("integer", expression, rows)


def test_a_null_in_a_column_that_has_none_is_left_to_the_rows() -> None:
    steps = column_steps([Map(Source(0), (("v", col("n") + 1),), None)], FIELDS, {"v": INTEGER})
    assert steps is not None
    with pytest.raises(Unsure):
        steps(batch_of([(None, 1, 1, None, 1.0, None, "", None, True)]))


DECIMAL = FieldType("decimal", precision=9, scale=2)


@pytest.mark.parametrize(
    "expression",
    [
        col("m") / 2, col("d") + 1, col("m") + col("y"), col("m") < col("y"), col("y") < (1 << 53) + 1,
        col("m") < 1 << 63, lit(None).is_null(), when(col("c")).then(col("m")).otherwise(col("y")), lit(None) == None,  # noqa: E711
    ],
)  # fmt: skip
def test_what_the_list_does_not_name_is_not_compiled(expression: Expression) -> None:
    assert kernel(expression, {**FIELDS, "d": DECIMAL}) is None


# Saboteurs: each breaks one kernel where SQL's null or Python's arithmetic differ from what Arrow would do by itself.


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        (("and", "boolean"), pc.and_),
        (("or", "boolean"), pc.or_),
        (("divide_whole", "integer"), lambda left, right: pc.divide(left, pc.if_else(pc.equal(right, 0), None, right))),
        (("add", "integer"), pc.add),
        (("less", "string"), pc.less_equal),
        (("remainder", "integer"), lambda left, right: pc.if_else(pc.equal(right, 0), None, pc.subtract(left, left))),
    ],
)
def test_a_broken_kernel_is_seen(monkeypatch: pytest.MonkeyPatch, name: tuple[str, str], broken: Any) -> None:
    monkeypatch.setattr(column_expressions, "_FUNCTIONS", {**column_expressions._FUNCTIONS, name: broken})
    function, lane = name
    sides = st.tuples(expressions(lane, 0), expressions(lane, 0))
    result = "boolean" if function == "less" else lane

    @settings(
        max_examples=500, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
        report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(two=sides, rows=ROWS)
    def holds(two: tuple[Expression, Expression], rows: list[Any]) -> None:
        rows += [(-(1 << 63), (1 << 63) - 1, 1, None, 1.0, None, "", None, True)]
        compare(result, Call(function, two), rows)

    with pytest.raises(AssertionError):
        holds()
