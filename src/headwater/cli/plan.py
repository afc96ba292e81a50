"""`headwater plan`: what apply would do, and why, with nothing done."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

EXIT_REFUSED = 1
EXIT_PENDING = 4


def command(
    products: Annotated[list[str] | None, typer.Argument(metavar="[PRODUCT]...", help="Only these products.")] = None,
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print the plan.")] = "text",
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 4 where changes are pending.")
    ] = False,
) -> None:
    """Show the difference between the files and the running mesh: topics, subjects, outboxes.

    Nothing is written. What cannot be done is refused with the reason, and then the command exits with 1; what was
    changed by hand is named as drift.
    """
    from headwater.cli import console
    from headwater.mesh.load import load_mesh
    from headwater.naming import ProductName
    from headwater.outbox.source import sources_of
    from headwater.plan.apply import pending
    from headwater.plan.explain import as_json, explain
    from headwater.plan.journal import Journal
    from headwater.plan.reach import reach
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    settings, clock = load_settings(), SystemClock()
    mesh = load_mesh(settings.mesh_folder)
    journal = Journal(settings.data_folder, mesh.file.name, settings.environment, clock=clock)
    with reach(environment_of(settings, mesh.file), sources_of(mesh), clock=clock, mesh=mesh) as parts:
        only = [ProductName.parse(name) for name in products or ()]
        found = pending(mesh, parts, journal.applied, only=only).difference
    if output == "json":
        console.print_json(as_json(found, command="plan"))
    else:
        if journal.interrupted is not None:
            console.out(journal.interrupted.sentence())
        for line in explain(found):
            console.out(line)
    if found.refusals:
        raise typer.Exit(EXIT_REFUSED)
    if detailed_exitcode and found.stages:
        raise typer.Exit(EXIT_PENDING)
