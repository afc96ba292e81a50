"""The workloads: their inputs, the systems beside each other, and the rounds in turns, A B A B."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from bench import latency
from bench.drain import failed, measure
from bench.filling import INPUT_TOPIC, ORDERS, fill
from bench.kafka import Kafka
from bench.machine import describe
from bench.oracle import RowsOracle, TotalsOracle
from bench.orders import OrderLog
from bench.outbox import load
from bench.outbox_rows import OutboxLog
from bench.report import Round, Series, entry
from bench.stack import MESH, ROOT, Stack
from bench.systems.debezium import Debezium
from bench.systems.headwater import HeadwaterRelay, HeadwaterRun
from bench.systems.kafka_streams import KafkaStreams
from bench.systems.protocol import System
from headwater import naming

WORKLOADS = ("W1", "W2a", "W2b")
ORDER_SCHEMA = MESH / "schemas" / "avro" / "shop" / "orders" / "Order.avsc"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Size:
    """How much a run does; the first `discarded` rounds warm the broker and the page cache and do not count."""

    rows: int
    events: int
    rounds: int
    discarded: int
    latency_seconds: float


SIZES = {
    "small": Size(rows=100_000, events=200_000, rounds=2, discarded=0, latency_seconds=5.0),
    "full": Size(rows=1_000_000, events=5_000_000, rounds=6, discarded=1, latency_seconds=60.0),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for: workloads, and systems by name (empty: those that `SYSTEMS` of the workload lists)."""

    workloads: tuple[str, ...]
    systems: tuple[str, ...] = ()

    def takes(self, system: System) -> bool:
        """Whether a system is wanted; the peers' default settings are run only where they are named."""
        return system.name in self.systems if self.systems else not system.name.endswith("-defaults")


def chosen(only: str) -> tuple[str, ...]:
    """The workloads that a name means.

    >>> chosen("W2"), chosen("W1"), chosen("")
    (('W2a', 'W2b'), ('W1',), ('W1', 'W2a', 'W2b'))
    """
    found = tuple(name for name in WORKLOADS if name.startswith(only))
    if not found:
        raise ValueError(f"there is no workload '{only}'; there are W1, W2 (W2a and W2b)")
    return found


def run(selection: Selection, size: Size, tell: Tell) -> list[dict[str, Any]]:
    """All chosen workloads on a fresh stack; one entry per workload and system."""
    about = {"machine": describe(), "commit": _commit()}
    with fresh_stack(tell) as (stack, kafka):
        series: list[Series] = []
        for name in selection.workloads:
            make = _rounds_of_rows if name == "W1" else _rounds_of_orders
            series += make(name, selection, size, stack=stack, kafka=kafka, tell=tell)
    return [{**entry(one), **about} for one in series]


@contextmanager
def fresh_stack(tell: Tell) -> Iterator[tuple[Stack, Kafka]]:
    """A stack without a past, its mesh applied; gone afterwards."""
    stack = Stack()
    tell("a fresh local stack on core 0")
    stack.down()
    try:
        kafka = stack.up()
        stack.call("apply", "--yes")
        yield stack, kafka
    finally:
        stack.down()


def _rounds_of_orders(
    name: str, selection: Selection, size: Size, *, stack: Stack, kafka: Kafka, tell: Tell
) -> list[Series]:
    if name == "W2a":
        log = OrderLog(events=size.events, orders_per_tick=5_000, distinct=True)
    else:
        log = OrderLog(events=size.events, orders_per_tick=50_000, distinct=False)
    tell(f"{name}: {log.events:,} seeded orders, {log.customers:,} customers, {log.orders_per_tick:,} a tick")
    source = naming.topic(ORDERS, 1)
    kafka.delete([topic for topic in kafka.topics() if topic == source or topic.startswith(f"{source}.")])
    stack.call("apply", "--yes")
    value_bytes = fill(kafka, stack.registry_url, ORDER_SCHEMA, log)
    oracle = TotalsOracle(log)
    cached = name == "W2b"
    systems = [
        HeadwaterRun(stack, kafka, oracle, mode="per_tick" if cached else "each"),
        KafkaStreams(stack, kafka, oracle, cached=cached),
        KafkaStreams(stack, kafka, oracle, cached=cached, tuned=False),
    ]
    workload = {
        "topic": INPUT_TOPIC,
        "value_bytes": round(value_bytes),
        "customers": log.customers,
        "recorded_per_second": log.orders_per_tick * 10,
        "outputs_per_input": round(oracle.outputs_per_tick() / log.events, 3),
        "seed": log.seed,
    }
    wanted = [system for system in systems if selection.takes(system)]
    return _in_turns(name, wanted, size, stack=stack, events=log.events, workload=workload, tell=tell)


