"""What a flow computes, as text: one text makes the same rows, and a rewrite that changes nothing keeps it."""

from __future__ import annotations

import ast
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.contracts.logic_diff import logic_changes
from headwater.processing.compiler import compile_plan
from headwater.processing.expressions import Call, Column, Expression, Literal, col, when
from headwater.processing.flow import Stream, source
from headwater.processing.function_text import TREE, TREE_FILE, function_text
from headwater.processing.graph import Filter, Graph, Map, Source
from headwater.processing.logic import Logic, logic_of
from headwater.processing.logic_text import LENGTH_LIMIT, made, plain, rows_text
from headwater.processing.operators.rows import compile_rows, needed
from headwater.testing.harness import product

NAMES = ("a", "b")
ROWS = list(itertools.product((None, 0, 1, 2, 3), repeat=2))
Steps = list[Map | Filter]

VALUES: st.SearchStrategy[Expression] = st.recursive(
    st.one_of(st.sampled_from(NAMES).map(col), st.sampled_from([None, 0, 1, 2]).map(Literal)),
    lambda inner: st.one_of(
        st.builds(
            lambda name, one, two: Call(name, (one, two)),
            st.sampled_from(["add", "subtract", "multiply", "divide_whole", "coalesce"]), inner, inner,
        ),
        st.builds(lambda condition, one, two: when(condition > 1).then(one).otherwise(two), inner, inner, inner),
    ),
    max_leaves=3,
)  # fmt: skip
COMPARED = st.builds(
    lambda name, one, two: Call(name, (one, two)),
    st.sampled_from(["less", "greater", "less_or_equal", "greater_or_equal", "equal", "unequal"]), VALUES, VALUES,
)  # fmt: skip
CONDITIONS = st.one_of(
    COMPARED, st.builds(lambda one, two: one & two, COMPARED, COMPARED), COMPARED.map(lambda one: ~one)
)
STEPS = st.lists(
    st.one_of(
        CONDITIONS.map(lambda condition: Filter(Source(0), condition)),
        st.builds(lambda name, value: Map(Source(0), ((name, value),), None), st.sampled_from(NAMES), VALUES),
    ),
    max_size=3,
)


def results(steps: Steps) -> list[Any]:
    """What becomes of every row."""
    columns = tuple(sorted({*needed(steps, NAMES), *NAMES}))
    step = compile_rows(steps, columns, NAMES)
    rows = [dict(zip(NAMES, values, strict=True)) for values in ROWS]
    return [row if step is None else step(row) for row in (tuple(row[name] for name in columns) for row in rows)]


def text(steps: Steps) -> tuple[Any, ...]:
    rows = rows_text(steps, plain(NAMES))
    return rows.conditions, tuple(rows.columns[name].text for name in NAMES)


@given(STEPS, STEPS)
def test_steps_that_make_other_rows_have_another_text(one: Steps, two: Steps) -> None:
    if results(one) != results(two):
        assert text(one) != text(two)


@given(STEPS, st.randoms(use_true_random=False))
def test_a_rewrite_that_changes_nothing_keeps_the_text(steps: Steps, chance: Any) -> None:
    again = [part for step in steps for part in rewritten(step, chance)]
    assert results(again) == results(steps)
    assert text(again) == text(steps)


def rewritten(step: Map | Filter, chance: Any) -> Steps:
    """A step by other means: conjunctions taken apart, sides turned, a helper column first."""
    if isinstance(step, Map):
        ((name, value),) = step.fields
        helper = f"helper{chance.randrange(3)}"
        return [Map(Source(0), ((helper, value),), None), Map(Source(0), ((name, col(helper)),), None)]
    condition = step.condition
    if isinstance(condition, Call) and condition.function == "and":
        parts = list(condition.arguments)
        chance.shuffle(parts)
        return [Filter(Source(0), part) for part in parts]
    return [Filter(Source(0), turned(condition))]


def turned(condition: Expression) -> Expression:
    sides = {
        "less": "greater",
        "greater": "less",
        "less_or_equal": "greater_or_equal",
        "greater_or_equal": "less_or_equal",
    }
    sides |= {"equal": "equal", "unequal": "unequal"}
    if isinstance(condition, Call) and condition.function in sides:
        return Call(sides[condition.function], condition.arguments[::-1])
    return condition


