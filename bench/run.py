"""The workloads: their inputs, the systems beside each other, and the rounds in turns, A B A B."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from bench import latency
from bench.drain import FAULTS, failed, measure
from bench.durability import survived
from bench.filling import fill
from bench.kafka import Kafka
from bench.machine import describe
from bench.oracle import RowsOracle
from bench.outbox import load
from bench.outbox_rows import OutboxLog
from bench.plan import Selection, Size, Tell, emptied, installed, mesh_of, workload
from bench.report import REFUSED, Round, Series, entry, unmeasured
from bench.special import pipeline, restores
from bench.stack import MESH, ROOT, Stack
from bench.systems.debezium import Debezium
from bench.systems.headwater import HeadwaterRelay, HeadwaterRun
from bench.systems.headwater_elsewhere import elsewhere
from bench.systems.protocol import System

LATENCY_SHAPES = {"alone": 1, "tens": 10}  # rows to a transaction


def run(
    selection: Selection,
    size: Size,
    tell: Tell,
    keep: Callable[[list[dict[str, Any]]], None] = lambda entries: None,
) -> list[dict[str, Any]]:
    """All chosen workloads on a fresh stack; one entry per workload and system.

    `keep` is given all entries so far after each workload. One that fails as a whole is an entry that says so, and the
    next ones are run.
    """
    about = {"machine": describe(), "commit": _commit()}
    entries: list[dict[str, Any]] = []
    for mesh, names in groupby(selection.workloads, key=mesh_of):
        with fresh_stack(tell, mesh) as (stack, kafka):
            for name in names:
                made = _entries(name, selection, size, stack=stack, kafka=kafka, tell=tell)
                entries += [{**one, **about} for one in made]
                keep(entries)
    return entries


def _entries(
    name: str, selection: Selection, size: Size, *, stack: Stack, kafka: Kafka, tell: Tell
) -> list[dict[str, Any]]:
    try:
        return _measured(name, selection, size, stack=stack, kafka=kafka, tell=tell)
    except FAULTS as error:
        tell(f"{name} FAILED: {error}")
        return [unmeasured(name, str(error) or type(error).__name__)]


def _measured(
    name: str, selection: Selection, size: Size, *, stack: Stack, kafka: Kafka, tell: Tell
) -> list[dict[str, Any]]:
    if name in ("W8", "W10"):
        make = restores if name == "W8" else pipeline
        return make(selection, size, stack=stack, kafka=kafka, tell=tell)
    rounds = _rounds_of_rows if name == "W1" else _rounds_of_orders
    return [entry(one) for one in rounds(name, selection, size, stack=stack, kafka=kafka, tell=tell)]


@contextmanager
def fresh_stack(tell: Tell, mesh: Path = MESH) -> Iterator[tuple[Stack, Kafka]]:
    """A stack without a past, its mesh applied; gone afterwards."""
    stack = Stack(mesh)
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
    made = workload(name, size)
    tell(f"{name}: {dict(made.about)}")
    stack.call("apply", "--yes")
    filled = {feed.topic: fill(kafka, stack.registry_url, feed) for feed in made.feeds}
    inputs = {topic: count for topic, (count, _) in filled.items()}
    about = {**made.about, "value_bytes": {topic: round(mean) for topic, (_, mean) in filled.items()}}
    every = made.systems(stack, kafka, inputs)
    systems = [system for system in (*every, *elsewhere(every)) if selection.takes(system)]
    events = sum(inputs.values())
    series = _in_turns(name, systems, size, stack=stack, events=events, workload=about, tell=tell, warm=made.warm)
    if not made.warm:  # W2c is W2a with more keys, and its rounds are long
        series = [_with_durability(one, system, stack, tell) for one, system in zip(series, systems, strict=True)]
    emptied(kafka, made, tell)
    return series


def _with_durability(series: Series, system: System, stack: Stack, tell: Tell) -> Series:
    """Headwater's series with what two kills and a loss of the local state did to it."""
    if type(system) is not HeadwaterRun or any(one.fault for one in series.rounds):
        return series
    found = survived(system, stack, events=series.events)
    tell(f"{series.workload} killed twice: {found}")
    return replace(series, durability=found)


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
    """The same with the second figure of W1, for rows that are a transaction each and for ten to a transaction; a
    system whose output was wrong has none.
    """
    if any(one.fault for one in series.rounds):
        return series
    by_shape: dict[str, Any] = {}
    for number, (shape, together) in enumerate(LATENCY_SHAPES.items()):
        load_ = latency.Load(rows_per_transaction=together, round=number)
        try:
            found = latency.measure(system, stack, kafka, system.topic, seconds=size.latency_seconds, load=load_)
        except (RuntimeError, TimeoutError, OSError) as error:
            found = {"fault": str(error)}
        tell(f"W1 latency, {shape}: {system.name}: {found}")
        by_shape[shape] = found
    return replace(series, latency_ms=by_shape)


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
    warm: int = 0,
) -> list[Series]:
    """A B A B: what changes on the machine in the meantime meets all of them."""
    broken = dict(installed(systems))
    rounds: dict[str, list[Round]] = {system.name: [] for system in systems}
    for number in range(size.rounds):
        before(number)
        for system in systems:
            fault = broken.get(system.name)
            done = failed(fault) if fault else measure(system, stack, events=events, round_=number, warm=warm)
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


def _said(done: Round) -> str:
    if done.fault:
        return done.fault if done.fault.startswith(REFUSED) else f"FAILED: {done.fault}"
    return f"{done.events_per_second:,.0f}/s, {done.cpu_seconds:.1f} CPU-s, {done.seconds:.1f} s, verified"


def _commit() -> str:
    shown = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()
