"""`headwater demo`: the reference mesh on real data, end to end, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from headwater.contracts.environment import Environment
    from headwater.local.lake import Filled
    from headwater.local.seed import Replayed
    from headwater.local.stack import LocalStack
    from headwater.local.tally import Count, Tally
    from headwater.local.workers import Workers
    from headwater.mesh.products import Mesh, ResolvedProduct
    from headwater.settings import Settings
    from headwater.timeline.clock import Clock

ROWS_DEFAULT = "20000"
SEED_DEFAULT = 2013  # the year of the data
READY_SECONDS = 60
SILENT_SECONDS = 1.5  # nobody looks at a still terminal for two seconds
STALLED_SECONDS = 120  # without one record or mark more
COLUMNS = ("product", "records in", "records out", "corrections", "quarantined", "p50 ms", "p99 ms", "events/s")
TRY_NEXT = (
    "headwater tail airports.hourly_punctuality --limit 5 --output json",
    "headwater query airports.hourly_punctuality --key origin=JFK --valid 2013-01-01T14:00:00Z --port lake",
    "headwater status",
    "headwater down",
)


def command(
    rows: Annotated[
        str, typer.Option("--rows", help="How many flights, in order of their first report, or all.")
    ] = ROWS_DEFAULT,
    rate: Annotated[float, typer.Option("--rate", min=0, help="Reports a second; 0 is full speed.")] = 0,
    seed: Annotated[
        int, typer.Option("--seed", help="Which reports come late, wrong at first, or are withdrawn.")
    ] = SEED_DEFAULT,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove the local stack's data first.")] = False,
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print the result.")] = "text",
) -> None:
    """Replay New York's flights of 2013 through seven data products, and print what came of it.

    Starts the local stack, applies the mesh, starts relay and runner, and lets four services report what happened.
    In the end it fills the tables of the lake. Everything stays up. Run again, it passes over what was reported before
    and goes on with what was not; with --fresh it begins anew.
    """
    from headwater.cli import console
    from headwater.local.lake import fill
    from headwater.local.launch import start_stack, stop_stack
    from headwater.local.seed import end_services, start_services
    from headwater.local.stack import local_stack
    from headwater.local.tally import Tally
    from headwater.local.workers import Workers
    from headwater.mesh.load import load_mesh
    from headwater.ports.kafka import KafkaBroker
    from headwater.schemas.registry_http import HttpRegistry
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    clock = SystemClock()
    began_at = clock.monotonic()
    flights = _rows(rows)
    settings = load_settings()
    mesh = load_mesh(settings.mesh_folder)
    stack = local_stack(settings, mesh.file.databases)
    _require_local(environment_of(settings, mesh.file).local_stack)
    if fresh:
        stop_stack(stack, phases=console.phase, purge=True)
    start_stack(stack, phases=console.phase)
    with console.phase("apply: topics, subjects, outbox"):
        _apply(settings, mesh, clock)
    workers = Workers(stack, settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    broker = KafkaBroker(environment.kafka)
    registry = HttpRegistry(environment.registry_url)
    tally = Tally(broker, mesh.in_order(), registry=registry, tick=mesh.file.tick, clock=clock)
    try:
        with console.phase("relay and runner at work"):
            workers.start()
            _await_ready(tally, mesh, workers, clock)
        start_services(stack, settings.mesh_folder, rows=flights, rate=rate, seed=seed)
        replayed = _follow(stack, mesh, tally, workers, clock)
    finally:
        end_services(stack)
        tally.close()
        broker.close()
    with console.phase("the lake: tables filled from the topics"):
        filled = fill(mesh, environment, clock)
    seconds = (clock.monotonic() - began_at) / 1_000_000
    results = [_result(product, tally, replayed) for product in mesh.in_order()]
    _show(results, stack, filled, environment, output=output, rows=rows, seed=seed, seconds=seconds)


def _apply(settings: Settings, mesh: Mesh, clock: Clock) -> None:
    """What `headwater apply` does, with all changes of the mesh's own stack taken for granted."""
    from headwater.outbox.source import sources_of
    from headwater.plan.apply import apply, pending
    from headwater.plan.journal import Journal
    from headwater.plan.reach import reach
    from headwater.settings import environment_of

    journal = Journal(settings.data_folder, mesh.file.name, settings.environment, clock=clock)
    environment = environment_of(settings, mesh.file)
    with journal.held(), reach(environment, sources_of(mesh), clock=clock, mesh=mesh) as parts:
        apply(pending(mesh, parts, journal.applied), parts, journal)


def _rows(text: str) -> int | None:
    from headwater.errors import CallerFault

    if text == "all":
        return None
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise CallerFault(
        f"--rows {text[:20]} is not a number of flights", code="HW-K040", hint="headwater demo --rows 20000, or all"
    )


def _require_local(local: bool) -> None:
    from headwater.errors import CallerFault

    if not local:
        raise CallerFault(
            "the demo runs on the local stack only",
            code="HW-K041",
            detail="it writes invented lateness into a database: nothing for an environment that others use",
            hint="unset HEADWATER_ENVIRONMENT",
        )


