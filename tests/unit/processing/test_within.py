"""Events paired by how near they occurred: what is refused, what a pair is, and what a correction of a side says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headwater.errors import CallerFault
from headwater.processing.expressions import col
from headwater.processing.field_uses import field_uses, fields_read
from headwater.processing.flow import Stream, count, source
from headwater.processing.graph import Graph
from headwater.processing.operators.join_interval import pair_id
from headwater.processing.validation import lineage, validate
from headwater.processing.windows import whole
from headwater.testing.harness import Harness, plan_of, product

INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
ORDERS = product(
    "shop.orders", shape="event", key=["number"], fields={"number": "string", "card": "string", "amount": "long"}
)
PAYMENTS = product("bank.payments", shape="event", key=["card"], fields={"card": "string", "paid": "long"})
RATES = product("bank.rates", shape="fact", key=["card"], fields={"card": "string", "rate": "long"})
PAIRS = product(
    "shop.pairs",
    shape="event",
    key=["number"],
    fields={"number": "string", "amount": "long", "paid": "long", "paid_at": INSTANT},
)
INPUTS = (ORDERS, PAYMENTS, RATES)
TAKE = {"paid": "paid", "paid_at": "occurred_at"}


def near(orders: Stream, payments: Stream) -> Stream:
    return orders.join_within(payments, within="10us", on={"card": "card"}, take=TAKE)


def given() -> Harness:
    """An order at 100 with a payment at either edge of its distance, and one beyond each."""
    harness = Harness(near, inputs=[ORDERS, PAYMENTS], output=PAIRS, tick="10us")
    harness.at(1000).give(ORDERS, event_id="o", number="1", card="c", amount=5, occurred_at=100)
    for at in (89, 90, 110, 111):
        harness.give(PAYMENTS, event_id=f"p{at}", card="c", paid=at, occurred_at=at)
    return harness


def said(harness: Harness) -> list[tuple[str, str, int]]:
    return [(record["event_id"], record["kind"], record["paid"]) for record in harness.records()]


def test_a_distance_holds_on_both_sides_with_its_edges() -> None:
    harness = given()
    assert said(harness) == [("o&p110", "assert", 110), ("o&p90", "assert", 90)]
    assert {record["occurred_at"] for record in harness.records()} == {100}
    assert [record["paid_at"] for record in harness.records()] == [110, 90]


def test_a_late_event_makes_its_pairs_and_one_that_moves_away_takes_them_back() -> None:
    harness = given()
    harness.settle()
    harness.at(2000).give(ORDERS, event_id="late", number="2", card="c", amount=1, occurred_at=121)
    harness.at(3000).give(PAYMENTS, event_id="p110", card="c", paid=7, occurred_at=111, kind="correct", revision=2)
    harness.at(4000).give(
        ORDERS, event_id="late", number="2", card="c", amount=1, occurred_at=121, kind="retract", revision=2
    )
    assert said(harness)[2:] == [
        ("late&p111", "assert", 111),
        ("late&p110", "assert", 7),
        ("o&p110", "retract", 110),
        ("late&p110", "retract", 7),
        ("late&p111", "retract", 111),
    ]


def test_ids_of_pairs_are_told_apart_whatever_stands_in_them() -> None:
    sides = ["a", "a&", "&b", "b", "a~1", "~0", "~", "&", "&&", "~&", ""]
    ids = {pair_id(left, right) for left in sides for right in sides}
    assert len(ids) == len(sides) ** 2


@pytest.mark.parametrize(
    ("flow", "code"),
    [
        (lambda a, b, c: a.join_within(c, within="1s", on={"card": "card"}, take={"paid": "rate"}), "HW-P167"),
        (lambda a, b, c: c.join_within(b, within="1s", on={"card": "card"}, take={"paid": "paid"}), "HW-P167"),
        (
            lambda a, b, c: a.join_within(
                b.aggregate(by=["card"], window=whole(), paid=count()), within="1s", on={"card": "card"}, take=TAKE
            ),
            "HW-P167",
        ),
        (lambda a, b, c: a.join_within(a, within="1s", on={"number": "number"}, take={"paid": "amount"}), "HW-P168"),
        (lambda a, b, c: a.join_within(b, within="1s", on={"card": "paid"}, take=TAKE), "HW-P078"),
        (lambda a, b, c: a.join_within(b, within="1s", on={"amount": "card"}, take=TAKE), "HW-P079"),
        (lambda a, b, c: a.join_within(b, within="1s", on={"credit": "card"}, take=TAKE), "HW-P010"),
        (lambda a, b, c: a.join_within(b, within="1s", on={"card": "card"}, take={"paid": "due"}), "HW-P010"),
        (lambda a, b, c: a.join_within(b, within="1s", on={"card": "card"}, take={"amount": "paid"}), "HW-P072"),
        (lambda a, b, c: a.select("card").join_within(b, within="1s", on={"card": "card"}, take=TAKE), "HW-P077"),
        (
            lambda a, b, c: a.join_within(
                b.select("paid", card=col("card").coalesce("")), within="1s", on={"card": "card"}, take=TAKE
            ),
            "HW-P078",
        ),
    ],
)
def test_what_cannot_be_paired_is_refused(flow: Callable[..., Stream], code: str) -> None:
    stream = flow(*(source(index) for index in range(3)))
    findings = validate(Graph(stream.node, INPUTS, PAIRS))
    assert [finding.code for finding in findings] == [code] and findings[0].line and findings[0].why


@pytest.mark.parametrize(
    "build",
    [
        lambda a, b: a.join_within("b", within="1s", on={"x": "x"}, take={"y": "y"}),
        lambda a, b: a.join_within(b, within="1s", on={}, take={"y": "y"}),
        lambda a, b: a.join_within(b, within="soon", on={"x": "x"}, take={"y": "y"}),
    ],
)
def test_a_call_that_says_nothing_is_refused_at_once(build: Callable[..., Stream]) -> None:
    with pytest.raises(CallerFault) as fault:
        build(source(0), source(1))
    assert fault.value.code in ("HW-P016", "HW-T002")


def test_lineage_goes_to_both_sides() -> None:
    graph = Graph(near(source(0), source(1)).node, (ORDERS, PAYMENTS), PAIRS)
    edges = lineage(graph)
    card = {("shop.orders", "card"), ("bank.payments", "card")}
    assert edges["paid"] >= card | {("bank.payments", "paid")}
    assert edges["event_id"] >= card | {("shop.orders", "event_id"), ("bank.payments", "event_id")}
    assert edges["amount"] == {("shop.orders", "amount")}
    uses = {(edge.source.text(), edge.use) for edge in field_uses(graph) if edge.use != "value"}
    assert {("bank.payments.card", "join"), ("shop.orders.card", "join"), ("bank.payments.occurred_at", "time")} <= uses
    read = fields_read(graph, tick=100)
    assert read[PAYMENTS.product] == {"event_id", "occurred_at", "card", "paid"} - {"card"}


def test_the_left_moves_to_the_rights_key_and_back() -> None:
    stages = plan_of(near, [ORDERS, PAYMENTS], PAIRS, tick=100).stages
    assert [stage.name for stage in stages] == ["changes", "join_bank_payments", "publish"]
    assert [entry.topic for entry in stages[1].inputs][1] == "bank.payments.v1"
