"""What the flink runner's compiler writes and what it refuses. That the SQL says the same is for the real Flink to show
(tests/integration/test_flink_runner.py); here it is held still, and nothing of a flow can be read as SQL."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import InvalidFiles
from headwater.processing.expressions import Expression, col, lit, when
from headwater.processing.field_types import BOOLEAN, DOUBLE, INTEGER, STRING
from headwater.processing.flow import (
    Stream,
    average,
    count,
    count_distinct,
    first,
    last,
    maximum,
    minimum,
    source,
    total,
)
from headwater.processing.graph import Graph, Port
from headwater.processing.infer import avro_of
from headwater.processing.runners.flink import FUNCTIONS, Schemas, compile_sql, refusals
from headwater.processing.runners.flink_expressions import Inexpressible, sql_of
from headwater.processing.runners.flink_tables import Reach, Where, framed
from headwater.processing.windows import calendar, hopping, tumbling, whole
from headwater.testing.harness import product

GOLDEN = Path(__file__).parent / "flink_golden"
NULLABLE = ["null", "long"]
DEPARTED = {"flight_id": "string", "origin": "string", "minutes": NULLABLE, "price": "double", "legs": "bytes"}
DEPARTURES = product("flights.departures", shape="event", key=["flight_id"], fields=DEPARTED)
OTHERS = product("trains.departures", shape="event", key=["flight_id"], fields=DEPARTED)
SEATS = product("fleet.seats", shape="fact", key=["origin"], fields={"origin": "string", "seats": "long"})
COUNTED = product("airports.hourly", shape="fact", key=["origin"], fields={"origin": "string", "n": "long"})
WHERE = Where("kafka:9092", "http://registry:8081", "airports.hourly.v1-flink")


def facts(**fields: Any) -> Port:
    return product("airports.hourly", shape="fact", key=["origin"], fields={"origin": "string", **fields})


def graph_of(flow: Callable[..., Stream], output: Port, *inputs: Port) -> Graph:
    given = inputs or (DEPARTURES,)
    return Graph(flow(*(source(place) for place in range(len(given)))).node, given, output)


def schema_of(port: Port) -> Mapping[str, Any]:
    types = {name: avro_of(type_.required()) for name, type_ in port.fields.items()}
    fields = [{"name": n, "type": ["null", t] if port.fields[n].nullable else t} for n, t in types.items()]
    return {"type": "record", "name": "Any", "fields": fields}


def sql(graph: Graph, where: Where = WHERE) -> list[str]:
    schemas = Schemas([schema_of(port) for port in graph.inputs], schema_of(graph.output), 7)
    return compile_sql(graph, schemas, where, tick=100_000)


FOLD = graph_of(
    lambda stream: (
        stream.filter(col("minutes") > -5)
        .aggregate(
            by=["origin"],
            window=tumbling("1h"),
            n=count(),
            known=count("minutes"),
            sum=total("minutes"),
            least=minimum("minutes"),
            mean=average("minutes"),
            last=maximum("flight_id"),
            flights=count_distinct("flight_id"),
        )
        .filter(col("n") > 1)
        .map(word=when(col("sum") > 9).then("it's late").otherwise("in time"))
    ),
    facts(
        n="long",
        known="long",
        sum=NULLABLE,
        least=NULLABLE,
        mean=["null", "double"],
        last=["null", "string"],
        flights="long",
        word="string",
    ),
)
PASSED = graph_of(
    lambda stream: stream.filter(~(col("origin") == "JFK")).select("flight_id", cents=col("price") * 100.0),
    product("flights.few", shape="event", key=["flight_id"], fields={"flight_id": "string", "cents": "double"}),
)
FLOWS = {
    "fold": FOLD,
    "passed": PASSED,
    "hopping": graph_of(
        lambda stream: stream.aggregate(by=["origin"], window=hopping("1h", every="15min"), n=count()), COUNTED
    ),
    "whole": graph_of(lambda stream: stream.aggregate(by=["origin"], window=whole(), n=count()), COUNTED),
    "union": graph_of(
        lambda flights, trains: flights.union(trains, named="via").aggregate(
            by=["origin", "via"], window=tumbling("1h"), n=count()
        ),
        product(
            "airports.both",
            shape="fact",
            key=["origin", "via"],
            fields={"origin": "string", "via": "string", "n": "long"},
        ),
        DEPARTURES,
        OTHERS,
    ),
    "facts": graph_of(lambda stream: stream.filter(col("seats") > 2), SEATS, SEATS),
}


@pytest.mark.parametrize("name", FLOWS)
def test_the_sql_of_a_flow_is_as_it_was(name: str) -> None:
    """`HEADWATER_GOLDEN=1` writes the files anew: read the difference before it is committed."""
    made = ";\n\n".join(sql(FLOWS[name])) + ";\n"
    file = GOLDEN / f"{name}.sql"
    if os.environ.get("HEADWATER_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(made)
    assert made == file.read_text()


def test_a_bounded_job_ends_and_says_only_what_is_not_there() -> None:
    reach = Reach(1_999_999, {"flights.departures.v1": {0: 5, 1: 0}}, {0: 99_999, 1: -1})
    made = "\n".join(sql(FOLD, replace(WHERE, reach=reach)))
    assert "'scan.bounded.specific-offsets' = 'partition:0,offset:5;partition:1,offset:0'" in made
    assert "WHERE `recorded_at` <= 1999999" in made
    assert "WHERE `~recorded_at` > CASE hw_partition(`~key`, 4) WHEN 0 THEN CAST(99999 AS BIGINT)" in made


def test_every_function_is_declared_once_and_only_where_it_is_called() -> None:
    for graph in FLOWS.values():
        statements = sql(graph)
        declared = [line.split()[3] for line in statements if line.startswith("CREATE TEMPORARY FUNCTION")]
        rest = "\n".join(line for line in statements if not line.startswith("CREATE TEMPORARY FUNCTION"))
        assert declared == [name for name in FUNCTIONS if f"{name}(" in rest]


HOSTILE = "x'); DROP TABLE `in0`; --"


def unquoted(statement: str) -> str:
    """A statement without what stands in quotes or backticks."""
    rest, quote = [], ""
    for letter in statement:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'`":
            quote = letter
        else:
            rest.append(letter)
    assert not quote, "a quote is left open"
    return "".join(rest)


def test_nothing_of_a_flow_is_read_as_sql() -> None:
    graph = graph_of(
        lambda stream: (
            stream.filter(col("origin") == HOSTILE)
            .map(window_end=lit(HOSTILE))
            .aggregate(by=["origin"], window=tumbling("1h"), select=count(), window_time=maximum("window_end"))
        ),
        facts(select="long", window_time=["null", "string"]),
    )
    statements = sql(graph)
    assert any("DROP" in one for one in statements)
    assert not any("DROP" in unquoted(one) for one in statements)
    names = [one for one in statements if "`~window_time`" in one]
    assert names, "a field that is named as a column of a window function has another name"


INEXPRESSIBLE = {
    "mixed": (col("d") > col("i"), "a comparison of double and integer"),
    "quotient": (col("d") / col("d"), "'divide' of double and double"),
    "truths": (col("b") < col("b"), "an order of booleans"),
    "long": (lit(1 << 63) + col("i"), "a literal of the type int here"),
    "null": (col("s") == lit(None), "a literal of the type NoneType here"),
    "nan": (col("d") > lit(float("nan")), "a literal of the type float here"),
}


@pytest.mark.parametrize("name", INEXPRESSIBLE)
def test_an_expression_that_flink_would_compute_otherwise_is_refused(name: str) -> None:
    expression, said = INEXPRESSIBLE[name]
    fields = {"d": DOUBLE, "i": INTEGER, "s": STRING, "b": BOOLEAN}
    columns = {field: f"`{field}`" for field in fields}
    with pytest.raises(Inexpressible, match=said):
        sql_of(expression, fields, columns)


EXPRESSIONS: Sequence[tuple[Expression, str]] = [
    (col("i") + 1, "hw_add(`i`, CAST(1 AS BIGINT))"),
    (-col("i") // 2, "hw_floor_divide(hw_negate(`i`), CAST(2 AS BIGINT))"),
    (col("d") - col("i"), "(CAST(`d` AS DOUBLE) - CAST(`i` AS DOUBLE))"),
    (col("i").coalesce(0), "COALESCE(`i`, CAST(0 AS BIGINT))"),
    (col("s").is_null() | ~col("b"), "((`s` IS NULL) OR (NOT `b`))"),
    (
        when(col("b")).then(col("i")).otherwise(None),
        "CASE WHEN `b` THEN `i` ELSE CAST(NULL AS BIGINT) END",
    ),
    (
        when(col("b")).then(col("i")).otherwise(col("d")),
        "CASE WHEN `b` THEN CAST(`i` AS DOUBLE) ELSE `d` END",
    ),
]


@pytest.mark.parametrize(("expression", "made"), EXPRESSIONS, ids=[made for _, made in EXPRESSIONS])
def test_an_expression_computes_what_the_engine_does(expression: Expression, made: str) -> None:
    fields = {"d": DOUBLE, "i": INTEGER, "s": STRING, "b": BOOLEAN}
    assert sql_of(expression, fields, {field: f"`{field}`" for field in fields}) == made


def test_a_value_is_framed_as_its_schema_says() -> None:
    fields = [
        {"name": "a", "type": "int"},
        {"name": "b", "type": ["string", "null"]},
        {"name": "k", "type": {"type": "enum", "name": "Kind", "symbols": ["assert", "correct"]}},
    ]
    schema = {"type": "record", "name": "R", "fields": fields}
    assert (
        framed(schema, 9, {"a": "`a`", "b": "`b`", "k": "`k`"})
        == "hw_frame(9, 'i,1?s,e:assert|correct', `a`, `b`, `k`)"
    )
    with pytest.raises(Inexpressible, match="bytes"):
        framed({**schema, "fields": [{"name": "x", "type": "bytes"}]}, 9, {"x": "`x`"})


def hourly(stream: Stream) -> Stream:
    return stream.aggregate(by=["origin"], window=tumbling("1h"), n=count())


ONE = graph_of(hourly, COUNTED)
TWO = replace(ONE, further=(Graph(Stream(ONE.root).filter(col("n") > 1).node, ONE.inputs, COUNTED),))
REFUSED: Mapping[str, tuple[Graph, str, str]] = {
    "latest": (graph_of(lambda stream: stream.latest(by=["origin"]), facts()), "HW-P240", "latest"),
    "join": (
        graph_of(
            lambda stream, seats: stream.join_as_of(seats, on={"origin": "origin"}, take={"n": "seats"}),
            product("flights.seats", shape="event", key=["flight_id"], fields={"flight_id": "string", "n": NULLABLE}),
            DEPARTURES,
            SEATS,
        ),
        "HW-P240",
        "join_as_of",
    ),
    "twice": (
        graph_of(
            lambda stream: hourly(stream).aggregate(by=["origin"], window=whole(), n=count(), name="again"), COUNTED
        ),
        "HW-P240",
        "a second aggregate",
    ),
    "union": (
        graph_of(lambda one, two: one.union(two), replace(DEPARTURES, topic="both"), DEPARTURES, OTHERS),
        "HW-P240",
        "a union without an aggregate",
    ),
    "late": (graph_of(hourly, replace(COUNTED, accept_late=5)), "HW-P240", "accept_late"),
    "outputs": (TWO, "HW-P240", "several outputs"),
    "bytes": (
        graph_of(
            lambda stream: stream.select("flight_id", "legs"),
            product("flights.few", shape="event", key=["flight_id"], fields={"flight_id": "string", "legs": "bytes"}),
        ),
        "HW-P241",
        "'legs' of flights.departures",
    ),
    "last": (
        graph_of(
            lambda stream: stream.aggregate(by=["origin"], window=whole(), n=last("flight_id")),
            facts(n=["null", "string"]),
        ),
        "HW-P242",
        "the measure last of string",
    ),
    "first": (
        graph_of(lambda stream: stream.aggregate(by=["origin"], window=whole(), n=first("minutes")), facts(n=NULLABLE)),
        "HW-P242",
        "the measure first of integer",
    ),
    "calendar": (
        graph_of(lambda stream: stream.aggregate(by=["origin"], window=calendar("month"), n=count()), COUNTED),
        "HW-P242",
        "a window of calendar month UTC",
    ),
    "expression": (
        graph_of(lambda stream: hourly(stream.filter(col("price") > col("minutes"))), COUNTED),
        "HW-P242",
        "a comparison of double and integer",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_flink_cannot_say_is_refused_at_its_line(name: str) -> None:
    graph, code, said = REFUSED[name]
    found = refusals(graph)
    assert [one.code for one in found] == [code]
    assert said in found[0].message
    assert found[0].line > 0 or name in ("late", "outputs")
    with pytest.raises(InvalidFiles):
        sql(graph)
