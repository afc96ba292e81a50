"""Folds of the author's own: taken only where what is put in can be taken out again, and right over a restart."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from headwater.errors import CallerFault, Finding
from headwater.processing.custom_fold import fits
from headwater.processing.field_types import FieldType, decimal_of, from_avro
from headwater.processing.flow import Stream, fold, source
from headwater.processing.graph import Graph, Measure
from headwater.processing.validation import lineage, validate
from headwater.processing.windows import whole
from headwater.testing.harness import Harness, plan_of, product

SALES = product(
    "shop.sales",
    shape="event",
    key=["sale"],
    fields={
        "sale": "string",
        "shop": "string",
        "pieces": ["null", "long"],
        "price": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        "odd": {"type": "map", "values": "long"},
    },
)
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2}
TAKEN = product("shop.taken", shape="fact", key=["shop"], fields={"shop": "string", "taken": MONEY})


def put(state: dict[str, Any], price: Decimal, pieces: int | None) -> dict[str, Any]:
    return {"sum": state["sum"] + price * (pieces or 0)}


def take(state: dict[str, Any], price: Decimal, pieces: int | None) -> dict[str, Any]:
    return {"sum": state["sum"] - price * (pieces or 0)}


def total(state: dict[str, Any]) -> Any:
    return state["sum"]


def taken(**changed: Any) -> Measure:
    """The right fold, some of it changed."""
    given: dict[str, Any] = {"initial": {"sum": Decimal(0)}, "add": put, "remove": take, "result": total}
    given |= {"of": ["price", "pieces"], "state": {"sum": MONEY}, "type": MONEY, **changed}
    return fold(given.pop("initial"), given.pop("add"), given.pop("remove"), given.pop("result"), **given)


def by_shop(measure: Measure) -> Callable[[Stream], Stream]:
    return lambda stream: stream.aggregate(by=["shop"], window=whole(), taken=measure)


def found(measure: Measure) -> list[Finding]:
    return validate(Graph(by_shop(measure)(source(0)).node, (SALES,), TAKEN))


def test_a_fold_that_takes_out_what_it_put_in_is_taken_and_follows_corrections() -> None:
    assert found(taken()) == []
    harness = Harness(by_shop(taken()), inputs=[SALES], output=TAKEN)
    for at, sale, price, revision, kind in (
        (1, "a", "1.50", 1, "assert"),
        (2, "b", "2.25", 1, "assert"),
        (3, "a", "1.75", 2, "correct"),
        (4, "b", "2.25", 2, "retract"),
    ):
        fields = {"price": Decimal(price), "pieces": 2, "odd": {}, "revision": revision, "kind": kind}
        harness.at(at * 1_000_000).give(SALES, event_id=sale, sale=sale, shop="x", occurred_at=0, **fields)
    assert [record["taken"] for record in harness.records()] == [Decimal(n) for n in ("3.00", "7.50", "8.00", "3.50")]


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"remove": lambda state, price, pieces: state}, "HW-P124", "remove does not undo add"),
        (
            {"add": lambda state, price, pieces: {"sum": price}, "remove": lambda state, price, pieces: state},
            "HW-P124",
            "in another order",
        ),
        (
            {"add": lambda state, price, pieces: {"sum": state["sum"] + price * pieces}},
            "HW-P125",
            "add raises TypeError",
        ),
        ({"add": lambda state, price: state}, "HW-P125", "add raises TypeError"),
        ({"add": lambda state, price, pieces: {"sun": price}}, "HW-P126", "add gives what is no state"),
        ({"add": lambda state, price, pieces: {"sum": 1}}, "HW-P126", "add gives what is no state"),
        ({"result": lambda state: str(state["sum"])}, "HW-P126", "result gives a str"),
    ],
)
def test_a_fold_that_breaks_a_law_is_found_with_rows_that_show_it(changed: Any, code: str, said: str) -> None:
    (finding,) = found(taken(**changed))
    assert finding.code == code and said in finding.message and "taken" in finding.message
    assert finding.line and "(" in finding.why and finding.fix


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"remove": None}, "HW-P122"),
        ({"state": {}}, "HW-P122"),
        ({"state": {"sum": "lng"}}, "HW-P122"),
        ({"initial": {}}, "HW-P122"),
        ({"initial": {"sum": 0}}, "HW-P122"),
        ({"type": "lng"}, "HW-P122"),
        ({"of": "price"}, "HW-P122"),
        ({"state": {"sum": "double"}, "initial": {"sum": 0.0}}, "HW-P123"),
        ({"state": {"all": {"type": "array", "items": "double"}}, "initial": {"all": []}}, "HW-P123"),
    ],
)
def test_what_is_no_fold_is_refused_at_once(changed: Any, code: str) -> None:
    with pytest.raises(CallerFault) as fault:
        taken(**changed)
    assert fault.value.code == code and fault.value.hint


def test_fields_must_be_there_and_such_that_rows_can_be_made() -> None:
    assert [finding.code for finding in found(taken(of=["price", "peaces"]))] == ["HW-P010"]
    assert [finding.code for finding in found(taken(of=["price", "odd"]))] == ["HW-P128"]


def test_the_result_is_made_of_all_fields_that_are_folded() -> None:
    made = lineage(Graph(by_shop(taken())(source(0)).node, (SALES,), TAKEN))
    assert made["taken"] == {("shop.sales", "price"), ("shop.sales", "pieces")}


def test_another_version_begins_with_another_state_and_the_same_one_goes_on() -> None:
    def form(version: int) -> list[str]:
        again = {"add": lambda state, price, pieces: put(state, price, pieces)}
        plan = plan_of(by_shop(taken(version=version, **again)), [SALES], TAKEN, tick=100)
        return [stage.form for stage in plan.stages]

    assert form(1) == form(1) and form(1)[-1] != form(2)[-1]


def test_a_function_that_fails_in_a_run_stops_it_and_says_no_value() -> None:
    def strict(state: dict[str, Any], price: Decimal, pieces: int | None) -> dict[str, Any]:
        if price == Decimal("66.60"):
            raise ValueError(f"no {price}")
        return put(state, price, pieces)

    harness = Harness(by_shop(taken(add=strict)), inputs=[SALES], output=TAKEN)
    harness.at(1).give(SALES, event_id="a", sale="a", shop="x", occurred_at=0, price=Decimal("66.60"), pieces=1, odd={})
    with pytest.raises(CallerFault) as fault:
        harness.records()
    assert fault.value.code == "HW-P127" and "66" not in str(fault.value) + fault.value.detail


@pytest.mark.parametrize(
    ("type_", "right", "wrong"),
    [
        (FieldType("integer"), 5, True),
        (FieldType("boolean"), True, 1),
        (FieldType("double"), 5, "5"),
        (decimal_of(9, 2), Decimal("1.50"), Decimal("1.505")),
        (FieldType("string", nullable=True), None, b""),
        (FieldType("string"), "", None),
        (from_avro({"type": "array", "items": "long"}), [1], [1.5]),
        (
            from_avro({"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]}),
            {"a": 1},
            {"b": 1},
        ),
    ],
)
def test_what_fits_a_type(type_: FieldType, right: Any, wrong: Any) -> None:
    assert fits(type_, right) and not fits(type_, wrong)