@pytest.mark.timeout(5)
def test_a_text_stays_short_however_often_a_column_is_read() -> None:
    steps = [Map(Source(0), (("a", Column("a") + Column("a")),), None) for _ in range(60)]
    assert len(rows_text(steps, plain(NAMES)).columns["a"].text) <= LENGTH_LIMIT
    assert text(list(steps)) != text(list(steps[1:]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "two"), [(1, 1.0), (1, True), (None, "None"), ("a", col("a")), (0.1, 0.2), ("x", "y"), ("#", "!")]
)
def test_literals_of_other_types_are_told_apart(one: Any, two: Any) -> None:
    texts = [
        made(value if isinstance(value, Expression) else Literal(value), plain(NAMES)).text for value in (one, two)
    ]
    assert texts[0] != texts[1]


BASE = """
import math
LIMIT = {"least": [1, 2]}

def helper(value, factor=2):
    return value * factor

def made(by):
    def add(state, minutes):
        late = [item for item in state["all"] if item > by]
        return {"all": late + [helper(minutes, factor=3) + LIMIT["least"][0] + math.floor(minutes)]}
    return add

pair = (lambda state, n: state + n, lambda state, n: state - n)
"""


def told(source: str, name: str = "made(5)") -> str:
    tree = ast.parse(source)
    names: dict[str, Any] = {TREE: tree, TREE_FILE: "flow.py"}
    exec(compile(tree, "flow.py", "exec"), names)  # noqa: S102 - sources of this test
    return function_text(eval(name, names))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("item", "one"),
        ("late", "kept"),
        ("minutes", "n"),
        ("helper", "scaled"),
        ("LIMIT", "BOUNDS"),
        ("value * factor", "value  *  factor  # by how much"),
        ("def add(state, minutes):", 'def add(state: dict, minutes: int) -> dict:\n        """Add it."""'),
        ("pair = (", "pair = (\n    "),
        ("def made", "other = 5\n\ndef made"),
        ("by", "least"),
    ],
)
def test_how_a_function_looks_is_not_in_its_text(old: str, new: str) -> None:
    assert old in BASE
    assert told(BASE.replace(old, new)) == told(BASE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("item > by", "item >= by"),
        ("factor=3", "factor=4"),
        ("factor=2", "factor=1"),
        ("value * factor", "value + factor"),
        ("[1, 2]", "[2, 1]"),
        ('["least"][0]', '["least"][1]'),
        ("math.floor", "math.ceil"),
        ("late + [", "state['all'] + ["),
        ('{"all": late', '{"every": late'),
    ],
)
def test_what_a_function_does_is_in_its_text(old: str, new: str) -> None:
    assert old in BASE
    assert told(BASE.replace(old, new)) != told(BASE)


def test_what_a_function_encloses_and_which_of_two_on_a_line_it_is_are_told_apart() -> None:
    assert told(BASE, "made(5)") != told(BASE, "made(6)")
    assert told(BASE, "pair[0]") != told(BASE, "pair[1]")


def test_arguments_that_others_name_keep_their_names() -> None:
    """Else two parameters that change places, under calls that name them, would leave no trace."""
    flow = "def part(a, b):\n    return a - b\ndef add(state, n):\n    return part(a=state, b=n)\n"
    assert told(flow, "add") != told(flow.replace("part(a, b):", "part(b, a):").replace("a - b", "b - a"), "add")


def test_a_function_that_calls_itself_ends_somewhere() -> None:
    flow = "def add(state, n):\n    return state if n == 0 else add(state + 1, n - 1)\n"
    assert told(flow, "add") == told(flow.replace("add", "plus"), "plus")
    assert told(flow, "add") != told(flow.replace("+ 1", "+ 2"), "add")


EVENTS = {"number": "string", "clerk": "string", "amount": "long", "tags": {"type": "array", "items": "string"}}
SHOP = product("shop.sales", shape="event", key=["number"], fields=EVENTS)
WEB = product("web.sales", shape="event", key=["number"], fields=EVENTS)
RATES = product("bank.rates", shape="fact", key=["clerk"], fields={"clerk": "string", "rate": "long"})
SALES = product("all.sales", shape="event", key=["number"], fields={"number": "string", "amount": ["null", "long"]})
STATES = product("all.states", shape="fact", key=["clerk"], fields={"clerk": "string", "amount": "long"})


def logic(flow: Any, output: Any) -> Logic:
    stream = flow(*(source(index) for index in range(3)))
    graph = Graph(stream.node, (SHOP, WEB, RATES), output)
    return logic_of(graph, compile_plan(graph, tick=100))


