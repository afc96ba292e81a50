"""Arrays as rows: what is refused, what is kept in state, and what a correction of an array says."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from headwater.errors import CallerFault
from headwater.processing.expressions import col
from headwater.processing.field_types import from_avro
from headwater.processing.field_uses import field_uses, fields_read
from headwater.processing.flow import Stream, count, source
from headwater.processing.graph import Graph
from headwater.processing.packing import RowForm, pack, unpack
from headwater.processing.validation import lineage, validate
from headwater.processing.windows import whole
from headwater.schemas.avro import parse
from headwater.schemas.codec import RowCodec
from headwater.testing.harness import Harness, plan_of, product

DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
LINE = {
    "type": "record",
    "name": "Line",
    "fields": [
        {"name": "article", "type": "string"},
        {"name": "price", "type": ["null", DECIMAL]},
        {"name": "due", "type": {"type": "int", "logicalType": "date"}},
        {"name": "codes", "type": {"type": "array", "items": "bytes"}},
    ],
}
ORDERS = product(
    "sales.orders",
    shape="event",
    key=["number"],
    fields={
        "number": "string",
        "note": "string",
        "tags": {"type": "array", "items": "string"},
        "lines": ["null", {"type": "array", "items": ["null", LINE]}],
        "maps": {"type": "array", "items": {"type": "map", "values": "long"}},
    },
)
PRICES = product(
    "sales.prices", shape="fact", key=["number"], fields={"number": "string", "tags": {"type": "array", "items": "int"}}
)
LINES = product(
    "sales.lines",
    shape="event",
    key=["number"],
    fields={"number": "string", "article": ["null", "string"], "price": ["null", DECIMAL], "place": "long"},
)


def lines(orders: Stream) -> Stream:
    return orders.explode("lines", position="place")


def line(article: str, price: str | None = "1.50") -> dict[str, Any]:
    known = None if price is None else Decimal(price)
    return {"article": article, "price": known, "due": date(2026, 3, 1), "codes": [b"\x00"]}


def given(harness: Harness, revision: int, lines: list[Any] | None, **fields: Any) -> None:
    kind = "assert" if revision == 1 else "correct"
    record = {"kind": kind, "note": "", "tags": [], "maps": [], **fields}
    harness.at(revision * 1_000_000).give(
        ORDERS, event_id="O1", number="1", occurred_at=5, revision=revision, lines=lines, **record
    )


def said(harness: Harness) -> list[tuple[Any, ...]]:
    return [(record["event_id"], record["kind"], record["article"]) for record in harness.records()]


def test_a_shorter_array_takes_back_the_rest_and_what_stays_says_nothing() -> None:
    harness = Harness(lines, inputs=[ORDERS], output=LINES)
    given(harness, 1, [line("pen"), line("ink"), None])
    given(harness, 2, [line("pen"), line("nib")])
    given(harness, 3, None)
    assert said(harness) == [
        ("O1:0", "assert", "pen"),
        ("O1:1", "assert", "ink"),
        ("O1:2", "assert", None),
        ("O1:1", "correct", "nib"),
        ("O1:2", "retract", None),
        ("O1:0", "retract", "pen"),
        ("O1:1", "retract", "nib"),
    ]


def test_what_changes_in_a_field_that_nobody_reads_says_nothing() -> None:
    harness = Harness(lines, inputs=[ORDERS], output=LINES)
    given(harness, 1, [line("pen")])
    given(harness, 2, [{**line("pen"), "due": date(2027, 1, 1)}], note="later")
    assert said(harness) == [("O1:0", "assert", "pen")]


def test_an_array_within_an_array_is_exploded_in_turn() -> None:
    codes = product("sales.codes", shape="event", key=["number"], fields={"number": "string", "codes": "bytes"})
    harness = Harness(
        lambda orders: (
            orders.explode("lines", take={"codes": "codes"}).explode("codes").filter(col("codes").is_not_null())
        ),
        inputs=[ORDERS],
        output=codes,
    )
    given(harness, 1, [line("pen"), {**line("ink"), "codes": [b"\x01", b"\x02"]}])
    assert [(record["event_id"], record["codes"]) for record in harness.records()] == [
        ("O1:0:0", b"\x00"),
        ("O1:1:0", b"\x01"),
        ("O1:1:1", b"\x02"),
    ]


def test_arrays_as_the_codec_reads_them_survive_state_and_become_rows() -> None:
    lines_type = {"type": "array", "items": ["null", LINE]}
    schema = parse(json.dumps({"type": "record", "name": "R", "fields": [{"name": "lines", "type": lines_type}]}))
    codec = RowCodec(schema)
    read = codec.decode(codec.encode({"lines": [line("pen"), None, line("ink", None)]}))
    form = RowForm([from_avro(lines_type)])
    row = form.read(unpack(pack(form.write((read["lines"],)))))
    assert row == (read["lines"],)
    harness = Harness(lines, inputs=[ORDERS], output=LINES)
    given(harness, 1, read["lines"])
    assert [(record["article"], record["price"]) for record in harness.records()] == [
        ("pen", Decimal("1.50")),
        (None, None),
        ("ink", None),
    ]


def test_arrays_and_records_come_back_from_state_as_they_were() -> None:
    types = [ORDERS.fields["lines"], ORDERS.fields["tags"]]
    form = RowForm(types)
    for row in (([line("pen", None), None], ["a"]), (None, []), ([], ["a", "b"])):
        assert form.read(unpack(pack(form.write(row)))) == row


@pytest.mark.parametrize(
    ("flow", "code"),
    [
        (lambda a, b: a.explode("lanes"), "HW-P010"),
        (lambda a, b: a.explode("note"), "HW-P100"),
        (lambda a, b: b.explode("tags"), "HW-P101"),
        (lambda a, b: a.explode("maps"), "HW-P102"),
        (lambda a, b: a.explode("tags", take={"tag": "name"}), "HW-P103"),
        (lambda a, b: a.explode("lines", into="line"), "HW-P104"),
        (lambda a, b: a.explode("lines", take={"size": "size"}), "HW-P105"),
        (lambda a, b: a.explode("lines", take={"note": "article"}), "HW-P072"),
        (lambda a, b: a.explode("tags", into="kind"), "HW-P072"),
        (lambda a, b: a.explode("tags", position="tags"), "HW-P072"),
        (lambda a, b: a.filter(col("tags") == col("tags")), "HW-P011"),
    ],
)
def test_what_cannot_be_exploded_is_refused(flow: Callable[..., Stream], code: str) -> None:
    stream = flow(source(0), source(1))
    findings = validate(Graph(stream.node, (ORDERS, PRICES), LINES))
    assert [finding.code for finding in findings] == [code] and findings[0].line and findings[0].why


@pytest.mark.parametrize("build", [lambda s: s.explode(3), lambda s: s.explode("lines", take={})])
def test_a_call_that_says_nothing_is_refused_at_once(build: Callable[[Stream], Stream]) -> None:
    with pytest.raises(CallerFault) as fault:
        build(source(0))
    assert fault.value.code == "HW-P016"


def test_lineage_says_that_the_array_makes_the_rows() -> None:
    graph = Graph(lines(source(0)).node, (ORDERS,), LINES)
    edges = lineage(graph)
    assert edges["price"] == edges["place"] == {("sales.orders", "lines")}
    assert edges["event_id"] == {("sales.orders", "event_id"), ("sales.orders", "lines")}
    assert ("sales.orders.lines", "filter") in {(edge.source.text(), edge.use) for edge in field_uses(graph)}
    (read,) = fields_read(graph, tick=100).values()
    assert read == {"event_id", "occurred_at", "number", "lines"}


def test_a_fold_over_elements_keeps_no_ids_of_them() -> None:
    counted = product("sales.counted", shape="fact", key=["article"], fields={"article": "string", "lines": "long"})
    plan = plan_of(
        lambda orders: (
            orders.explode("lines")
            .map(article=col("article").coalesce("none"))
            .aggregate(by=["article"], window=whole(), lines=count())
        ),
        [ORDERS],
        counted,
        tick=100,
    )
    assert [stage.name for stage in plan.stages] == ["changes", "aggregate"]
    assert from_avro(["null", {"type": "array", "items": LINE}]).text() == "array of record or null"
