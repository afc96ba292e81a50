"""What a query may say, and what it may not."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import CallerFault
from headwater.sdk.sql_text import functions, read_query

# What the grammar writes with these names is no function of the database's list.
IN_THE_GRAMMAR = {"cast", "try_cast", "coalesce", "extract", "if", "ifnull", "nullif", "unnest"}
WINDOWS = {"cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value", "ntile", "percent_rank"}
WINDOWS |= {"rank", "row_number"}
_TEXT = """
SELECT FROM WHERE a.b a x y * , ( ) 'z' 1 = :: int AS WITH JOIN ON USING GROUP BY ORDER LIMIT UNION ALL OVER
sum count as_of history => valid recorded read_csv range getenv [ ] . ; -- INTO COPY TO SET PRAGMA CASE WHEN
THEN END NOT NULL INTERVAL ? $1 { } : -> PIVOT LATERAL QUALIFY TABLE
"""
WORDS = _TEXT.split()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM airports.hourly",
        "SELECT a.x, count(*) FILTER (WHERE x > 1), sum(x) OVER (PARTITION BY y ORDER BY z) FROM a.b AS a GROUP BY ALL",
        "WITH late AS (SELECT * FROM a.b WHERE d > 15) SELECT k, max(d) FROM late GROUP BY k HAVING count(*) > 1",
        "SELECT * FROM a.b LEFT JOIN c.e ON b.x = e.x WHERE k IN (SELECT k FROM a.b) ORDER BY 1 LIMIT 5",
        "SELECT extract(hour FROM t), CASE WHEN x IS NULL THEN 1 ELSE 2 END, x::int, date_trunc('day', t) FROM a.b",
        "SELECT s.a.b, m['k'], l[1], * EXCLUDE (x) FROM a.b QUALIFY rank() OVER (PARTITION BY k ORDER BY t DESC) = 1",
        "SELECT any_value(x), quantile_cont(x, 0.9), string_agg(y, ','), strftime(t, '%Y'), x || y FROM a.b",
        "SELECT x FROM a.b UNION ALL SELECT x FROM c.d EXCEPT SELECT 1",
        "SELECT t - INTERVAL 1 DAY, t BETWEEN TIMESTAMP '2013-01-01' AND now() FROM a.b, unnest([1, 2]) u(v)",
    ],
)  # fmt: skip
def test_an_ordinary_select_may_be_asked(text: str) -> None:
    assert {one.product for one in read_query(text).asked} <= {"airports.hourly", "a.b", "c.d", "c.e"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("SELECT * FROM 'x.csv'", "'x.csv' is no product"),
        ("SELECT * FROM read_csv('/etc/passwd')", "cannot read READ_CSV"),
        ("SELECT * FROM a.b, sniff_csv('x')", "cannot read SNIFF_CSV"),
        ("SELECT * FROM glob('/*')", "cannot read GLOB"),
        ("SELECT * FROM query('SELECT 1')", "cannot read QUERY"),
        ("SELECT * FROM query_table('x')", "cannot read QUERY_TABLE"),
        ("SELECT * FROM duckdb_settings()", "cannot read DUCKDB_SETTINGS"),
        ("SELECT * FROM range(1000000000)", "cannot read RANGE"),
        ("SELECT * FROM memory.a.b", "cannot read memory.a.b"),
        ("SELECT x FROM a.b TABLESAMPLE 10%", "cannot read a.b TABLESAMPLE"),
        ("SELECT * FROM work", "'work' is no product"),
        ("SELECT getenv('HOME') FROM a.b", "the function getenv"),
        ("SELECT current_setting('x') FROM a.b", "the function current_setting"),
        ("SELECT repeat('x', 10000000000) FROM a.b", "the function repeat"),
        ("SELECT generate_series(1, 10000000000) FROM a.b", "the function"),
        ("SELECT lpad('x', 10000000000, 'y') FROM a.b", "the function"),
        ("SELECT read_text('/etc/passwd') FROM a.b", "the function read_text"),
        ("SELECT list_transform(x, y -> y + 1) FROM a.b", "list_transform"),
        ("SELECT [y FOR y IN z IF y > 1] FROM a.b", "COMPREHENSION"),
        ("SELECT $1 FROM a.b", "PLACEHOLDER"),
        ("SELECT COLUMNS('.*') FROM a.b", "columns"),
        ("SELECT 1 INTO x FROM a.b", "is no product"),
        ("SELECT 1", "reads no product"),
        ("SELECT 1 FROM a.b; SELECT 2 FROM a.b", "2 statements"),
        ("COPY a.b TO 'x'", "does not begin with SELECT"),
        ("SET threads = 9", "does not begin with SELECT"),
        ("PRAGMA version", "does not begin with SELECT"),
        ("ATTACH 'x.db'", "does not begin with SELECT"),
        ("INSTALL httpfs", "does not begin with SELECT"),
        ("EXPLAIN ANALYZE SELECT 1", "does not begin with SELECT"),
        ("PREPARE p AS SELECT 1", "does not begin with SELECT"),
        ("CREATE MACRO f(x) AS x", "does not begin with SELECT"),
        ("WITH x AS (DELETE FROM a.b RETURNING *) SELECT * FROM x", "cannot use"),
        ("WITH x AS (CREATE SCHEMA s) SELECT * FROM x, a.b", "cannot read what has no name"),
        ("SELECT * FROM as_of()", "cannot read AS_OF()"),
        ("SELECT * FROM as_of('a.b', '2013-01-01T00:00Z')", "as_of does not take"),
        ("SELECT * FROM as_of('a.b', recorded => x)", "as_of does not take"),
        ("SELECT * FROM as_of('a.b', key => 'JFK')", "as_of does not take"),
        ("SELECT * FROM as_of('../etc')", "is no name of a product"),
        ("SELECT * FROM history('a.b', valid => '2013-01-01T00:00Z')", "history does not take"),
        ('SELECT * FROM "a;DROP"."b"', "is no name of a product"),
        ("SELECT " + "(" * 500 + "1" + ")" * 500 + " FROM a.b", "nested too deeply"),
        ("SELECT '" + "x" * 200_000 + "' FROM a.b", "are the most"),
        ("", "does not begin with SELECT"),
    ],
)
def test_what_is_no_select_over_products_is_refused(text: str, what: str) -> None:
    with pytest.raises(CallerFault, match=re.escape(what)) as refused:
        read_query(text)
    assert refused.value.code == "HW-K064"
    assert refused.value.hint


def test_a_product_is_asked_as_of_the_moments_that_the_text_names() -> None:
    query = read_query(
        "SELECT * FROM a.b JOIN as_of('a.b', valid => '2013-01-01T00:00Z', recorded => TIMESTAMP '2013-01-02') AS old"
        " USING (k) JOIN history('c.d', recorded => '2013-01-03T00:00Z') USING (k) JOIN A.B AS again USING (k)"
    )
    found = [(one.product, one.valid, one.recorded, one.history) for one in query.asked]
    assert found == [
        ("a.b", None, None, False),
        ("a.b", "2013-01-01T00:00Z", "2013-01-02", False),
        ("c.d", None, "2013-01-03T00:00Z", True),
    ]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join) | st.text(max_size=60).map("SELECT {}".format))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        query = read_query(text)
    except CallerFault as refused:
        assert refused.code == "HW-K064"
    else:
        assert query.asked
        assert read_query_again(query.text), "what is run says nothing that could not be asked"


def read_query_again(text: str) -> bool:
    return bool(read_query(text).asked)


def test_the_page_lists_what_can_be_used() -> None:
    page = (Path(__file__).parents[3] / "docs" / "concepts" / "sql.md").read_text()
    block = page.split("```text\n")[1].split("```")[0]
    assert sorted(block.split()) == list(functions())


def test_every_function_of_the_list_is_one_of_the_database() -> None:
    with duckdb.connect(":memory:") as connection:
        found = connection.execute("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()
    assert set(functions()) - {name for (name,) in found} - WINDOWS <= IN_THE_GRAMMAR