def _rounds_of_rows(
    name: str, selection: Selection, size: Size, *, stack: Stack, kafka: Kafka, tell: Tell
) -> list[Series]:
    systems = [system for system in (HeadwaterRelay(stack, kafka), Debezium(stack, kafka)) if selection.takes(system)]
    log = OutboxLog(size.rows, round=0)

    def before(round_: int) -> None:
        rows = OutboxLog(size.rows, round=round_)
        tell(f"{name}: committing {rows.rows:,} outbox rows")
        oracle = RowsOracle(rows)
        for system in systems:
            system.expect(rows, oracle)
        load(stack.postgres("shop"), rows)

    workload = {"rows_per_transaction": "1-100", "customers": log.customers, "seed": log.seed}
    series = _in_turns(name, systems, size, stack=stack, events=size.rows, workload=workload, tell=tell, before=before)
    return [_with_latency(one, system, size, stack, kafka, tell) for one, system in zip(series, systems, strict=True)]


def _with_latency(
    series: Series, system: HeadwaterRelay | Debezium, size: Size, stack: Stack, kafka: Kafka, tell: Tell
) -> Series:
    """The same with the second figure of W1; a system whose output was wrong has none."""
    if any(one.fault for one in series.rounds):
        return series
    try:
        found = latency.measure(system, stack, kafka, system.topic, seconds=size.latency_seconds)
    except (RuntimeError, TimeoutError, OSError) as error:
        found = {"fault": str(error)}
    tell(f"W1 latency: {system.name}: {found}")
    return replace(series, latency_ms=found)


def _in_turns(
    name: str,
    systems: Sequence[System],
    size: Size,
    *,
    stack: Stack,
    events: int,
    workload: dict[str, Any],
    tell: Tell,
    before: Callable[[int], None] = lambda round_: None,
) -> list[Series]:
    """A B A B: what changes on the machine in the meantime meets all of them."""
    broken = dict(_install(systems))
    rounds: dict[str, list[Round]] = {system.name: [] for system in systems}
    for number in range(size.rounds):
        before(number)
        for system in systems:
            fault = broken.get(system.name)
            done = failed(fault) if fault else measure(system, stack, events=events, round_=number)
            rounds[system.name].append(done)
            tell(f"{name} round {number + 1} of {size.rounds}: {system.name}: {_said(done)}")
            if done.fault:
                # A system whose output is wrong has no figure any more; what it left behind would spoil the next round.
                broken[system.name] = done.fault
    return [
        Series(
            workload=name,
            system=system.name,
            version=system.version(),
            events=events,
            rounds=rounds[system.name],
            settings={**system.settings(), "workload": workload},
            discarded=size.discarded,
        )
        for system in systems
    ]


def _install(systems: Iterable[System]) -> Iterator[tuple[str, str]]:
    for system in systems:
        try:
            system.install()
        except Exception as error:  # a rival that cannot be had must not end the others' run
            yield system.name, f"cannot be installed: {error}"


def _said(done: Round) -> str:
    if done.fault:
        return f"FAILED: {done.fault}"
    return f"{done.events_per_second:,.0f}/s, {done.cpu_seconds:.1f} CPU-s, {done.seconds:.1f} s, verified"


def _commit() -> str:
    shown = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()
