"""`headwater relay`: publish committed outbox rows until stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from headwater.cli.console import Seldom
from headwater.cli.relay_reconcile import reconcile
from headwater.cli.relay_repair import repair
from headwater.cli.relay_tidy import tidy

if TYPE_CHECKING:
    from headwater.contracts.environment import Environment, MeshFile
    from headwater.hooks import Hooks, Listener
    from headwater.outbox.capturing import Capturing
    from headwater.outbox.relay import Relay
    from headwater.outbox.source import OutboxSource
    from headwater.outbox.store import OutboxStore
    from headwater.ports.protocol import Broker
    from headwater.schemas.registry import Finder
    from headwater.stopping import Stopping
    from headwater.timeline.clock import Clock

GARBAGE_THRESHOLD = 100_000  # new containers between two looks for cycles; Python's own is 700 to 2,000
STOP_SECONDS = 0.7  # how long a stop waits for the transaction under way; then the next start ends it


app = typer.Typer(invoke_without_command=True)
app.command()(reconcile)
app.command()(repair)
app.command()(tidy)


@app.callback()
def serve(
    context: typer.Context,
    source: Annotated[
        list[str] | None,
        typer.Option("--source", help="Only this outbox, as operations.public.outbox, or this database."),
    ] = None,
    lane: Annotated[
        str, typer.Option("--lane", help="native or debezium, whatever the contracts say: before a move between them.")
    ] = "",
    metrics_port: Annotated[
        int, typer.Option("--metrics-port", min=0, max=65535, help="Serve Prometheus metrics on loopback; 0: do not.")
    ] = 0,
) -> None:
    """Publish the committed rows of all outboxes of the mesh, exactly once, until SIGTERM or Ctrl-C.

    Kill it at any moment and start it again. It creates nothing: where a topic, schema, slot or position is missing it
    names it and refuses. Where the database or Kafka is away it waits, says so once, and goes on when they are back.
    An outbox that cannot go on is reported and left; the others are served on, and the exit code at the end tells.
    """
    if context.invoked_subcommand is not None:
        return
    import gc
    import os
    import sys

    from headwater.cli import console
    from headwater.hooks import Hooks, arm
    from headwater.mesh.load import load_mesh
    from headwater.outbox.relay import Relay, RelayOptions
    from headwater.outbox.serving import serve_all
    from headwater.outbox.source import address_of, chosen_sources
    from headwater.ports.kafka import KafkaBroker
    from headwater.schemas.registry_lookup import QuickFinder
    from headwater.settings import environment_of, load_settings
    from headwater.stopping import Stopping
    from headwater.timeline.clock import SystemClock

    settings, clock = load_settings(), SystemClock()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    hooks = Hooks([_Reporter(console.tell), *([_served_metrics(metrics_port)] if metrics_port else [])])

    def relay(outbox: OutboxSource) -> Relay:
        address = address_of(environment.databases, outbox.database)
        broker = KafkaBroker(environment.kafka, clock=clock, hooks=hooks)
        store: OutboxStore
        capturing: Capturing | None = None
        if outbox.captured:
            store, capturing = _captured(outbox, address, clock)
        else:
            store = _store(outbox, lane or outbox.lane, address, broker, clock)
        return Relay(
            outbox,
            store,
            broker,
            QuickFinder(environment.registry_url, lambda: _whole_registry(environment.registry_url)),
            clock=clock,
            hooks=hooks,
            failpoint=arm(settings.failpoint),
            options=RelayOptions(tick=mesh.file.tick, capturing=capturing),
        )

    chosen = chosen_sources(mesh, source or [])
    relays = [relay(outbox) for outbox in chosen]
    stopping = Stopping().on_signals()
    console.tell(f"relaying {', '.join(r.source.name for r in relays)}; SIGTERM or Ctrl-C stops")
    # Rows are plain containers without cycles: looking for cycles among them is wasted.
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    for outbox in chosen:
        if (lane or outbox.lane) == "native" and not outbox.captured:
            _keep_house(outbox, environment, mesh.file, hooks, stopping)
    failures = serve_all(relays, stopping, hooks=hooks, stop_seconds=STOP_SECONDS)
    if failures:
        raise failures[-1]
    # No waiting for clients to take their leave: what is under way and not committed is ended by whoever relays next.
    sys.stderr.flush()
    os._exit(0)


def _served_metrics(port: int) -> Listener:
    from headwater.observability.prometheus import PrometheusListener

    metrics = PrometheusListener()
    metrics.serve(port)
    return metrics


def _store(outbox: OutboxSource, lane: str, address: str, broker: Broker, clock: Clock) -> OutboxStore:
    """What the relay reads: the database's log, or what Debezium captured of it."""
    from headwater.outbox.companion_postgres import PostgresCompanion
    from headwater.outbox.store_debezium import DebeziumOutbox
    from headwater.outbox.store_postgres import PostgresOutbox

    if lane == "native":
        return PostgresOutbox(address, database=outbox.database, table=outbox.table, clock=clock)
    return DebeziumOutbox(
        broker,
        lambda: PostgresCompanion(address, database=outbox.database, table=outbox.table),
        source=outbox.name,
        table=outbox.table,
        clock=clock,
    )