def _await_ready(tally: Tally, mesh: Mesh, workers: Workers, clock: Clock) -> None:
    """Until every product has a first progress mark: relay and every stage are at work."""
    from headwater.errors import Unreachable

    until = clock.monotonic() + READY_SECONDS * 1_000_000
    while any(tally.settled(product) < 0 for product in mesh.products.values()):
        tally.poll(0.2)
        workers.mend()
        if clock.monotonic() > until:
            idle = [str(name) for name, product in mesh.products.items() if tally.settled(product) < 0]
            raise Unreachable(
                f"nobody works on {', '.join(idle)}",
                code="HW-K042",
                detail=f"no progress mark came within {READY_SECONDS} s",
                hint="headwater status shows where the logs of relay and run lie",
            )


def _follow(stack: LocalStack, mesh: Mesh, tally: Tally, workers: Workers, clock: Clock) -> Replayed:
    """Read on until every report is published and every product is settled past the last of them."""
    from headwater.cli import console
    from headwater.errors import Unreachable
    from headwater.local.seed import replayed

    terminal = console.err()
    began_at = shown_at = moved_at = clock.monotonic()
    state, before = replayed(stack), (-1, -1)
    while state.outbox is None or tally.outstanding(state.outbox):
        tally.poll(0.1)
        now = clock.monotonic()
        if now - shown_at < SILENT_SECONDS * 1_000_000:
            continue
        shown_at, state = now, replayed(stack)
        published = sum(tally.counts[str(p.name)].published for p in mesh.in_order() if p.product.outbox)
        derived = sum(tally.counts[str(p.name)].published for p in mesh.in_order() if not p.product.outbox)
        so_far = f"{state.done:,} of {state.of:,} reports, {published:,} published, {derived:,} derived"
        terminal.print(
            f"  {(now - began_at) / 1_000_000:4.0f} s  {so_far if state.of else 'the services read their data'}"
        )
        for name in workers.mend():
            terminal.print(f"  {name} had ended and was started again")
        if (state.done, published + derived) != before:
            before, moved_at = (state.done, published + derived), now
        if now - moved_at > STALLED_SECONDS * 1_000_000:
            raise Unreachable(
                f"nothing has moved for {STALLED_SECONDS} s",
                code="HW-K043",
                detail=tally.outstanding(state.outbox or {}),
                hint="read the logs that headwater status names; headwater demo goes on where it stopped",
            )
    return state


def _result(product: ResolvedProduct, tally: Tally, state: Replayed) -> dict[str, Any]:
    count = tally.counts[str(product.name)]
    if product.product.outbox:
        records_in = (state.outbox or {}).get(str(product.name), 0)
    else:
        records_in = sum(tally.counts[str(source.product)].published for source in product.product.inputs)
    rate = count.events_per_second
    return {
        "product": str(product.name),
        "records_in": records_in,
        "records_out": count.published,
        "corrections": count.corrections,
        "quarantined": count.quarantined,
        "latency_p50_ms": _milliseconds(count, 0.50),
        "latency_p99_ms": _milliseconds(count, 0.99),
        "events_per_second": None if rate is None else round(rate),
    }


def _milliseconds(count: Count, share: float) -> int | None:
    latency = count.latency_at(share)
    return None if latency is None else round(latency / 1_000)


def _show(
    results: Sequence[dict[str, Any]],
    stack: LocalStack,
    filled: Sequence[Filled],
    environment: Environment,
    *,
    output: str,
    rows: str,
    seed: int,
    seconds: float,
) -> None:
    from headwater.cli import console
    from headwater.local.lake import read_alone
    from headwater.local.seed import DATABASE

    addresses = {
        "Kafka": stack.kafka_address,
        "schema registry": stack.registry_url,
        "PostgreSQL": stack.postgres_address(DATABASE),
    }
    alone = _as_typed(read_alone(filled, environment), "python") if filled else ""
    if output == "json":
        console.print_json_line(
            {
                "rows": rows,
                "seed": seed,
                "seconds": round(seconds, 1),
                "products": list(results),
                "lake": [asdict(one) for one in filled],
                "addresses": addresses,
                "try_next": [_as_typed(line) for line in TRY_NEXT],
            }
        )
        return
    console.table("", COLUMNS, [list(result.values()) for result in results])
    console.out(f"latency is from the commit in PostgreSQL to the record being readable; {seconds:.0f} s in all")
    for name, address in addresses.items():
        console.out(f"  {name:<16} {address}")
    for one in filled:
        console.out(f"  {one.table:<32} {one.records:>9,} records in the lake, settled up to {one.settled_to or '-'}")
    console.out("try next:")
    for line in TRY_NEXT:
        console.out(f"  {_as_typed(line)}")
    if alone:
        console.out("the lake without Headwater, by PyIceberg and DuckDB (headwater lake run fills it on):")
        console.out(f"  {alone}")


def _as_typed(line: str, program: str = "headwater") -> str:
    """A command as it works in the caller's shell: by its path where the virtual environment is not active."""
    import os
    import shutil
    from pathlib import Path

    if shutil.which(program) and shutil.which("headwater"):
        return line
    path = os.path.relpath(Path(sys.executable).parent, Path.cwd())
    return f"{path}/{line}"
