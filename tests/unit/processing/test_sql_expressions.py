"""A flow in SQL and the same flow in Python publish the same, for generated expressions and rows with corrections."""

from __future__ import annotations

from itertools import product as crossed
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.processing.expressions import Expression, col, lit, when
from headwater.processing.flow import Stream, count, maximum, total
from headwater.processing.sql_flow import read_sql
from headwater.processing.windows import tumbling
from headwater.testing.harness import Harness, product

ROWS = product(
    "shop.rows",
    shape="event",
    key=["k"],
    fields={"k": "string", "a": ["null", "long"], "b": "long", "s": ["null", "string"]},
)
PLAIN = product("shop.plain", shape="event", key=["k"], fields={"k": "string", "x": ["null", "long"]})
FOLDED = product(
    "shop.folded",
    shape="fact",
    key=["k"],
    fields={"k": "string", "n": "long", "x": ["null", "long"], "most": ["null", "long"]},
)
Pair = tuple[str, Expression]
COMPARED = {"=": "__eq__", "<>": "__ne__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}
ADDED = {"+": "__add__", "-": "__sub__", "*": "__mul__"}


def conditional(condition: Pair, value: Pair, rest: Pair | None) -> Pair:
    text = f"CASE WHEN {condition[0]} THEN {value[0]}{f' ELSE {rest[0]}' if rest else ''} END"
    return text, when(condition[1]).then(value[1]).otherwise(rest[1] if rest else None)


NUMBER = st.one_of(
    st.sampled_from([("a", col("a")), ("r.b", col("b")), ('"a"', col("a"))]),
    st.integers(-3, 3).map(lambda value: (str(value), lit(value))),
)


def conditions(numbers: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    """Conditions over numbers."""
    compared = st.builds(
        lambda left, sign, right: (f"({left[0]} {sign} {right[0]})", getattr(left[1], COMPARED[sign])(right[1])),
        numbers,
        st.sampled_from(list(COMPARED)),
        numbers,
    )
    simple = st.one_of(
        compared,
        st.sampled_from([("s IS NULL", col("s").is_null()), ("s = 'it''s'", col("s") == "it's")]),
        numbers.map(lambda pair: (f"({pair[0]} IS NOT NULL)", pair[1].is_not_null())),
        st.builds(
            lambda value, low: (f"({value[0]} BETWEEN {low} AND 2)", (value[1] >= low) & (value[1] <= 2)),
            numbers,
            st.integers(-2, 2),
        ),
        numbers.map(lambda pair: (f"({pair[0]} IN (1, NULL, 2))", pair[1].is_in([1, None, 2]))),
        numbers.map(lambda pair: (f"({pair[0]} NOT IN (1, 3))", ~pair[1].is_in([1, 3]))),
    )
    return st.recursive(
        simple,
        lambda inner: st.one_of(
            st.builds(lambda one, two: (f"({one[0]} AND {two[0]})", one[1] & two[1]), inner, inner),
            st.builds(lambda one, two: (f"({one[0]} OR {two[0]})", one[1] | two[1]), inner, inner),
            inner.map(lambda pair: (f"(NOT {pair[0]})", ~pair[1])),
        ),
        max_leaves=4,
    )


NUMBERS = st.recursive(
    NUMBER,
    lambda inner: st.one_of(
        st.builds(
            lambda left, sign, right: (f"({left[0]} {sign} {right[0]})", getattr(left[1], ADDED[sign])(right[1])),
            inner,
            st.sampled_from(list(ADDED)),
            inner,
        ),
        st.builds(lambda one, two: (f"COALESCE({one[0]}, {two[0]})", one[1].coalesce(two[1])), inner, inner),
        inner.map(lambda pair: (f"ABS({pair[0]})", pair[1].absolute())),
        inner.map(lambda pair: (f"(- ({pair[0]}))", -pair[1])),
        st.builds(conditional, conditions(inner), inner, st.none() | inner),
    ),
    max_leaves=5,
)
ROW = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from(["1", "2", "3"]),
        "k": st.sampled_from(["p", "q"]),
        "a": st.none() | st.integers(-3, 3),
        "b": st.integers(-3, 3),
        "s": st.sampled_from([None, "it's", "x"]),
        "occurred_at": st.integers(0, 3).map(lambda hour: hour * 3_600_000_000),
        "kind": st.sampled_from(["assert", "correct", "retract"]),
    }
)


