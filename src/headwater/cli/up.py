"""`headwater up`: the local stack, started or mended."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def command(
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print what runs.")] = "text",
    database: Annotated[
        list[str] | None, typer.Option("--database", help="A database to create beside those that mesh.yaml names.")
    ] = None,
    connect: Annotated[
        bool, typer.Option("--connect", help="Start Kafka Connect with Debezium too, for the Debezium lane.")
    ] = False,
    flink: Annotated[
        bool, typer.Option("--flink", help="Start Flink's SQL gateway too, which runs jobs in its own process.")
    ] = False,
) -> None:
    """Start Kafka, PostgreSQL and the schema registry on this machine, without containers or root.

    What runs already is left alone, what is missing or has died is started. Data lies in .headwater beside mesh.yaml,
    or where HEADWATER_DATA says; ports are those after HEADWATER_PORT_BASE. Stop everything with: headwater down
    """
    from headwater.cli import console
    from headwater.contracts.load import load_mesh_file
    from headwater.local.launch import start_stack
    from headwater.local.stack import local_stack
    from headwater.local.status import part_states
    from headwater.settings import load_settings

    settings = load_settings()
    mesh_file = settings.mesh_folder / "mesh.yaml"
    named = load_mesh_file(mesh_file).databases if mesh_file.is_file() else ()
    stack = local_stack(settings, tuple(dict.fromkeys([*named, *(database or [])])))
    extra = (*(("connect",) if connect else ()), *(("flink",) if flink else ()))
    done = start_stack(stack, extra=extra, phases=console.phase)
    states = part_states(stack)
    if output == "json":
        parts = [state.as_json() for state in states]
        console.print_json_line({"started": done.started, "already": done.already, "parts": parts})
        return
    console.out("started: " + ", ".join(done.started) if done.started else "already running, nothing to do")
    for state in states:
        console.out(f"  {state.name:<10} {state.address}")
    console.out(f"data in {stack.data_folder}; stop with: headwater down")
