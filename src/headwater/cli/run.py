"""`headwater run`: process derived products until stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headwater.cli.console import Seldom

if TYPE_CHECKING:
    from rich.console import Console

    from headwater.contracts.environment import Environment
    from headwater.local.flink_run import Done, FlinkRun
    from headwater.mesh.products import Mesh
    from headwater.processing.surroundings import Surroundings

STALLED_EXIT = 75  # what a worker on Faust ends with once it stands still
GARBAGE_THRESHOLD = 200_000  # new containers between two looks for cycles; Python's own is 700 to 2,000


def command(
    products: Annotated[list[str] | None, typer.Argument(metavar="[PRODUCT]...", help="Only these products.")] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Processes that share the work.")] = 1,
    slot: Annotated[
        int, typer.Option("--slot", min=0, help="This worker's number; workers on other machines take others.")
    ] = 0,
    standby: Annotated[
        bool, typer.Option("--standby", help="Keep copies of the other workers' state, to take over at once.")
    ] = False,
    transaction_seconds: Annotated[
        int,
        typer.Option(
            "--transaction-seconds",
            min=2,
            max=900,
            help="How long a transaction may take; readers wait as long behind a worker that is gone.",
        ),
    ] = 30,
    held_mb: Annotated[
        int,
        typer.Option(
            "--held-mb",
            min=1,
            max=65536,
            help="MiB of uncommitted input a stage holds before inputs that are ahead stop.",
        ),
    ] = 64,
    metrics_port: Annotated[
        int,
        typer.Option(
            "--metrics-port", min=0, max=65000, help="Serve Prometheus metrics on loopback, at PORT + slot; 0: do not."
        ),
    ] = 0,
    runner: Annotated[
        Literal["kafka", "faust", "flink"] | None,
        typer.Option(
            "--runner",
            help="kafka: by itself; faust: in a Faust application (extra faust); flink: as Flink jobs (extra flink). "
            "Default: what the contracts of the products named say, else kafka.",
        ),
    ] = None,
    app: Annotated[
        Path | None,
        typer.Option(
            "--app",
            metavar="FILE",
            help="faust: the application, as headwater runner faust eject writes it; else faust_app.py by the flow.",
        ),
    ] = None,
    stall_seconds: Annotated[
        int, typer.Option("--stall-seconds", min=5, max=3600, help="faust: how long it may stand still.")
    ] = 60,
    web_port: Annotated[
        int, typer.Option("--web-port", min=0, max=65000, help="faust: serve web views on loopback, at PORT + slot.")
    ] = 0,
    gateway: Annotated[
        str, typer.Option("--gateway", help="flink: jobs run by this SQL gateway, else each in a process of its own.")
    ] = "",
    supervise: Annotated[
        bool, typer.Option("--supervise/--no-supervise", help="faust: start a worker that stands still again.")
    ] = True,
) -> None:
    """Run the flows of all derived products of a runner, or of those named, until SIGTERM or Ctrl-C.

    A contract names its product's runner. Those of other runners are passed over and told; --runner wins over a
    contract only where the product is named.
    Exactly once: kill it at any moment and start it again. It creates nothing; what is missing it names and refuses.
    More workers than partitions would stand idle. A product that cannot go on ends with its reason, the others go on;
    the exit code is that of the first. A product may be stopped under one runner and started under the other.
    """
    from headwater.cli import console
    from headwater.hooks import Hooks, arm
    from headwater.local.flink_record import require_no_live_job
    from headwater.mesh.load import load_mesh
    from headwater.observability.prometheus import PrometheusListener
    from headwater.ports.kafka import KafkaBroker
    from headwater.processing.runners.chosen import choose
    from headwater.processing.surroundings import Surroundings
    from headwater.schemas.registry_http import HttpRegistry
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    settings, clock = load_settings(), SystemClock()
    progress, mesh = console.err(), load_mesh(settings.mesh_folder)
    chosen = choose(mesh, products or [], runner)
    names, on_faust = chosen.products, chosen.runner == "faust"
    for line in chosen.told():
        progress.print(line, markup=False)
    if (workers > 1 and chosen.runner != "flink") or (on_faust and supervise):
        options = [
            *names,
            "--runner",
            chosen.runner,
            "--metrics-port",
            str(metrics_port),
            *(["--standby"] if standby else []),
        ]
        options += ["--transaction-seconds", str(transaction_seconds), "--held-mb", str(held_mb)]
        options += _options_of_faust(standby, stall_seconds, web_port, app) if on_faust else []
        raise typer.Exit(_run_workers(options, range(slot, slot + workers)))
    environment = environment_of(settings, mesh.file)
    if chosen.runner == "flink":
        _run_flink(names, mesh, environment, settings.data_folder, gateway)
        return

    metrics = PrometheusListener()
    hooks = Hooks([_Reporter(lambda text: progress.print(text, markup=False)), metrics])
    if metrics_port:
        metrics.serve(metrics_port + slot)
    around = Surroundings(
        broker=KafkaBroker(environment.kafka, clock=clock, hooks=hooks),
        registry=HttpRegistry(environment.registry_url),
        mesh=mesh,
        folder=settings.data_folder / "state",
        clock=clock,
        hooks=hooks,
        slot=slot,
        standby=standby,
        transaction_ms=transaction_seconds * 1_000,
        held_bytes=held_mb * 1024 * 1024,
        failpoint=arm(settings.failpoint),
    )
    require_no_live_job(mesh, names, around.broker, clock=clock)
    if on_faust:
        _run_faust(names, around, stall_seconds, web_port + slot if web_port else 0, app)
        return
    _run_kafka(names, around, progress)


def _run_kafka(names: Sequence[str], around: Surroundings, progress: Console) -> None:
    """By itself: a thread for each stage."""
    import contextlib
    import gc

    from headwater.processing.alone import require_none_on_faust
    from headwater.processing.runners.kafka import KafkaRunner, derived_plans

    plans = derived_plans(around.mesh, names)
    require_none_on_faust(plans, around.broker, around.clock)
    running = KafkaRunner(plans, around)
    running.stopping.on_signals()
    progress.print(f"running {', '.join(names)}: {len(running.accounts)} stages; SIGTERM or Ctrl-C stops", markup=False)
    # Rows are tuples in plain containers, without cycles: looking for cycles among them cost a third of the time.
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    with contextlib.suppress(KeyboardInterrupt):
        running.run()
    for name, account in running.accounts.items():
        progress.print(f"{name}: {account.records} records in {account.commits} commits", markup=False)


def _run_flink(products: Sequence[str], mesh: Mesh, environment: Environment, folder: Path, gateway: str) -> None:
    """A job for each product whenever its inputs settle more, until SIGTERM or Ctrl-C."""
    from headwater.cli import console
    from headwater.local.flink_run import keep_up, runs_of
    from headwater.stopping import Stopping

    runs, stopping, progress = runs_of(mesh, products, environment), Stopping().on_signals(), console.err()
    names = ", ".join(str(run.product.name) for run in runs)
    progress.print(f"running {names} on Flink; SIGTERM or Ctrl-C stops", markup=False)

    def tell(run: FlinkRun, done: Done) -> None:
        text = f"{run.product.name}: {done.records} records, settled up to {done.through.iso()}"
        progress.print(text, markup=False)

    keep_up(runs, folder, gateway=gateway, stopped=stopping.is_set, tell=tell)


def _options_of_faust(standby: bool, stall_seconds: int, web_port: int, app: Path | None) -> list[str]:
    """Of a worker that this process starts again where it stands still."""
    from headwater.errors import NotSupported

    if standby:
        raise NotSupported(
            "the faust runner keeps no copies of other workers' state",
            code="HW-P219",
            detail="Faust shares the partitions, and says nothing of who would take over",
            hint="leave --standby out, or run with --runner kafka",
        )
    own = ["--app", str(app)] if app else []
    return [
        "--no-supervise",
        "--stall-seconds",
        str(stall_seconds),
        "--web-port",
        str(web_port),
        *own,
    ]


def _run_faust(
    products: Sequence[str], around: Surroundings, stall_seconds: int, web_port: int, app: Path | None
) -> None:
    """The application that is named, else that beside the flow of a product that is run alone, else a plain one."""
    from headwater.errors import CallerFault
    from headwater.processing.runners.faust_eject import APP_FILE
    from headwater.sdk.on_faust import AppFile, Way, run_on_faust

    if app is None and len(products) == 1:
        beside = around.mesh.whole(products[0]).folder / APP_FILE
        app = beside if beside.is_file() else None
    if app is not None and not app.is_file():
        raise CallerFault(f"{app} is not there", code="HW-P217", hint="headwater runner faust eject PRODUCT writes one")
    file = AppFile(app.resolve(), app.read_bytes()) if app is not None else None
    run_on_faust(tuple(products), Way(around, stall_seconds, web_port), file)


class _Reporter:
    """Says what a person wants to know: each doubt of a stage once in a row, quarantined records ever more seldom."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._doubts: dict[str, object] = {}
        self._aside = Seldom()

    def __call__(self, happening: str, fields: dict[str, object]) -> None:
        stage = f"{fields.get('product')} {fields.get('stage')}"
        if happening == "stage.committed":
            self._doubts.pop(stage, None)
        elif happening == "stage.rebuilt" and self._doubts.get(stage) != fields["code"]:
            self._doubts[stage] = fields["code"]
            self._say(f"{stage}: in doubt, so it begins again from its last commit; nothing is lost [{fields['code']}]")
        elif happening == "stage.too_slow":
            self._say(f"{stage}: {fields['reason']} [{fields['code']}]")
        elif happening == "product.told":
            stands = "is paused after the transaction at hand" if fields["paused"] else "goes on"
            self._say(f"{fields['product']} {stands}, by {fields['by']}: {fields['why']}")
        elif happening == "product.misdirected" and (count := self._aside.worth_saying((fields["product"], happening))):
            self._say(
                f"{fields['product']}: {count} record{'s' if count > 1 else ''} of its control topic passed over, the "
                f"last at offset {fields['offset']}: no command"
            )
        elif happening == "faust.stalled":
            where = f" at {fields['where']}" if fields["where"] else ""
            self._say(
                f"{fields['product']}: the {fields['what']} stands still{where} since {fields['seconds']:.0f} s; this "
                f"worker ends and is started again, nothing is lost [{fields['code']}]"
            )
        elif happening == "product.failed" and fields["others"]:  # the last one's reason is the command's own error
            self._say(
                f"{fields['product']} ends: {fields['reason']}; {fields['others']} go on\n"
                f"fix: {fields['hint']}\n[{fields['code']}]"
            )
        elif happening == "stage.restoring" and fields["left"]:
            self._say(
                f"{stage}: state of partition {fields['partition']} is read back: "
                f"{fields['percent']} %, {fields['entries']} entries"
            )
        elif happening == "stage.quarantined" and (count := self._aside.worth_saying((stage, fields["code"]))):
            self._say(f"{stage}: {count} record{'s' if count > 1 else ''} in quarantine [{fields['code']}]")


def _run_workers(options: list[str], slots: range) -> int:
    """A process for each worker; the first that fails ends all, and its exit code is ours. One that ended because it
    stood still is started again.
    """
    import multiprocessing

    from headwater.stopping import Stopping

    context = multiprocessing.get_context("spawn")

    def started(slot: int) -> multiprocessing.process.BaseProcess:
        process = context.Process(target=_worker, args=(options, slot))
        process.start()
        return process

    processes = {slot: started(slot) for slot in slots}
    stopping = Stopping().on_signals()
    while not stopping.is_set() and all(process.is_alive() for process in processes.values()):
        stopping.wait(0.1)
        for slot, process in processes.items():
            if process.exitcode == STALLED_EXIT and not stopping.is_set():
                processes[slot] = started(slot)
    for process in processes.values():
        if process.is_alive():
            process.terminate()
    for process in processes.values():
        process.join(10)
    return max((abs(process.exitcode or 0) for process in processes.values()), default=0)


def _worker(options: list[str], slot: int) -> None:
    import runpy
    import sys

    sys.argv = ["headwater", "run", *options, "--slot", str(slot)]
    runpy.run_module("headwater", run_name="__main__")
