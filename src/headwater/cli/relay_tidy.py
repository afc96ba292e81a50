"""`headwater relay tidy`: partitions made ahead, and old ones dropped."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def tidy(
    source: Annotated[
        list[str] | None,
        typer.Option("--source", help="Only this outbox, as operations.public.outbox, or this database."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is due, and change nothing.")] = False,
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print.")] = "text",
) -> None:
    """Make the partitions of the coming days, and drop those older than the retention whose rows are all published.

    The relay does it each hour where its role owns the table. Nothing that is not published is dropped, and no writer
    waits for longer than a fifth of a second.
    """
    from headwater.cli import console
    from headwater.mesh.load import load_mesh
    from headwater.outbox.housekeeping import tidy as due
    from headwater.outbox.housekeeping_postgres import PostgresHousekeeper
    from headwater.outbox.source import address_of, chosen_sources
    from headwater.outbox.starting import read_position
    from headwater.ports.kafka import KafkaBroker
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    settings, clock = load_settings(), SystemClock()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    broker = KafkaBroker(environment.kafka, clock=clock)
    for outbox in chosen_sources(mesh, source or []):
        address = address_of(environment.databases, outbox.database)
        keeper = PostgresHousekeeper(address, database=outbox.database, table=outbox.table, clock=clock)

        def published(name: str = outbox.name) -> int:
            position = read_position(broker, name)
            return position.end_lsn if position is not None and position.lane == "native" else 0

        try:
            chores = list(due(keeper, published, retention=mesh.file.outbox_retention, dry=dry_run))
        finally:
            keeper.close()
        if output == "json":
            found = [{"chore": chore.text, "outcome": chore.outcome} for chore in chores]
            console.print_json_line({"source": outbox.name, "dry_run": dry_run, "chores": found})
        else:
            for chore in chores:
                console.out(f"{outbox.name}: {chore.text}: {chore.outcome}")
            if not chores:
                console.out(f"{outbox.name}: nothing is due")
    broker.close()
