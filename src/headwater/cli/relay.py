"""`headwater relay`: publish committed outbox rows until stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from headwater.cli.console import Seldom
from headwater.cli.relay_reconcile import reconcile

if TYPE_CHECKING:
    import threading

    from headwater.outbox.relay import Relay
    from headwater.outbox.source import OutboxSource
    from headwater.outbox.store import OutboxStore
    from headwater.ports.protocol import Broker
    from headwater.timeline.clock import Clock

GARBAGE_THRESHOLD = 100_000  # new containers between two looks for cycles; Python's own is 700 to 2,000
STOP_SECONDS = 0.7  # how long a stop waits for the transaction under way; then the next start ends it


app = typer.Typer(invoke_without_command=True)
app.command()(reconcile)


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
    import signal
    import sys
    import threading

    from headwater.cli import console
    from headwater.hooks import Hooks, arm
    from headwater.mesh.load import load_mesh
    from headwater.observability.prometheus import PrometheusListener
    from headwater.outbox.capture_postgres import PostgresTable
    from headwater.outbox.capturing import Capturing
    from headwater.outbox.relay import Relay, RelayOptions
    from headwater.outbox.serving import serve_all
    from headwater.outbox.source import sources_of
    from headwater.ports.kafka import KafkaBroker
    from headwater.schemas.registry_http import HttpRegistry
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    settings, clock = load_settings(), SystemClock()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    progress = console.err()
    metrics = PrometheusListener()
    hooks = Hooks([_Reporter(lambda text: progress.print(text, markup=False)), metrics])
    if metrics_port:
        metrics.serve(metrics_port)

    def relay(outbox: OutboxSource) -> Relay:
        address = _address(environment.databases, outbox.database)
        broker = KafkaBroker(environment.kafka, clock=clock, hooks=hooks)
        store: OutboxStore
        capturing: Capturing | None = None
        if outbox.captured:
            store = table = PostgresTable(address, database=outbox.database, table=outbox.table, clock=clock)
            capturing = Capturing.of_files(outbox.name, outbox.table, table, outbox.products)
        else:
            store = _store(outbox, lane or outbox.lane, address, broker, clock)
        return Relay(
            outbox,
            store,
            broker,
            HttpRegistry(environment.registry_url),
            clock=clock,
            hooks=hooks,
            failpoint=arm(settings.failpoint),
            options=RelayOptions(tick=mesh.file.tick, capturing=capturing),
        )

    relays = [relay(outbox) for outbox in _chosen(list(sources_of(mesh)), source or [])]
    stopping, asked = threading.Event(), [True]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _stop(stopping, asked))
    progress.print(f"relaying {', '.join(r.source.name for r in relays)}; SIGTERM or Ctrl-C stops", markup=False)
    # Rows are plain containers without cycles: looking for cycles among them is wasted.
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    failures = serve_all(relays, stopping, hooks=hooks, stop_seconds=STOP_SECONDS)
    if failures:
        raise failures[-1]
    # No waiting for clients to take their leave: what is under way and not committed is ended by whoever relays next.
    sys.stderr.flush()
    os._exit(0)


def _stop(stopping: threading.Event, asked: list[bool]) -> None:
    """Once: a second signal inside the first one's `set` would wait for ever for the lock that it holds."""
    try:
        asked.pop()
    except IndexError:
        return
    stopping.set()


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


def _chosen(sources: list[OutboxSource], wanted: list[str]) -> list[OutboxSource]:
    from headwater.errors import CallerFault

    chosen = [source for source in sources if not wanted or source.name in wanted or source.database in wanted]
    if not chosen:
        known = ", ".join(source.name for source in sources) or "none"
        raise CallerFault(
            f"the mesh has no outbox {', '.join(wanted)}" if wanted else "no product of the mesh has an outbox",
            code="HW-O050",
            detail=f"it has: {known}",
            hint="name one of them, or leave --source out",
        )
    return chosen


def _address(databases: Mapping[str, str], name: str) -> str:
    from headwater.errors import CallerFault

    if name not in databases:
        raise CallerFault(
            f"the environment has no address for the database '{name}'",
            code="HW-O051",
            detail="an outbox of the mesh is in it",
            hint="add it under databases of the environment in mesh.yaml",
        )
    return databases[name]