def _captured(outbox: OutboxSource, address: str, clock: Clock) -> tuple[OutboxStore, Capturing]:
    """A service's own table, and what makes rows of it."""
    from headwater.outbox.capture_postgres import PostgresTable
    from headwater.outbox.capturing import Capturing

    table = PostgresTable(address, database=outbox.database, table=outbox.table, clock=clock)
    return table, Capturing.of_files(outbox.name, outbox.table, table, outbox.products)


def _whole_registry(url: str) -> Finder:
    """Loaded only where it is needed: it brings more libraries than all else of the relay."""
    from headwater.schemas.registry_http import HttpRegistry

    return HttpRegistry(url)


def _keep_house(
    outbox: OutboxSource, environment: Environment, file: MeshFile, hooks: Hooks, stopping: Stopping
) -> None:
    """In a thread of its own, which the relay neither waits for nor falls with."""
    import threading

    from headwater.outbox.housekeeping import Housekeeping
    from headwater.outbox.housekeeping_postgres import PostgresHousekeeper
    from headwater.outbox.source import address_of
    from headwater.outbox.starting import read_position
    from headwater.ports.kafka import KafkaBroker
    from headwater.timeline.clock import SystemClock

    clock, address = SystemClock(), address_of(environment.databases, outbox.database)
    broker = KafkaBroker(environment.kafka, clock=clock)
    kept = Housekeeping(
        outbox.name,
        lambda: PostgresHousekeeper(address, database=outbox.database, table=outbox.table, clock=clock),
        lambda: read_position(broker, outbox.name),
        clock=clock,
        hooks=hooks,
        retention=file.outbox_retention,
        alarm_bytes=file.outbox_log_alarm_bytes,
    )
    threading.Thread(target=kept.run, args=[stopping.is_set], name=f"house {outbox.name}", daemon=True).start()


def _megabytes(size: object) -> str:
    return f"{int(str(size)) / 1e6:,.0f} MB"


class _Reporter:
    """Says what a person wants to know: each trouble of a source once until something else happens to it."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last: dict[object, str] = {}
        self._aside = Seldom()
        self._loading = Seldom()

    def __call__(self, happening: str, fields: dict[str, object]) -> None:
        text, source = "", fields.get("source")
        if happening == "relay.started":
            text = f"{source}: reading"
        elif happening == "relay.waiting":
            text = f"{source}: {fields['reason']}; trying again [{fields['code']}]"
        elif happening == "relay.retaining":
            limit = f", of {_megabytes(fields['limit_bytes'])} at most" if fields["limit_bytes"] else ""
            text = f"{source}: ALARM: its slot holds back {_megabytes(fields['retained_bytes'])} of the database's log"
            text += f"{limit}; beyond that the server lets go of it" if limit else ""
        elif happening == "relay.untidy":
            text = f"{source}: {fields['reason']}; publishing goes on [{fields['code']}]\nfix: {fields['hint']}"
        elif happening == "relay.failed" and fields["others"]:  # the last one's reason is the command's own error
            text = f"{source}: stopped; the other sources go on: {fields['reason']} [{fields['code']}]\n"
            text += f"fix: {fields['hint']}; then start a relay of this source again"
        elif happening == "relay.loaded":
            source = (source, fields["product"])
            if fields["done"] or self._loading.worth_saying(source):
                done = "the table is loaded" if fields["done"] else "loading the table"
                text = f"{fields['product']}: {done}, {fields['total']:,} rows so far ({fields['rate']:,} a second)"
        elif happening == "relay.quarantined":
            source = (fields["product"], fields["code"])
            if count := self._aside.worth_saying(source):
                text = f"{fields['product']}: {count} row{'s' if count > 1 else ''} in quarantine [{fields['code']}]"
        if text and text != self._last.get(source):
            self._last[source] = text
            self._say(text)
