"""The workloads that fold and join orders: what goes into which topic, the systems, and who judges them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import Message

from bench import history, readings
from bench.amendments import AmendedLog, CustomerLog
from bench.filling import ORDERS, Feed, order_feed
from bench.history import Demand, History
from bench.kafka import Kafka
from bench.oracle import Mode, TotalsOracle, Verdict
from bench.orders import OrderLog
from bench.stack import MESH, Stack
from bench.systems.headwater import HeadwaterRun
from bench.systems.kafka_streams import KafkaStreams, Topology
from bench.systems.protocol import System
from bench.systems.python_rivals import PythonRival
from headwater.naming import ProductName

AMENDED = ProductName("shop", "amended")
CUSTOMERS = ProductName("shop", "customers")
SPARSE = 3_000  # ticks from one with orders to the next on W3: five minutes, so that a million orders span a week
GRACE_MS = 30 * 24 * 3_600_000
DAY_MS = 24 * 3_600_000

Judge = Callable[[Iterable[Message]], Verdict]


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload, ready: its input is generated anew for each reading, its oracle is in memory.

    The first `warm` events are not measured.
    """

    feeds: Sequence[Feed]
    about: Mapping[str, Any]
    systems: Callable[[Stack, Kafka, Mapping[str, int]], Sequence[System]]
    warm: int = 0


def keyed_totals(events: int, *, per_tick: int, cached: bool) -> Workload:
    """W2a and W2b: a running count and sum per customer."""
    distinct = not cached
    log = OrderLog(events, orders_per_tick=per_tick, distinct=distinct)
    oracle = TotalsOracle(log)
    mode: Mode = "each" if distinct else "per_tick"
    about = {
        **_about(log),
        "keys": "uniform",
        "keys_seen": len(oracle.amounts),
        "outputs_per_input": round(oracle.outputs_per_tick() / events, 3),
    }

    def systems(stack: Stack, kafka: Kafka, inputs: Mapping[str, int]) -> Sequence[System]:
        def theirs(messages: Iterable[Message]) -> Verdict:
            return oracle.judge(readings.streams_totals(messages), "some" if cached else "each")

        def ours(messages: Iterable[Message]) -> Verdict:
            return oracle.judge(readings.totals(messages), mode)

        topology = Topology("Totals", inputs, theirs, cached=cached)
        return [
            HeadwaterRun(stack, kafka, ProductName("shop", "totals"), inputs, ours),
            KafkaStreams(stack, kafka, topology),
            KafkaStreams(stack, kafka, topology, tuned=False),
            *(PythonRival(name, stack, kafka, inputs, theirs) for name in ("quix", "faust") if not cached),
        ]

    return Workload([order_feed(log.orders(), log.through)], about, systems)


def amended_totals(events: int) -> Workload:
    """W2d: W2a with orders of which 1 % are corrected and 0.1 % taken back. No peer can do it."""
    log = AmendedLog(OrderLog(events))
    oracle = History(history.sums(log.orders(), history.by_customer))
    feed = order_feed(log.orders(), log.through, product=AMENDED, schema="Amended")
    about = {**_about(log.base), "corrected_per_mille": 10, "retracted_per_mille": 1, "outputs": oracle.count()}
    return Workload([feed], about, partial(_alone, "amended_totals", _judge(oracle, readings.amended_totals)))


def hours(events: int) -> Workload:
    """W3: count and sum per customer and hour of valid time, 2 % late by ten minutes to three days."""
    log = OrderLog(events, customers=1_000, orders_per_tick=500, ticks_apart=SPARSE, late_per_mille=20)
    oracle = History(history.sums(log.orders(), history.by_hour))
    about = {**_about(log), "late_per_mille": 20, "customer_hours": len(oracle.versions), "outputs": oracle.count()}

    def systems(stack: Stack, kafka: Kafka, inputs: Mapping[str, int]) -> Sequence[System]:
        def peer(grace_ms: int, name: str = "") -> KafkaStreams:
            theirs = _judge(oracle, readings.streams_hours, "share" if name else "some")
            return KafkaStreams(
                stack, kafka, Topology("Hours", inputs, theirs, {"bench.grace.ms": grace_ms}), name=name
            )

        ours = _alone("hours", _judge(oracle, readings.hours), stack, kafka, inputs)
        return [*ours, peer(GRACE_MS), peer(DAY_MS, "kafka-streams-grace-1d"), peer(0, "kafka-streams-no-grace")]

    return Workload([order_feed(log.orders(), log.through)], about, systems)


def enriched(events: int, *, customers: int) -> Workload:
    """W4: orders joined as of valid time with their customers, of which 1 % are corrected on the way."""
    log = OrderLog(events, customers=customers, distinct=False)
    dimension = CustomerLog(log)
    oracle = History(history.enriched(log.orders(), dimension.customers()))
    facts = Feed(
        CUSTOMERS,
        MESH / "schemas" / "avro" / "shop" / "customers" / "Customer.avsc",
        ((one.customer, one.recorded_at, {**one._asdict(), "valid_to": None}) for one in dimension.customers()),
        log.through,
    )
    again = oracle.count() - events
    about = {**_about(log), "customers_corrected": customers // 100, "outputs": oracle.count(), "joined_again": again}

    def systems(stack: Stack, kafka: Kafka, inputs: Mapping[str, int]) -> Sequence[System]:
        theirs = _judge(oracle, readings.streams_enriched, "some")
        topology = Topology("Enriched", inputs, theirs, {"bench.table": facts.topic})
        ours = _alone("enriched", _judge(oracle, readings.enriched), stack, kafka, inputs)
        return [*ours, KafkaStreams(stack, kafka, topology)]

    return Workload([order_feed(log.orders(), log.through), facts], about, systems)


def _alone(name: str, judge: Judge, stack: Stack, kafka: Kafka, inputs: Mapping[str, int]) -> Sequence[System]:
    return [HeadwaterRun(stack, kafka, ProductName("shop", name), inputs, judge)]


def _judge(
    oracle: History, read: Callable[[Iterable[Message]], Iterable[history.Said]], demand: Demand = "exact"
) -> Judge:
    return lambda messages: oracle.judge(read(messages), demand=demand)


def _about(log: OrderLog) -> dict[str, Any]:
    return {
        "topic": str(ORDERS),
        "customers": log.customers,
        "recorded_per_second": round(log.orders_per_tick * 10 / log.ticks_apart, 2),
        "seed": log.seed,
    }


def workloads(events: int, *, full: bool) -> Mapping[str, Callable[[], Workload]]:
    """Every workload of this family by its name, made when it is called."""
    made: dict[str, Callable[[], Workload]] = {
        "W2a": partial(keyed_totals, events, per_tick=5_000, cached=False),
        "W2b": partial(keyed_totals, events, per_tick=50_000, cached=True),
    }
    made["W2d"] = partial(amended_totals, events)
    made["W3"] = partial(hours, events)
    made["W4"] = partial(enriched, events, customers=100_000 if full else 20_000)
    return made
