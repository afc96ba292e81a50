"""`headwater status`: what of the local stack runs, where, and what it takes."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def command(
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print the parts.")] = "text",
) -> None:
    """Show each part of the local stack: its state, process, ports, memory and address; relays and runners too.

    A part is running, silent (it runs and does not answer), died (it ended by itself), or stopped. Exits with 0
    whatever it finds: it is a look, not a check. Memory is the proportional share (PSS) of a part with all its
    processes.
    """
    from headwater.cli import console
    from headwater.local.launch import as_started
    from headwater.local.stack import local_stack
    from headwater.local.status import part_states
    from headwater.settings import load_settings

    stack = as_started(local_stack(load_settings()))
    states = part_states(stack)
    total = sum(state.memory_bytes or 0 for state in states)
    if output == "json":
        parts = [state.as_json() for state in states]
        console.print_json_line({"data_folder": str(stack.data_folder), "memory_bytes": total, "parts": parts})
        return
    rows = [
        (
            state.name,
            state.state,
            "-" if state.pid is None else str(state.pid),
            ", ".join(map(str, state.ports)) or "-",
            "-" if state.memory_bytes is None else f"{state.memory_bytes / 1e6:.0f} MB",
            state.address or "-",
        )
        for state in states
    ]
    console.table("", ("part", "state", "process", "ports", "memory", "address"), rows)
    console.out(f"memory {total / 1e6:.0f} MB in all; data and logs in {stack.data_folder}")
    if any(state.state in ("died", "silent") for state in states):
        console.out("something died or is silent. fix: headwater up")
