"""`headwater check`: is the mesh right, as far as its files can tell."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def command(
    output: Annotated[
        Literal["text", "json", "github"], typer.Option("--output", help="How to print findings.")
    ] = "text",
    fail_on: Annotated[
        Literal["info", "warning", "error"], typer.Option("--fail-on", help="The least severity that fails.")
    ] = "error",
) -> None:
    """Check contracts, schemas, their history and flows, with no network.

    Everything that is wrong is told at once, at file, line and column, with the reason and the fix. Exits with 1 where
    a finding is at or above --fail-on.
    """
    from headwater.cli import console
    from headwater.plan import check
    from headwater.settings import load_settings

    settings = load_settings()
    mesh, findings = check.check(settings.mesh_folder)
    if output == "json":
        console.print_json(check.as_json(mesh, findings))
    elif output == "github":
        for found in findings:
            console.out(check.as_github(found))
    else:
        for found in findings:
            mark = "" if found.severity == "error" else f"{found.severity}: "
            console.out(mark + found.render())
        what = f"{len(mesh.products)} products" if mesh else f"the mesh in {settings.mesh_folder}"
        count = len(findings)
        console.out(f"{what}: {count or 'no'} finding{'' if count == 1 else 's'}")
    if check.failing(findings, fail_on):
        raise typer.Exit(1)
