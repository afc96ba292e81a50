"""Inputs as one: what is refused, whose an event is, and what a plan reads."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from headwater.errors import CallerFault
from headwater.processing.expressions import col
from headwater.processing.field_uses import field_uses, fields_read
from headwater.processing.flow import Stream, count, source
from headwater.processing.graph import Graph, Port
from headwater.processing.validation import lineage, validate
from headwater.processing.windows import whole
from headwater.testing.harness import Harness, plan_of, product

MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
SHOP = product(
    "shop.sales", shape="event", key=["number"], fields={"number": "string", "amount": MONEY, "clerk": "string"}
)
WEB = product("web.sales", shape="event", key=["number"], fields={"number": "string", "amount": ["null", MONEY]})
FAR = product(
    "far.sales",
    shape="event",
    key=["till"],
    fields={"till": "string", "number": "string", "amount": MONEY},
    partitions=2,
)
RATES = product("bank.rates", shape="fact", key=["number"], fields={"number": "string", "amount": MONEY})
SALES = product(
    "all.sales", shape="event", key=["number"], fields={"number": "string", "amount": ["null", MONEY], "via": "string"}
)
INPUTS = (SHOP, WEB, FAR, RATES)


def sales(shop: Stream, web: Stream) -> Stream:
    return shop.select("number", "amount").union(web.filter(col("amount") > 0), named="via")


def codes(flow: Callable[..., Stream], output: Port = SALES) -> list[str]:
    stream = flow(*(source(index) for index in range(len(INPUTS))))
    findings = validate(Graph(stream.node, INPUTS, output))
    assert all(finding.line for finding in findings)
    return [finding.code for finding in findings]


def test_two_inputs_with_the_same_ids_and_keys_never_correct_each_other() -> None:
    harness = Harness(sales, inputs=[SHOP, WEB], output=SALES)
    for port, amount, more in ((SHOP, "1.00", {"clerk": "c"}), (WEB, "2.00", {})):
        harness.at(1_000_000).give(port, event_id="1", number="1", occurred_at=0, amount=Decimal(amount), **more)
    harness.at(2_000_000).give(
        WEB, event_id="1", number="1", occurred_at=0, amount=Decimal(3), kind="correct", revision=2
    )
    said = [(record["event_id"], record["via"], record["kind"], record["amount"]) for record in harness.records()]
    assert said == [
        ("shop.sales/1", "shop.sales", "assert", Decimal("1.00")),
        ("web.sales/1", "web.sales", "assert", Decimal("2.00")),
        ("web.sales/1", "web.sales", "correct", Decimal("3.00")),
    ]


@pytest.mark.parametrize(
    ("flow", "code"),
    [
        (lambda shop, web, far, rates: shop.union(shop), "HW-P106"),
        (lambda shop, web, far, rates: shop.union(web.aggregate(by=["number"], window=whole(), n=count())), "HW-P107"),
        (lambda shop, web, far, rates: shop.union(web.union(shop.select("number", "amount"))), "HW-P107"),
        (lambda shop, web, far, rates: rates.union(rates), "HW-P106"),
        (lambda shop, web, far, rates: web.union(rates), "HW-P109"),
        (lambda shop, web, far, rates: shop.union(web), "HW-P110"),
        (lambda shop, web, far, rates: web.union(shop.select("number", amount=col("number"))), "HW-P111"),
        (lambda shop, web, far, rates: web.union(shop.select("number", amount=1)), "HW-P111"),
        (lambda shop, web, far, rates: web.union(far.select("number", "amount")), "HW-P112"),
        (lambda shop, web, far, rates: web.union(shop.select("number", "amount"), named="amount"), "HW-P072"),
        (lambda shop, web, far, rates: web.union(shop.select("number", "amount"), named="kind"), "HW-P072"),
    ],
)
def test_what_cannot_be_united_is_refused(flow: Callable[..., Stream], code: str) -> None:
    assert codes(flow) == [code]


def test_facts_are_united_only_where_the_key_names_the_input() -> None:
    other = product("till.rates", shape="fact", key=["number"], fields={"number": "string", "amount": MONEY})
    named = product(
        "all.rates",
        shape="fact",
        key=["bank", "number"],
        fields={"bank": "string", "number": "string", "amount": MONEY},
    )
    for output, bank, code in ((named, "", "HW-P108"), (named, "bank", ""), (RATES, "bank", "HW-P053")):
        stream = source(0).union(source(1), named=bank)
        found = [finding.code for finding in validate(Graph(stream.node, (RATES, other), output))]
        assert found == ([code] if code else [])
    right = source(1).union(source(2), named="bank")
    joined = source(0).join_as_of(right, on={"number": "number"}, take={"rate": "amount"})
    assert [finding.code for finding in validate(Graph(joined.node, (WEB, RATES, other), SALES))] == ["HW-P076"]


def test_inputs_of_other_keys_are_united_where_a_step_gives_the_rows_a_key() -> None:
    far = product(
        "far.sales", shape="event", key=["till"], fields={"till": "string", "number": "string", "amount": MONEY}
    )
    counted = product("all.counts", shape="fact", key=["number"], fields={"number": "string", "sales": "long"})

    def united(shop: Stream, web: Stream) -> Stream:
        return shop.union(web.select("number", "amount")).select("number")

    inputs = [SHOP, far]
    flow = lambda shop, web: united(shop.select("number", "amount"), web).aggregate(  # noqa: E731
        by=["number"], window=whole(), sales=count()
    )
    assert [stage.name for stage in plan_of(flow, inputs, counted, tick=100).stages] == ["changes", "aggregate"]
    passed = product("all.passed", shape="event", key=["number"], fields={"number": "string"})
    stream = united(source(0).select("number", "amount"), source(1))
    assert [finding.code for finding in validate(Graph(stream.node, tuple(inputs), passed))] == ["HW-P053"]


def test_lineage_goes_to_every_input() -> None:
    graph = Graph(sales(source(0), source(1)).node, (SHOP, WEB), SALES)
    edges = lineage(graph)
    assert edges["amount"] == {("shop.sales", "amount"), ("web.sales", "amount")}
    assert edges["via"] == frozenset()
    assert {(edge.source.text(), edge.use) for edge in field_uses(graph) if edge.use != "value"} == {
        ("web.sales.amount", "filter")
    }
    read = fields_read(graph, tick=100)
    assert read[SHOP.product] == read[WEB.product] == {"event_id", "occurred_at", "number", "amount"}


def test_one_stage_reads_all_inputs_where_rows_stay_in_their_partitions() -> None:
    (stage,) = plan_of(sales, [SHOP, WEB], SALES, tick=100).stages
    assert stage.name == "publish" and stage.ticks
    assert [(entry.topic, entry.kind) for entry in stage.inputs] == [
        ("shop.sales.v1", "changes"),
        ("web.sales.v1", "changes"),
    ]


@pytest.mark.parametrize("build", [lambda s: s.union(), lambda s: s.union("web.sales")])
def test_a_call_that_unites_nothing_is_refused_at_once(build: Callable[[Stream], Stream]) -> None:
    with pytest.raises(CallerFault) as fault:
        build(source(0))
    assert fault.value.code == "HW-P016"
