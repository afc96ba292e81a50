"""A run whose output is wrong in any way has no time: the judges find each kind of fault."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from bench.oracle import Mode, Published, RowsOracle, TotalsOracle, Version
from bench.orders import OrderLog, tick_end
from bench.outbox_rows import OutboxLog

DENSE = OrderLog(events=400, customers=20, orders_per_tick=100, distinct=False)
ROWS = OutboxLog(rows=300, round=0, customers=10)


def versions(mode: Mode) -> list[Version]:
    """What a right system publishes: one version per order, or per customer and tick."""
    totals: dict[str, Version] = {}
    published: dict[tuple[str, int], Version] = {}
    revisions: dict[str, int] = {}
    for number, order in enumerate(DENSE.orders()):
        before = totals.get(order.customer, Version(order.customer, 0, 0, 0))
        end = tick_end(order.recorded_at)
        now = Version(order.customer, before.orders + 1, before.amount_cents + order.amount_cents, end)
        totals[order.customer] = now
        published[(order.customer, number if mode == "each" else end)] = now
    numbered = []
    for version in published.values():
        revisions[version.customer] = revisions.get(version.customer, 0) + 1
        numbered.append(version._replace(revision=revisions[version.customer]))
    return numbered


@pytest.mark.parametrize("mode", ["each", "per_tick"])
def test_right_output_is_verified(mode: Mode) -> None:
    verdict = TotalsOracle(DENSE).judge(versions(mode), mode)
    assert verdict.verified, verdict.fault
    assert verdict.outputs == (400 if mode == "each" else TotalsOracle(DENSE).outputs_per_tick())


def test_some_versions_are_enough_for_a_system_that_merges_them_but_the_last_must_be_there() -> None:
    oracle = TotalsOracle(DENSE)
    merged = {version.customer: version._replace(revision=0) for version in versions("each")}
    assert oracle.judge(merged.values(), "some").verified
    assert "lack their last value" in oracle.judge(list(merged.values())[1:], "some").fault


FAULTS: dict[str, Callable[[list[Version]], list[Version]]] = {
    "a wrong sum": lambda right: [right[0]._replace(amount_cents=right[0].amount_cents + 1), *right[1:]],
    "repeated": lambda right: [right[0], *right],
    "is missing": lambda right: [version for version in right if version.orders != 7],
    "lack their last value": lambda right: right[:-1],
    "never written": lambda right: [right[0]._replace(customer="nobody"), *right[1:]],
    "revisions": lambda right: [right[0]._replace(revision=2), *right[1:]],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_an_output_per_order_is_found(fault: str) -> None:
    assert fault in TotalsOracle(DENSE).judge(FAULTS[fault](versions("each")), "each").fault


def test_a_version_inside_a_tick_is_a_fault_where_one_per_tick_is_promised() -> None:
    assert "before the end of its tick" in TotalsOracle(DENSE).judge(versions("each"), "per_tick").fault


def test_a_tick_without_its_version_is_a_fault() -> None:
    right = versions("per_tick")
    first = right[0]
    second = next(version for version in right if version.customer == first.customer and version.revision == 2)
    wrong = [version._replace(revision=0) for version in right if version not in (first, second)]
    assert "missing" in TotalsOracle(DENSE).judge(wrong, "per_tick").fault


def test_a_version_must_bear_the_end_of_its_tick() -> None:
    right = versions("per_tick")
    wrong = [right[0]._replace(recorded_at=right[0].recorded_at - 1), *right[1:]]
    assert "recorded_at" in TotalsOracle(DENSE).judge(wrong, "per_tick").fault


def published() -> list[Published]:
    """What a right relay publishes."""
    rows = []
    for transaction in ROWS.transactions():
        for row in transaction:
            order = json.loads(row.payload)
            items = tuple((item["sku"], item["quantity"], item["price_cents"]) for item in order["items"])
            rows.append(Published(row.id, row.customer, order["occurred_at"], order["amount_cents"], items))
    return rows


ROW_FAULTS: dict[str, Callable[[list[Published]], list[Published]]] = {
    "published twice": lambda right: [*right, right[5]],
    "1 rows are missing": lambda right: right[1:],
    "never committed": lambda right: [right[0]._replace(id="other"), *right[1:]],
    "content": lambda right: [right[0]._replace(amount_cents=-1), *right[1:]],
    "out of order": lambda right: right[::-1],
}


def test_rows_that_arrived_once_whole_and_in_order_are_verified() -> None:
    by_customer = sorted(published(), key=lambda row: row.customer)  # partitions are read one after the other
    verdict = RowsOracle(ROWS).judge(by_customer)
    assert verdict.verified, verdict.fault


@pytest.mark.parametrize("fault", ROW_FAULTS)
def test_every_fault_of_published_rows_is_found(fault: str) -> None:
    assert fault in RowsOracle(ROWS).judge(ROW_FAULTS[fault](published())).fault
