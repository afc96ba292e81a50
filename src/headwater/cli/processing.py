"""`headwater processing`: acts upon derived products that are processed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from headwater.mesh.products import ResolvedProduct
    from headwater.ports.protocol import Broker
    from headwater.processing.steps import Plan

app = typer.Typer(help="Acts upon derived products that are processed.", no_args_is_help=True)


@app.callback()
def _acts() -> None:
    """Acts upon derived products that are processed."""


_PRODUCT = Annotated[str, typer.Argument(metavar="PRODUCT", help="The derived product.")]
_WHY = Annotated[str, typer.Option("--why", help="The reason; it is kept with who and when.")]
_BY = Annotated[str, typer.Option("--by", help="Who gives the command; else the name of the user on this machine.")]


@app.command()
def pause(product: _PRODUCT, why: _WHY, by: _BY = "") -> None:
    """Let a product stand still: its runners end the transaction at hand, keep their partitions, and read no more.

    It stays so over restarts, and for new workers, until resume. What is settled stays settled.
    """
    _give(product, "pause", by, why)


@app.command()
def resume(product: _PRODUCT, why: _WHY, by: _BY = "") -> None:
    """Let a paused product go on from where it stands."""
    _give(product, "resume", by, why)


@app.command()
def status(
    product: _PRODUCT,
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print.")] = "text",
) -> None:
    """Show how a product stands: what it is told, and each partition's worker, lag, and how far it is settled.

    A partition without a worker is unowned: none has said in half a minute that it has it.
    """
    from dataclasses import asdict

    from headwater.cli import console
    from headwater.processing.standing import standing
    from headwater.timeline.clock import SystemClock
    from headwater.timeline.instant import Instant

    resolved, plan, broker = _processed(product)
    found = standing(resolved, plan, broker, clock=SystemClock())
    if output == "json":
        console.print_json({"product": product, "paused": found.paused, **asdict(found)})
        return
    if found.command is not None:
        told = "paused" if found.paused else "told to go on"
        console.out(
            f"{product} is {told} since {Instant(found.command.at).iso()}, by {found.command.by}: {found.command.why}"
        )
    if found.code:
        console.out(f"{product} has ended: {found.reason} [{found.code}]")
    rows = [
        (
            place.stage,
            place.partition,
            f"{place.state} {place.percent} %" if place.state == "restoring" else place.state,
            "" if place.slot is None else place.slot,
            ", ".join(map(str, place.copies)),
            "" if place.lag is None else place.lag,
            "" if place.settled is None else Instant(place.settled).iso(),
            "" if place.committed_at is None else Instant(place.committed_at).iso(),
        )
        for place in found.places
    ]
    columns = ("stage", "partition", "state", "slot", "copies at", "lag", "settled up to", "last commit")
    console.table("", columns, rows)


@app.command()
def reset(
    product: _PRODUCT,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget a product's state and make it anew from its inputs. Its topic stays, and no record of it is repeated.

    Stop its runner first. The next headwater run reads the inputs from their first record on and holds each record that
    comes of them against the topic; where one differs, it ends the product and has written nothing.
    """
    from headwater.cli import console
    from headwater.processing.reset import reset as forget
    from headwater.timeline.clock import SystemClock

    _, plan, broker = _processed(product)
    if not yes:
        typer.confirm(f"forget the state of {product} and make it anew from its inputs?", abort=True)
    made = forget(plan, broker, clock=SystemClock())
    what = f"the state of {product}: {len(made)} internal topics made anew" if made else f"how far {product} is"
    console.out(f"forgot {what}; headwater run makes it anew, held against what is published")


@app.command()
def digest(
    product: _PRODUCT,
    against: Annotated[
        Path | None, typer.Option("--against", metavar="FILE", help="What this command wrote before: is it still so?")
    ] = None,
) -> None:
    """Write a digest of what a product has published, as JSON; or hold what is published against one.

    Keys, values, times and offsets count, partition by partition. Before and after a product was moved to another
    runner it shows that nothing of it was touched.
    """
    import json
    from dataclasses import asdict

    from headwater.cli import console
    from headwater.processing.digest import digest_of, read_digests, require_kept

    resolved, _, broker = _processed(product)
    topic = resolved.output.topic
    if against is None:
        console.out(json.dumps([asdict(one) for one in digest_of(broker, topic)], indent=2))
        return
    kept = require_kept(broker, topic, read_digests(against.read_bytes()))
    console.out(f"{product}: {sum(one.records for one in kept)} records are what they were, to the byte")


def _give(product: str, does: Literal["pause", "resume"], by: str, why: str) -> None:
    import getpass

    from headwater.cli import console
    from headwater.processing.commands import give
    from headwater.timeline.clock import SystemClock

    _, plan, broker = _processed(product)
    given = give(broker, plan.product, plan.major, does, by=by or getpass.getuser(), why=why, clock=SystemClock())
    state = "paused" if does == "pause" else "told to go on"
    if not given:
        console.out(f"{product} is {state} already: nothing was written")
        return
    console.out(f"{product} is {state}; its runners hear it within a second: headwater processing status {product}")


def _processed(product: str) -> tuple[ResolvedProduct, Plan, Broker]:
    from headwater.mesh.load import load_mesh
    from headwater.ports.kafka import KafkaBroker
    from headwater.processing.runners.kafka import derived_plans
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    settings = load_settings()
    mesh = load_mesh(settings.mesh_folder)
    (plan,) = derived_plans(mesh, [product])
    broker = KafkaBroker(environment_of(settings, mesh.file).kafka, clock=SystemClock())
    return mesh.product(product), plan, broker
