"""`headwater runner flink deploy`, `status`, `stop`, `upgrade`, `forget`: a live job of a product."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from headwater.local.flink_live import LiveJob
    from headwater.local.flink_place import Place
    from headwater.local.flink_rest import JobState
    from headwater.processing.deployed import Deployed

NOT_WELL = 1
Product = Annotated[str, typer.Argument(metavar="PRODUCT", help="The derived product.")]
Output = Annotated[Literal["text", "json"], typer.Option("--output", help="How to print.")]
Every = Annotated[
    int,
    typer.Option("--checkpoint-seconds", min=1, max=300, help="Records are visible behind each checkpoint."),
]


def add_to(app: typer.Typer) -> None:
    """Make these commands part of a group."""
    for command in (deploy, status, stop, upgrade, forget):
        app.command()(command)


def deploy(
    product: Product,
    checkpoint_seconds: Every = 10,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compute from the first record on, whatever was kept.")
    ] = False,
    gateway: Annotated[
        str | None,
        typer.Option(
            "--gateway",
            help="Submit it to the cluster of this SQL gateway; '' for a process of its own. Default: flink.gateway of "
            "the environment in mesh.yaml, else a process of its own.",
        ),
    ] = None,
    rest: Annotated[
        str,
        typer.Option(
            "--rest",
            help="The cluster's JobManager, as it is reached from here. Default: flink.rest, "
            "else where the gateway says it is.",
        ),
    ] = "",
    folder: Annotated[
        str,
        typer.Option(
            "--folder",
            help="For checkpoints and savepoints, as s3://bucket/flink, seen by all of the "
            "cluster. Default: flink.folder, else what the cluster is set to.",
        ),
    ] = "",
    jar: Annotated[
        list[str] | None,
        typer.Option(
            "--jar",
            help="A jar that the cluster does not have, by a path that its gateway sees. Repeatable. "
            "Default: flink.jars.",
        ),
    ] = None,
    output: Output = "text",
) -> None:
    """Start a live job of a product: records become visible with each checkpoint, exactly once. It runs in a process of
    its own on this machine, or with --gateway on a cluster that is there already.

    It goes on from the savepoint that the last one was stopped behind, where that fits; else it computes from the first
    record on and leaves out what the product holds. One job of a product at a time, and no other runner beside it, on
    whatever machine. A task that fails ends the job; headwater runner flink watch says so.
    A live job writes no progress marks: what it says settles once a bounded run has passed over its inputs.
    """
    from headwater.cli import console

    place = _place(product, gateway, rest, folder, jar)
    made = _job_of(product).deploy(place, every=checkpoint_seconds, fresh=fresh, phases=console.phase)
    _tell_started(product, made, output)


def status(product: Product, output: Output = "text") -> None:
    """Show a live job, from any machine that reaches its cluster: its state, checkpoints, rows and lag, and why it
    failed. Exits with 0 where it runs or was stopped, else with 1, also where it has lost records.
    """
    from headwater.cli import console
    from headwater.plan.explain import UNSETTLED
    from headwater.timeline.clock import SystemClock

    deployed, state = _job_of(product).state()
    word = deployed.ended or ("gone" if state is None else state.state.lower())
    if output == "json":
        seen = None if state is None else asdict(state)
        console.print_json({"product": product, "state": word, "deployed": asdict(deployed), "job": seen})
    else:
        console.out(f"{product}: {word}, job {deployed.job} at {deployed.cluster}")
        if state is not None:
            _show(state, int(SystemClock().now()))
        if deployed.savepoint:
            console.out(f"savepoint {deployed.savepoint}")
        console.out(UNSETTLED)
    if word not in ("running", "stopped") or (state is not None and state.lost > 0):
        raise typer.Exit(NOT_WELL)


def stop(
    product: Product,
    savepoint: Annotated[
        bool, typer.Option("--savepoint/--no-savepoint", help="Behind a savepoint, from which deploy goes on.")
    ] = True,
    output: Output = "text",
) -> None:
    """End a live job. Without a savepoint the next one computes from the first record on."""
    from headwater.cli import console

    kept = _job_of(product).stop(savepoint=savepoint)
    if output == "json":
        console.print_json({"product": product, "savepoint": kept})
        return
    console.out(f"{product}: stopped" + (f" behind {kept}" if kept else ""))
    console.out(f"headwater runner flink run {product} brings it up to what its inputs settle, and settles it")


def upgrade(product: Product, checkpoint_seconds: Every = 10, output: Output = "text") -> None:
    """Stop a live job behind a savepoint, and start the job that the flow is now, where the old one was.

    It goes on from the savepoint where the steps are the same, and else computes from the first record on.
    """
    from headwater.cli import console

    made = _job_of(product).upgrade(every=checkpoint_seconds, phases=console.phase)
    _tell_started(product, made, output)


def forget(product: Product) -> None:
    """Take a live job for gone whose cluster cannot be asked, so that others may write the product.

    End its cluster for good first: nobody looks, and a job that comes back would write the same records again. What it
    has open is ended; where more is open than is known here, readers wait until it times out, 14 minutes at most.
    """
    from headwater.cli import console

    _job_of(product).forget()
    console.out(f"{product}: nobody has it now")


def _tell_started(product: str, made: tuple[Deployed, bool], output: str) -> None:
    from headwater.cli import console
    from headwater.plan.explain import UNSETTLED

    deployed, from_savepoint = made
    if output == "json":
        console.print_json({"product": product, "deployed": asdict(deployed), "from_savepoint": from_savepoint})
        return
    begins = (
        "goes on from its savepoint" if from_savepoint else "computes from the first record on; what is there stays"
    )
    console.out(f"{product}: job {deployed.job} runs at {deployed.cluster}; it {begins}")
    console.out(UNSETTLED)


def _show(state: JobState, now: int) -> None:
    from headwater.cli import console
    from headwater.timeline.instant import Instant

    console.out(f"since {Instant(state.begun).iso()}")
    console.out(f"rows in {_number(state.rows_in)}, out {_number(state.rows_out)}, lag {_number(state.lag)}")
    last = state.checkpoint
    if last is not None:
        took = f"took {last.micros / 1e6:.1f} s, {last.bytes:,} bytes"
        console.out(f"checkpoint {last.number}, {(now - last.begun) / 1e6:.0f} s ago, {took}")
    if state.failed_checkpoints:
        console.out(f"checkpoints that failed: {state.failed_checkpoints}")
    if state.lost > 0:
        console.out(f"transactions that were ended before their commit: {state.lost}; their records are lost")
    if state.failure:
        console.out(f"it last failed of {state.failure}")


def _number(value: int) -> str:
    return "unknown" if value < 0 else f"{value:,}"


def _place(product: str, gateway: str | None, rest: str, folder: str, jars: list[str] | None) -> Place:
    """Where a job goes by these options, and by the environment where they say nothing."""
    from headwater.cli import console
    from headwater.local.flink_elsewhere import Elsewhere, ThroughGateway
    from headwater.local.flink_own import OwnProcess
    from headwater.mesh.load import load_mesh
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    settings = load_settings()
    known = environment_of(settings, load_mesh(settings.mesh_folder).file).flink
    chosen = known.get("gateway", "") if gateway is None else gateway
    if not chosen:
        return OwnProcess(product, settings.data_folder, SystemClock(), console.phase)
    named = [one.strip() for one in known.get("jars", "").split(",") if one.strip()]
    where = Elsewhere(
        chosen.rstrip("/"),
        (rest or known.get("rest", "")).rstrip("/"),
        (folder or known.get("folder", "")).rstrip("/"),
        tuple(jars or named),
    )
    return ThroughGateway(where, SystemClock())


def _job_of(product: str) -> LiveJob:
    from headwater.cli.runner_flink import run_of
    from headwater.local.flink_live import LiveJob

    return LiveJob(run_of(product))
