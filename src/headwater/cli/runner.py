"""`headwater runner`: what is particular to a runner."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headwater.cli import runner_flink_live, runner_flink_watch
from headwater.cli.runner_flink import app as flink

app = typer.Typer(help="What is particular to a runner.", no_args_is_help=True)
runner_flink_live.add_to(flink)
runner_flink_watch.add_to(flink)
app.add_typer(flink, name="flink")
faust = typer.Typer(help="The faust runner.", no_args_is_help=True)
app.add_typer(faust, name="faust")


@faust.command()
def eject(
    product: Annotated[str, typer.Argument(metavar="PRODUCT", help="A derived product.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write it here, in place of beside the flow.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write the product's Faust application as a file, to add agents, timers and web views of your own.

    Beside the flow it is faust_app.py, which headwater run --runner faust takes from then on.
    """
    from headwater.cli import console
    from headwater.errors import CallerFault
    from headwater.mesh.load import load_mesh
    from headwater.processing.runners.faust_eject import APP_FILE, app_text
    from headwater.processing.runners.kafka import derived_plans
    from headwater.settings import load_settings

    mesh = load_mesh(load_settings().mesh_folder)
    (plan,) = derived_plans(mesh, [product])
    file = to or mesh.whole(product).folder / APP_FILE
    if file.exists() and not force:
        raise CallerFault(
            f"{file.name} is there already",
            code="HW-P218",
            detail="it may hold agents of your own",
            hint="headwater runner faust eject --force writes over it; --to FILE writes another one",
        )
    file.write_text(app_text(plan, to), encoding="utf-8")
    console.out(f"wrote {file}: headwater run {product} --runner faust" + (f" --app {to}" if to else ""))
