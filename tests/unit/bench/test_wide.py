"""Orders and totals as columns, against the plain oracle and Kafka's own rule of partitions."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import fastavro
import numpy as np
import pytest
from bench.filling import encode
from bench.oracle import Version
from bench.orders import Order, tick_end
from bench.wide import PER_TICK, WideLog, partitions
from bench.wide_totals import SCHEMA, Said, WideTotals, encoded, longs, read
from fastavro.schema import load_schema

from headwater.ports.keys import partition_of

UNIFORM = WideLog(events=6_000, customers=3_000)
ZIPF = WideLog(events=6_000, customers=3_000, zipf=True)


@cache
def plain(log: WideLog) -> list[Order]:
    """The same orders, one by one, as they were encoded."""
    schema = load_schema(str(SCHEMA))
    found = []
    for one in encoded(log, b"frame"):
        value = fastavro.schemaless_reader(io.BytesIO(one.body[5:]), schema, return_record_name=False)
        assert encode(schema, value) == one.body[5:]
        assert value["amount_cents"] == sum(item["quantity"] * item["price_cents"] for item in value["items"])
        moments = (round(value[name].timestamp() * 1_000_000) for name in ("occurred_at", "recorded_at"))
        occurred_at, recorded_at = moments
        assert one.key.decode() == value["customer"]
        assert one.partition == partition_of(one.key, 4)
        assert one.moment == recorded_at // 1_000
        found.append(Order(value["event_id"], value["customer"], occurred_at, value["amount_cents"], (), recorded_at))
    return found


@pytest.mark.parametrize("log", [UNIFORM, ZIPF])
def test_every_customer_orders_once_before_the_rest_and_each_reading_is_the_same(log: WideLog) -> None:
    orders = plain(log)
    assert orders == plain.__wrapped__(log)
    assert len({order.customer for order in orders[: log.customers]}) == log.customers
    assert len(orders) == log.records
    assert len({order.event_id for order in orders}) == log.records
    assert [order.recorded_at for order in orders] == sorted(order.recorded_at for order in orders)
    assert orders[-1].recorded_at <= log.through
    assert all(0 <= order.recorded_at - order.occurred_at < 60_000_000 for order in orders)


def test_a_tick_of_few_customers_has_each_of_them_once_at_most() -> None:
    orders = plain(WideLog(events=2 * PER_TICK, customers=PER_TICK))
    for start in (0, PER_TICK, 2 * PER_TICK):
        assert len({order.customer for order in orders[start : start + PER_TICK]}) == PER_TICK


def test_zipf_favours_few() -> None:
    drawn = plain(ZIPF)[ZIPF.customers :]
    assert sum(order.customer == "c00000000" for order in drawn) > 250
    assert len({order.customer for order in drawn}) > 500


@cache
def versions(log: WideLog) -> list[Version]:
    """One version per customer and tick, by adding up one order after the other."""
    totals: dict[str, Version] = {}
    published: dict[tuple[str, int], Version] = {}
    for order in plain(log):
        before = totals.get(order.customer, Version(order.customer, 0, 0, 0))
        end = tick_end(order.recorded_at)
        known = published.get((order.customer, end))
        revision = known.revision if known else before.revision + 1
        now = Version(order.customer, before.orders + 1, before.amount_cents + order.amount_cents, end, revision)
        totals[order.customer] = published[order.customer, end] = now
    return list(published.values())


def columns(some: list[Version]) -> Said:
    """As they are read back."""
    numbers = [(int(one.customer[1:]), *one[1:]) for one in some]
    return Said(*(np.array(column, np.int64) for column in zip(*numbers, strict=True)))


@pytest.mark.parametrize("log", [UNIFORM, ZIPF])
def test_right_output_is_verified_and_the_count_is_that_of_plain_addition(log: WideLog) -> None:
    right = versions(log)
    oracle = WideTotals(log)
    assert oracle.judge(columns(right)).verified, oracle.judge(columns(right)).fault
    assert oracle.outputs() == len(right)
    assert oracle.judge(columns(right)._replace(recorded_at=None, revision=None)).verified


FAULTS: dict[str, Callable[[list[Version]], list[Version]]] = {
    "a wrong sum": lambda right: [right[0]._replace(amount_cents=right[0].amount_cents + 1), *right[1:]],
    "repeated": lambda right: [right[0], *right],
    "one version per customer": lambda right: [one for one in right if one.orders != 2],
    "lack their last value": lambda right: right[:-1],
    "never written": lambda right: [right[0]._replace(customer="c00003000"), *right[1:]],
    "beyond the input": lambda right: [*right, right[-1]._replace(orders=right[-1].orders + 1)],
    "revisions": lambda right: [right[0]._replace(revision=2), *right[1:]],
    "recorded_at": lambda right: [right[0]._replace(recorded_at=right[0].recorded_at + 1), *right[1:]],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_found(fault: str) -> None:
    said = columns(FAULTS[fault](versions(UNIFORM)))
    if fault.startswith("lack"):  # of a system that has no recorded times
        said = said._replace(recorded_at=None, revision=None)
    assert fault in WideTotals(UNIFORM).judge(said).fault


def test_partitions_are_those_of_every_client() -> None:
    for width in (4, 7, 9, 11):
        names = np.random.default_rng(width).integers(0, 256, (500, width), dtype=np.uint8)
        assert partitions(names, 7).tolist() == [partition_of(name.tobytes(), 7) for name in names]


def test_longs_are_read_as_avro_has_them() -> None:
    wanted = [0, -1, 1, 63, 64, -64, -65, 300, 1_735_689_600_099_999, 2**63 - 1, -(2**63)]
    bodies = [encode("long", value) for value in wanted]
    starts = np.cumsum([0, *map(len, bodies)])
    found, ends = longs(np.frombuffer(b"".join(bodies), np.uint8), starts[:-1])
    assert found.tolist() == wanted
    assert ends.tolist() == starts[1:].tolist()
    assert len(read([], ours=True).customer) == 0
