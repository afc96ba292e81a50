"""`headwater apply`: make the running mesh as its files say."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer


def command(
    products: Annotated[list[str] | None, typer.Argument(metavar="[PRODUCT]...", help="Only these products.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print what was done.")] = "text",
) -> None:
    """Do what plan shows: create and alter topics, register schemas, prepare outboxes. Deletes nothing.

    Everything is validated before the first change. Run it again at any time: the second run has nothing to do, and a
    run that was cut short is gone on with. On a terminal it asks first; elsewhere, or with --yes, it does not.
    """
    from headwater.cli import console
    from headwater.hooks import arm
    from headwater.mesh.load import load_mesh
    from headwater.naming import ProductName
    from headwater.outbox.source import sources_of
    from headwater.plan.apply import apply, pending
    from headwater.plan.explain import as_json, explain, sentence
    from headwater.plan.journal import Journal
    from headwater.plan.reach import reach
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    settings, clock = load_settings(), SystemClock()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    journal = Journal(settings.data_folder, mesh.file.name, settings.environment, clock=clock)
    with journal.held(), reach(environment, sources_of(mesh), clock=clock, mesh=mesh) as parts:
        if journal.interrupted is not None:
            console.err().print(journal.interrupted.sentence(), markup=False)
        only = [ProductName.parse(name) for name in products or ()]
        found = pending(mesh, parts, journal.applied, only=only)
        if output == "text":
            for line in explain(found.difference):
                console.out(line)
        if found.difference.stages and not found.difference.refusals and not yes and sys.stdin.isatty():
            typer.confirm("Apply this? (--yes answers it)", abort=True, err=True)
        progress = console.err()
        apply(
            found,
            parts,
            journal,
            failpoint=arm(settings.failpoint),
            announce=lambda stage: progress.print(f"… {sentence(stage)}", markup=False),
        )
    if output == "json":
        console.print_json(as_json(found.difference, command="apply"))
    elif found.difference.stages:
        console.out(f"done: {len(found.difference.stages)} changes; the journal is {journal.path}")
