"""`headwater processing`: acts upon derived products that are processed."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Acts upon derived products that are processed.", no_args_is_help=True)


@app.callback()
def _acts() -> None:
    """Acts upon derived products that are processed."""


@app.command()
def reset(
    product: Annotated[str, typer.Argument(metavar="PRODUCT", help="The derived product.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget a product's state and make it anew from its inputs. Its topic stays, and no record of it is repeated.

    Stop its runner first. The next headwater run reads the inputs from their first record on and holds each record that
    comes of them against the topic; where one differs, it ends the product and has written nothing.
    """
    from headwater.cli import console
    from headwater.mesh.load import load_mesh
    from headwater.ports.kafka import KafkaBroker
    from headwater.processing.reset import reset as forget
    from headwater.processing.runners.kafka import derived_plans
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    settings, clock = load_settings(), SystemClock()
    mesh = load_mesh(settings.mesh_folder)
    (plan,) = derived_plans(mesh, [product])
    if not yes:
        typer.confirm(f"forget the state of {product} and make it anew from its inputs?", abort=True)
    broker = KafkaBroker(environment_of(settings, mesh.file).kafka, clock=clock)
    made = forget(plan, mesh.product(product).output.topic, broker, clock=clock)
    console.out(f"forgot the state of {product}: {len(made)} internal topics made anew; headwater run rebuilds it")