UNITED, EXPLODED = lambda a, b, c: a.union(b), lambda a, b, c: a.explode("tags", into="tag", position="at")
LAST, JOINED = (
    lambda a, b, c: a.latest(by=["clerk"]),
    lambda a, b, c: a.join_as_of(c, on={"clerk": "clerk"}, take={"rate": "rate"}).map(
        amount=col("amount") * col("rate")
    ),
)


def near(left: Stream, right: Stream, within: str) -> Stream:
    """Sales in one shop by the sales of the other about that time."""
    pairs = left.join_within(right, within=within, on={"number": "number"}, take={"more": "amount"})
    return pairs.map(amount=col("amount") + col("more"))


NEAR = lambda a, b, c: near(a, b, "5us")  # noqa: E731


@pytest.mark.parametrize(
    ("output", "one", "two", "kinds"),
    [
        (SALES, UNITED, lambda a, b, c: b.union(a), []),
        (SALES, UNITED, lambda a, b, c: a.union(b, named="shop"), []),
        (SALES, UNITED, lambda a, b, c: a.union(b.filter(col("amount") > 1)), ["breaking"]),
        (SALES, UNITED, lambda a, b, c: a.union(b.map(amount=col("amount") + 1)), ["breaking"]),
        (SALES, UNITED, lambda a, b, c: a, ["breaking"]),
        (SALES, UNITED, lambda a, b, c: a.union(b).filter(col("amount") > 1), ["forward-only"]),
        (SALES, EXPLODED, lambda a, b, c: a.explode("tags"), []),
        (SALES, EXPLODED, lambda a, b, c: EXPLODED(a, b, c).filter(col("at") == 0), ["forward-only"]),
        (SALES, EXPLODED, lambda a, b, c: a, ["breaking"]),
        (SALES, EXPLODED, lambda a, b, c: EXPLODED(a, b, c).map(amount=col("at")), ["forward-only"]),
        (SALES, NEAR, lambda a, b, c: near(a, b.map(other=col("amount")), "5us"), []),
        (SALES, NEAR, lambda a, b, c: near(a, b, "6us"), ["breaking"]),
        (SALES, NEAR, lambda a, b, c: near(a, b.filter(col("amount") > 1), "5us"), ["breaking"]),
        (SALES, NEAR, lambda a, b, c: near(a, b, "5us").filter(col("amount") > 1), ["forward-only"]),
        (STATES, LAST, lambda a, b, c: a.filter(col("amount") > 1).latest(by=["clerk"]), ["breaking"]),
        (STATES, LAST, lambda a, b, c: a.map(amount=col("amount") + 1).latest(by=["clerk"]), ["breaking"]),
        (STATES, LAST, lambda a, b, c: a.latest(by=["clerk"]).filter(col("amount") > 1), ["forward-only"]),
        (STATES, LAST, lambda a, b, c: a.latest(by=["clerk"]).map(amount=col("amount") + 1), ["forward-only"]),
        (SALES, JOINED, lambda a, b, c: JOINED(a, b, c.map(other=col("rate"))), []),
        (SALES, JOINED, lambda a, b, c: JOINED(a, b, c.filter(col("rate") > 1)), ["breaking"]),
        (SALES, JOINED, lambda a, b, c: JOINED(a, b, c.map(rate=col("rate") + 1)), ["breaking"]),
        (SALES, JOINED, lambda a, b, c: JOINED(a.filter(col("amount") > 1), b, c), ["breaking"]),
        (SALES, JOINED, lambda a, b, c: JOINED(a.map(amount=col("amount") + 1), b, c), ["breaking"]),
        (SALES, JOINED, lambda a, b, c: JOINED(a, b, c).filter(col("rate") > 1), ["forward-only"]),
        (SALES, JOINED, lambda a, b, c: JOINED(a, b, c).map(amount=col("amount") + 1), ["forward-only"]),
    ],
)
def test_each_step_says_what_it_does_and_how_a_change_of_it_counts(
    output: Any, one: Any, two: Any, kinds: list[str]
) -> None:
    before, after = (logic(flow, output).as_json() for flow in (one, two))
    assert [change.kind for change in logic_changes(before, after)] == kinds
    back = {change.kind for change in logic_changes(after, before)}
    assert back == set(kinds)
