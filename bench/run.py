"""The workloads: their inputs, the systems beside each other, and the rounds in turns, A B A B."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from bench import latency
from bench.drain import failed, measure
from bench.durability import survived
from bench.filling import fill
from bench.folding import Workload, workloads
from bench.kafka import Kafka
from bench.machine import describe
from bench.oracle import RowsOracle
from bench.outbox import load
from bench.outbox_rows import OutboxLog
from bench.report import Round, Series, entry
from bench.stack import ROOT, Stack
from bench.systems.debezium import Debezium
from bench.systems.headwater import HeadwaterRelay, HeadwaterRun
from bench.systems.protocol import System

WORKLOADS = ("W1", *workloads(1, full=False))

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Size:
    """How much a run does; the first `discarded` rounds warm the broker and the page cache and do not count."""

    rows: int
    events: int
    rounds: int
    discarded: int
    latency_seconds: float
    full: bool = False


SIZES = {
    "small": Size(rows=100_000, events=200_000, rounds=2, discarded=0, latency_seconds=5.0),
    "full": Size(rows=1_000_000, events=5_000_000, rounds=6, discarded=1, latency_seconds=60.0, full=True),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for: workloads, and systems by name (empty: those that `SYSTEMS` of the workload lists)."""

    workloads: tuple[str, ...]
    systems: tuple[str, ...] = ()

    def takes(self, system: System) -> bool:
        """Whether a system is wanted; the peers' default settings are run only where they are named."""
        return system.name in self.systems if self.systems else not system.name.endswith("-defaults")


def chosen(only: str, names: Sequence[str] = ()) -> tuple[str, ...]:
    """The workloads that a name means.

    >>> chosen("W2"), chosen("W1"), chosen("")
    (('W2a', 'W2b'), ('W1',), ('W1', 'W2a', 'W2b'))
    """
    names = names or WORKLOADS
    if only in ("", "W2"):  # what took place first, and what there are targets against a rival for
        return tuple(name for name in names if name in ("W1", "W2a", "W2b") and name.startswith(only))
    found = tuple(name for name in names if name.startswith(only))
    if not found:
        raise ValueError(f"there is no workload '{only}'; there are {', '.join(names)} and W9")
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
    workload = workloads(size.events, full=size.full)[name]()
    tell(f"{name}: {dict(workload.about)}")
    stack.call("apply", "--yes")
    filled = {feed.topic: fill(kafka, stack.registry_url, feed) for feed in workload.feeds}
    inputs = {topic: count for topic, (count, _) in filled.items()}
    about = {**workload.about, "value_bytes": {topic: round(mean) for topic, (_, mean) in filled.items()}}
    systems = [system for system in workload.systems(stack, kafka, inputs) if selection.takes(system)]
    events = sum(inputs.values())
    series = _in_turns(name, systems, size, stack=stack, events=events, workload=about, tell=tell)
    found = [_with_durability(one, system, stack, tell) for one, system in zip(series, systems, strict=True)]
    _emptied(kafka, workload)
    return found


def _with_durability(series: Series, system: System, stack: Stack, tell: Tell) -> Series:
    """Headwater's series with what two kills and a loss of the local state did to it."""
    if not isinstance(system, HeadwaterRun) or any(one.fault for one in series.rounds):
        return series
    found = survived(system, stack, events=series.events)
    tell(f"{series.workload} killed twice: {found}")
    return replace(series, durability=found)


def _emptied(kafka: Kafka, workload: Workload) -> None:
    """The next workload's input starts at offset 0 again."""
    mine = tuple(feed.topic for feed in workload.feeds)
    kafka.delete([name for name in kafka.topics() if name in mine or name.startswith(tuple(f"{one}." for one in mine))])


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
