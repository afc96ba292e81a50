"""`headwater relay reconcile`: is every row accounted for, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from headwater.outbox.book import Log
    from headwater.outbox.reconcile import Report
    from headwater.timeline.instant import Instant


def reconcile(
    source: Annotated[
        list[str] | None, typer.Option("--source", help="Only this outbox, as operations.public.outbox.")
    ] = None,
    since: Annotated[str, typer.Option("--from", help="Rows created at or after this instant. Default: all.")] = "",
    until: Annotated[str, typer.Option("--to", help="Rows created before this instant. Default: now.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="How many differences to name.")] = 100,
    rowless: Annotated[
        bool, typer.Option("--rowless", help="Records without a row are right: the service emits logical messages.")
    ] = False,
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print.")] = "text",
) -> None:
    """Prove that each outbox row is published, in quarantine, discarded or waiting, once; name each that is not.

    Both sides are counted and digested over row ids. Exit code 1 where they differ. A stopped relay's rows are waiting;
    for one that runs and is behind, and for
    Debezium where it is, the command waits half a minute. Rows that were emitted as logical messages have no
    table to be compared with.
    """
    from contextlib import ExitStack

    from headwater.cli import console
    from headwater.errors import CallerFault, NotSupported
    from headwater.mesh.load import load_mesh
    from headwater.outbox.behind import CapturedLog
    from headwater.outbox.book import Ledger, Window
    from headwater.outbox.book_postgres import PostgresBook
    from headwater.outbox.companion_postgres import PostgresCompanion
    from headwater.outbox.reconcile import reconcile as reconciled
    from headwater.outbox.source import sources_of
    from headwater.ports.kafka import KafkaBroker
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    settings, clock = load_settings(), SystemClock()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    broker = KafkaBroker(environment.kafka)
    named = [one for one in sources_of(mesh) if not source or one.name in source or one.database in source]
    if not named:
        raise CallerFault(
            "the mesh has no such outbox", code="HW-O050", hint="headwater relay reconcile without --source"
        )
    sources = [one for one in named if not one.captured]
    for one in named:
        if one.captured:
            console.err().print(f"{one.name} is a captured table: not reconciled", markup=False)
    if not sources:
        raise NotSupported(
            "no outbox is among the sources",
            code="HW-O114",
            detail="a captured table has no rows that each became one record",
            hint="name an outbox",
        )
    window = Window(_instant(since), _instant(until))
    equal = True
    for one in sources:
        if one.database not in environment.databases:
            raise CallerFault(
                f"the environment has no address for the database '{one.database}'",
                code="HW-O051",
                hint="add it under databases of the environment in mesh.yaml",
            )
        with ExitStack() as opened:
            address = environment.databases[one.database]
            book = PostgresBook(address, database=one.database, table=one.table)
            opened.callback(book.close)
            log: Log = book
            if one.lane == "debezium":
                companion = PostgresCompanion(address, database=one.database, table=one.table)
                opened.callback(companion.close)
                log = CapturedLog(
                    broker, source=one.name, table=one.table, written=book.written(), pulse=companion.pulse
                )
            report = reconciled(one, Ledger(book, log), broker, window, sleep=clock.sleep, limit=limit, rowless=rowless)
        equal = equal and report.equal
        if output == "json":
            console.print_json_line(_json(report))
        else:
            _print(report)
    if not equal:
        raise typer.Exit(1)


def _json(report: Report) -> dict[str, Any]:
    window = report.window
    return {
        "source": report.source,
        "from": window.since.iso() if window.since is not None else None,
        "to": window.until.iso() if window.until is not None else None,
        "equal": report.equal,
        "rows": report.rows.count,
        "digest": report.rows.digest,
        "found": report.found.count,
        "found_digest": report.found.digest,
        **report.places,
        "strangers": report.strangers,
        "differences": report.differences,
        "complete": report.complete,
        "named": [{"id": one.row_id, "what": one.what, "where": list(one.where)} for one in report.named],
    }


def _print(report: Report) -> None:
    from headwater.cli import console

    parts = [f"{count:,} {place}" for place, count in report.places.items() if count]
    verdict = "all accounted for" if report.equal else "NOT all accounted for"
    console.out(f"{report.source}: {report.rows.count:,} rows, {verdict}")
    console.out(console.folded([f"rows {report.rows.count:,} digest {report.rows.digest}"], indent=2))
    found = f"found {report.found.count:,} digest {report.found.digest}"
    console.out(console.folded([found, ", ".join(parts) or "nothing"], indent=2))
    if report.strangers:
        console.out(f"  {report.strangers:,} records have no row in the table")
    for one in report.named:
        console.out(console.folded([f"{one.row_id}: {one.what}", *one.where], indent=2))
    more = report.differences - len(report.named)
    if more > 0 or not report.complete:
        console.out(f"  and {more:,} more{'' if report.complete else ', or above'}")


def _instant(text: str) -> Instant | None:
    from headwater.timeline.instant import Instant

    return Instant.parse(text) if text else None
