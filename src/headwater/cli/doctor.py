"""`headwater doctor`: what this machine has and lacks for the local stack."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def command(
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print the checks.")] = "text",
) -> None:
    """Check what the local stack needs: Python, Java, jars, PostgreSQL, disk, memory, limits, ports; and what runs.

    Each check is ok, failed, or unknown where it could not be measured, and says what to do. Exits with 1 if one
    failed.
    """
    from headwater.cli import console
    from headwater.local.doctor import examine
    from headwater.local.launch import as_started
    from headwater.local.stack import local_stack
    from headwater.settings import load_settings

    with console.phase("looking at this machine"):
        checks = examine(as_started(local_stack(load_settings())))
    failed = [check for check in checks if check.outcome == "failed"]
    if output == "json":
        console.print_json_line({"ok": not failed, "checks": [check.as_json() for check in checks]})
    else:
        for check in checks:
            console.out(f"{check.outcome:<8} {check.name:<11} {check.message}")
            if check.outcome != "ok" and check.fix:
                console.out(f"{'':<20} fix: {check.fix}")
        console.out(f"{len(failed)} of {len(checks)} checks failed" if failed else "nothing stands in the way")
    if failed:
        raise typer.Exit(1)
