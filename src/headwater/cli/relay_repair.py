"""`headwater relay repair`: a new slot, and the gap filled from the outbox table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from headwater.outbox.repair import RepairReport


def repair(
    source: Annotated[
        list[str] | None,
        typer.Option("--source", help="Only this outbox, as operations.public.outbox, or this database."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is missing, and change nothing.")] = False,
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print.")] = "text",
) -> None:
    """Mend an outbox whose slot was dropped, made anew, advanced or lost: nothing is lost, nothing published twice.

    It takes the relay's place, makes a new slot, and publishes from the outbox table what is neither in the topics nor
    in quarantine, by row id. Cut off anywhere, it is called again and does the rest. Then the relay starts as ever.
    Where slot and position agree, it says so and changes nothing.
    """
    from headwater.cli import console
    from headwater.hooks import arm
    from headwater.mesh.load import load_mesh
    from headwater.outbox.repair import Repair
    from headwater.outbox.source import address_of, chosen_sources
    from headwater.outbox.source_postgres import PostgresAdmin
    from headwater.outbox.store_postgres import PostgresOutbox
    from headwater.ports.kafka import KafkaBroker
    from headwater.schemas.registry_http import HttpRegistry
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    settings, clock = load_settings(), SystemClock()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    broker = KafkaBroker(environment.kafka, clock=clock)
    for outbox in chosen_sources(mesh, source or []):
        address = address_of(environment.databases, outbox.database)
        admin = PostgresAdmin(address, database=outbox.database, table=outbox.table)
        try:
            report = Repair(
                outbox,
                PostgresOutbox(address, database=outbox.database, table=outbox.table, clock=clock),
                admin,
                broker,
                HttpRegistry(environment.registry_url),
                clock=clock,
                failpoint=arm(settings.failpoint),
            ).run(dry=dry_run)
        finally:
            admin.close()
        if output == "json":
            console.print_json_line(as_json(report, dry_run=dry_run))
        else:
            for line in as_text(report, dry_run=dry_run):
                console.out(line)
    broker.close()


def as_json(report: RepairReport, *, dry_run: bool) -> dict[str, Any]:
    """One source's report."""
    return {
        "source": report.source,
        "dry_run": dry_run,
        "trouble": report.trouble.code if report.trouble else None,
        "reason": report.trouble.message if report.trouble else None,
        "rows": report.missing,
        "quarantined": report.quarantined,
        "commit_times": report.dated,
        "orphans": report.orphans,
        "orphan_ids": report.orphan_ids,
        "unknown": list(report.unknown) if report.unknown else None,
    }


def as_text(report: RepairReport, *, dry_run: bool) -> list[str]:
    """One source's report for a person."""
    from headwater.timeline.instant import Instant

    if report.trouble is None:
        return [f"{report.source}: slot and position agree; nothing to repair"]
    lines = [
        f"{report.trouble.message} [{report.trouble.code}]",
        f"  rows {'to publish' if dry_run else 'published'} from the table: {report.missing}"
        + (f", {report.quarantined} of them to quarantine" if report.quarantined else ""),
    ]
    if report.missing and not report.dated:
        lines.append("  commit times are not known (track_commit_timestamp): all these rows have one recorded time")
    if report.unknown:
        since, until = (Instant(moment).iso() for moment in report.unknown)
        lines.append(f"  rows committed between {since} and {until} were dropped from the table: nobody can tell them")
    if report.orphans:
        lines.append(f"  published, and not in the table: {report.orphans}; decide with the service what they are")
        lines += [f"    {row}" for row in report.orphan_ids]
    lines.append("  next: headwater relay repair" if dry_run else "  next: headwater relay")
    return lines
