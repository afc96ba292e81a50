"""`headwater runner flink`: a declarative flow as Flink SQL, printed, or run on this machine to what is settled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from headwater.local.flink_run import FlinkRun

app = typer.Typer(help="Declarative flows on Apache Flink.", no_args_is_help=True)
Product = Annotated[str, typer.Argument(metavar="PRODUCT", help="The derived product.")]


@app.command()
def compile(
    product: Product,
    bounded: Annotated[
        bool, typer.Option("--bounded", help="As run would do it now: up to what is settled, and what is not there.")
    ] = False,
) -> None:
    """Print a flow's job as Flink SQL: tables, views, one INSERT. Writes nothing.

    Passwords and keys are shown as stars. Without --bounded the job has no end. The functions that it names are in
    Headwater's package, as Java source.
    """
    from headwater.cli import console

    made = run_of(product)
    for statement in made.statements(made.reach() if bounded else None, shown=True):
        console.out(f"{statement};\n")


@app.command()
def run(
    product: Product,
    gateway: Annotated[
        str, typer.Option("--gateway", help="Run it by this SQL gateway, as http://127.0.0.1:29098, and wait for it.")
    ] = "",
) -> None:
    """Bring a product up to what its inputs settle, by one Flink job, and end.

    The job computes from the first record on and publishes what the product does not hold yet, all at once or not at
    all; then the product is marked as settled. Run it again to go on.
    """
    from headwater.cli import console
    from headwater.settings import load_settings
    from headwater.stopping import Stopping
    from headwater.timeline.clock import SystemClock

    made = run_of(product)
    made.take_over(SystemClock())
    reach = made.reach()
    if reach is None:
        console.out(f"{product} holds all that its inputs settle")
        return
    stopping = Stopping().on_signals()
    done = made.run(reach, load_settings().data_folder, gateway=gateway, phases=console.phase, stopped=stopping.is_set)
    if done is None:
        console.out("stopped; nothing of this run was published")
    else:
        console.out(f"{product}: {done.records:,} records, settled up to {done.through.iso()}")


@app.command()
def jars(folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; made where it is missing.")]) -> None:
    """Write the jars that a cluster elsewhere needs in its lib folder: connectors, and the functions that jobs call."""
    from headwater.cli import console
    from headwater.local.flink import export_jars

    for file in export_jars(folder, phases=console.phase):
        console.out(f"wrote {file}")


def run_of(product: str) -> FlinkRun:
    """A product of the mesh that this command is about, on Flink."""
    from headwater.local.flink_run import FlinkRun
    from headwater.mesh.load import load_mesh
    from headwater.ports.kafka import KafkaBroker
    from headwater.schemas.registry_http import HttpRegistry
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    settings = load_settings()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    broker = KafkaBroker(environment.kafka, clock=SystemClock())
    return FlinkRun(mesh, product, environment, broker, HttpRegistry(environment.registry_url))
