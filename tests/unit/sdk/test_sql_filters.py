"""Filters of a query that are taken to where the records are: the answer is the same, and less is read."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.unit.ports.http.serving import HTTP, Site
from tests.unit.ports.index.kept import MemoryStores
from tests.unit.ports.test_answers import FIRST, PARTITIONS, World

from headwater.ports.answers import Question
from headwater.ports.index.answers import IndexAnswers
from headwater.sdk import sql_filters
from headwater.sdk.sql_filters import key_of
from headwater.sdk.sql_text import Query, read_query
from headwater.testing.source_products import order_events, stock_facts

ROWS = pa.table({"k": ["a", "b", "a", None, "c", "b"], "n": [1, 1, 2, 2, 3, None]})
PLACES = (
    "shop.one",
    "shop.one AS t",
    "shop.one t JOIN shop.two u ON t.k = u.k",
    "shop.one t LEFT JOIN shop.two u ON t.n = u.n",
    "shop.one t FULL JOIN shop.two u ON t.k = u.k AND t.n > 1",
    "shop.one t, shop.two u",
    "shop.one t JOIN shop.one u ON t.n = u.n",
    "(SELECT * FROM shop.one WHERE k = 'a') t",
    "shop.one t RIGHT JOIN shop.two u ON t.k = u.k",
)
CONDITIONS = (
    "{c} = 'a'",
    "'b' = {c}",
    "{c} <> 'a'",
    "{n} = 2",
    "{c} IS NULL",
    "({c} = 'a' OR {n} = 1)",
    "NOT {c} = 'a'",
    "{c} IN ('a', 'c')",
    "EXISTS (SELECT 1 FROM shop.two w WHERE w.k = 'b' AND w.n = {n})",
    "{c} = k",
)
QUERIES = st.builds(
    lambda place, conditions, name: (
        f"SELECT * FROM {place} WHERE " + " AND ".join(one.format(c=f"{name}.k", n=f"{name}.n") for one in conditions)
    ),
    st.sampled_from(PLACES),
    st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=3),
    st.sampled_from(["t", "u", "one", "shop.one"]),
)


DATABASE = duckdb.connect(":memory:", config={"threads": "1"})


def rows(query: Query, *, cut: bool) -> list[str] | None:
    """What the database finds; with `cut` in tables that hold only what the filters let through. None: it refuses."""
    for one in query.asked:
        schema, table = one.table
        given_ = ROWS
        for column, value in one.equal.items() if cut else ():
            if isinstance(value, str) == (column == "k"):
                given_ = given_.filter(pa.compute.equal(given_.column(column), value))
        DATABASE.register("given", given_)
        DATABASE.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        DATABASE.execute(f"CREATE OR REPLACE TABLE {schema}.{table} AS SELECT * FROM given")
    try:
        return sorted(map(str, DATABASE.execute(query.text).fetchall()))
    except duckdb.Error:
        return None


def check(text: str) -> None:
    query = read_query(text)
    whole = rows(query, cut=False)
    if whole is not None:
        assert rows(query, cut=True) == whole, text


@settings(max_examples=60, derandomize=True, deadline=None)
@given(QUERIES)
def test_a_filter_that_is_taken_to_the_records_changes_no_answer(text: str) -> None:
    check(text)


def test_one_that_looks_into_ors_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = sql_filters._joined

    def loose(condition: Any) -> Any:
        if condition.key == "or":
            yield from joined(condition.this)
        elif condition.key == "paren":
            yield from loose(condition.this)
        elif condition.key == "and":
            yield from loose(condition.this)
            yield from loose(condition.expression)
        else:
            yield condition

    @settings(max_examples=300, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
    @given(QUERIES)
    def hunt(text: str) -> None:
        check(text)

    monkeypatch.setattr(sql_filters, "_joined", loose)
    with pytest.raises(AssertionError):
        hunt()


def test_a_key_is_asked_for_whole_and_in_its_types() -> None:
    orders, levels = order_events(partitions=3).output, stock_facts(partitions=3).output
    assert key_of(orders, {"customer": "ada", "number": 1}) == ("ada",)
    assert key_of(orders, {"customer": 1}) is None
    assert key_of(levels, {"place": "x"}) is None
    assert key_of(levels, {"article": "y", "place": "x"}) == ("x", "y")


def test_a_select_of_one_key_reads_that_key(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(order_events(partitions=PARTITIONS, ports=HTTP))
    world.write(FIRST, {**FIRST, "event_id": "b", "customer": "bob"}, marked=49)
    site, asked = Site(world, stores=MemoryStores()), []
    table = IndexAnswers.table

    def told(self: IndexAnswers, question: Question, **said: Any) -> Any:
        asked.append(question.key)
        return table(self, question, **said)

    monkeypatch.setattr(IndexAnswers, "table", told)
    found = site.follow("/v1/query?sql=SELECT event_id FROM orders.placed WHERE customer = 'bob'")
    assert ([row["event_id"] for row in found["records"]], asked) == (["b"], [("bob",)])