def published(flow: Any, output: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    harness = Harness(flow, inputs=[ROWS], output=output)
    for number, row in enumerate(rows, 1):
        known = number == 1 or all(earlier["event_id"] != row["event_id"] for earlier in rows[: number - 1])
        kind = "assert" if known else "correct" if row["kind"] == "assert" else row["kind"]
        key = next(earlier["k"] for earlier in rows if earlier["event_id"] == row["event_id"])
        harness.at(number * 200_000).give(ROWS, **{**row, "kind": kind, "k": key, "revision": number})
    return harness.records()


def in_sql(text: str, output: Any) -> Any:
    return lambda stream: Stream(read_sql(text, (ROWS,), output, "flow.sql").root)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(max_examples=60, deadline=None)
@given(NUMBERS, conditions(NUMBERS), st.lists(ROW, min_size=1, max_size=8))
def test_both_ways_to_write_a_flow_publish_the_same(value: Pair, condition: Pair, rows: list[dict[str, Any]]) -> None:
    plain = f"SELECT k, {value[0]} AS x FROM rows AS r WHERE {condition[0]}"
    in_python = published(lambda stream: stream.filter(condition[1]).select("k", x=value[1]), PLAIN, rows)
    assert published(in_sql(plain, PLAIN), PLAIN, rows) == in_python

    folded = (
        f"SELECT k, COUNT(*) AS n, SUM({value[0]}) AS x, MAX(r.a) AS most FROM shop.rows AS r "
        f"WHERE {condition[0]} GROUP BY k, TUMBLING('1h')"
    )

    def flow(stream: Stream) -> Stream:
        return (
            stream.filter(condition[1])
            .map(y=value[1])
            .aggregate(by=["k"], window=tumbling("1h"), n=count(), x=total("y"), most=maximum("a"))
        )

    assert published(in_sql(folded, FOLDED), FOLDED, rows) == published(flow, FOLDED, rows)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b * 2 - 1", col("a") + (col("b") * 2) - 1),
        ("-a * b", (-col("a")) * col("b")),
        ("a - b - 1", (col("a") - col("b")) - 1),
        ("CASE WHEN NOT a = 1 AND b > 0 OR a < 0 THEN 1 ELSE 0 END",
         when((~(col("a") == 1) & (col("b") > 0)) | (col("a") < 0)).then(1).otherwise(0)),
        ("CASE a WHEN 1 THEN 5 WHEN b THEN 6 END",
         when(col("a") == 1).then(5).when(col("a") == col("b")).then(6).otherwise(None)),
        ("COALESCE(a, CASE WHEN b = 0 THEN NULL ELSE 7 END, b)",
         col("a").coalesce(when(col("b") == 0).then(None).otherwise(7).coalesce(col("b")))),
    ],
)  # fmt: skip
def test_signs_bind_as_in_sql(text: str, expected: Expression) -> None:
    graph = read_sql(f"SELECT k, {text} AS x FROM rows", (ROWS,), PLAIN, "flow.sql")
    read = dict(graph.root.fields)["x"]  # type: ignore[union-attr]
    getters = {"a": lambda row: row[0], "b": lambda row: row[1]}
    for row in crossed([None, -1, 0, 1, 2], [-1, 0, 1, 2]):
        assert read.compile(getters)(row) == expected.compile(getters)(row), row


def test_a_fold_of_a_fold_and_a_filter_after_one() -> None:
    text = """
    WITH hourly AS (SELECT k, COUNT(*) AS n FROM rows GROUP BY k, TUMBLING('1h')),
    busy AS (SELECT * FROM hourly WHERE n > 1)
    SELECT k, COUNT(*) AS n, SUM(n) AS x, MAX(n) AS most FROM busy GROUP BY k, TUMBLING('4h')
    """
    rows = [
        {"event_id": str(number), "k": "p", "a": 1, "b": 1, "s": None, "occurred_at": hour * 3_600_000_000, "kind": "x"}
        for number, hour in enumerate((0, 0, 1, 2, 2, 2))
    ]
    (record, *_), last = (lambda found: (found, found[-1]))(published(in_sql(text, FOLDED), FOLDED, rows))
    assert (record["k"], last["n"], last["x"], last["most"]) == ("p", 2, 5, 3)
