"""`headwater quarantine repair|release|discard`: what becomes of an entry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.errors import CallerFault
    from headwater.mesh.products import Mesh
    from headwater.outbox.event import OutboxEvent
    from headwater.outbox.mending import Found
    from headwater.ports.kafka import KafkaBroker

Output = Annotated[Literal["text", "json"], typer.Option("--output", help="How to print.")]
By = Annotated[str, typer.Option("--by", help="Who does it. Default: the user of this machine.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the entry. Write nothing personal.")]


def repair(
    entry: Annotated[str, typer.Argument(metavar="ID", help="The entry's id, as `list` prints it.")],
    record: Annotated[str, typer.Option("--record", help="The mended record as JSON.")] = "",
    file: Annotated[Path | None, typer.Option("--file", help="The same from a file; - is stdin.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change one field of the payload.")
    ] = None,
    kind: Annotated[str, typer.Option("--kind", help="Default: the row's own.")] = "",
    revision: Annotated[int, typer.Option("--revision", min=0, help="Default: the row's own.")] = 0,
    reason: Reason = "",
    by: By = "",
    output: Output = "text",
) -> None:
    """Write a mended row into the source's outbox; the relay publishes it in its key's order, once.

    The record is checked against the contract first. The event keeps its identity. A second repair of the same entry
    publishes nothing.
    """
    from headwater.outbox.commands import Command, command_row
    from headwater.outbox.mending import find, mended, repair_row

    if (bool(record) + (file is not None) + bool(change)) != 1:
        raise _wrong("say one of --record, --file and --set")
    mesh, broker, databases = _opened()
    found = find(mesh.products.values(), broker, entry)
    fields = mended(found, _changes(change)) if change else _json(record, file)
    row = repair_row(found, fields, kind=kind, revision=revision)
    note = Command("note", found.entry.id, by=by or _user(), reason=reason, row=row.id)
    _insert(found, databases, [row, command_row(str(found.product.name), _key(found), note)])
    _say(found, row.id, "repair", output)


def release(
    what: Annotated[str, typer.Argument(metavar="ID|PRODUCT", help="The entry's id; with --key the product.")],
    key: Annotated[str, typer.Option("--key", help="Let this key of PRODUCT go on without the row it waits for.")] = "",
    reason: Reason = "",
    by: By = "",
    output: Output = "text",
) -> None:
    """Try an entry again as it is; or let the rows of a parked key go on, in order, without the bad one.

    An open entry is published if it fits by now (the contract was changed). With --key, or the id of a row that waits
    behind another, the waiting rows are published and the bad one stays open.
    """
    from headwater.outbox.commands import Command, command_row
    from headwater.outbox.mending import find, head_of, must_be_of_outbox

    mesh, broker, databases = _opened()
    found = head_of(mesh.whole(what), broker, key) if key else find(mesh.products.values(), broker, what)
    must_be_of_outbox(found, "released")
    _must_wait(found)
    command = Command("unpark" if key else "release", found.entry.id, by=by or _user(), reason=reason)
    row = command_row(str(found.product.name), _key(found), command)
    _insert(found, databases, [row])
    _say(found, row.id, command.action, output)


def discard(
    entry: Annotated[str, typer.Argument(metavar="ID", help="The entry's id, as `list` prints it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the entry. Write nothing personal.")],
    by: By = "",
    output: Output = "text",
) -> None:
    """Give an entry up. It stays in the quarantine, counted as discarded; rows that waited for it go on."""
    from headwater.naming import quarantine_transactional_id
    from headwater.outbox.commands import Command, command_row
    from headwater.outbox.mending import find
    from headwater.ports.quarantine_log import resolve
    from headwater.timeline.clock import SystemClock

    if not reason.strip():
        raise _wrong("say why: --reason TEXT")
    mesh, broker, databases = _opened()
    found = find(mesh.products.values(), broker, entry)
    _must_wait(found)
    if found.entry.from_outbox:
        command = Command("discard", found.entry.id, by=by or _user(), reason=reason)
        row = command_row(str(found.product.name), _key(found), command)
        _insert(found, databases, [row])
        _say(found, row.id, "discard", output)
        return
    writer = quarantine_transactional_id(found.product.name, found.product.major)
    now = SystemClock().now() // 1_000
    resolve(broker, found.entry, "discarded", writer=writer, at=now, by=by or _user(), reason=reason)
    _say(found, "", "discard", output)


def _opened() -> tuple[Mesh, KafkaBroker, dict[str, str]]:
    from headwater.mesh.load import load_mesh
    from headwater.ports.kafka import KafkaBroker
    from headwater.settings import environment_of, load_settings

    settings = load_settings()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    return mesh, KafkaBroker(environment.kafka), dict(environment.databases)


def _insert(found: Found, databases: dict[str, str], rows: Sequence[OutboxEvent]) -> None:
    """All in one transaction of the source's database."""
    from headwater.outbox import table
    from headwater.outbox.connection_postgres import writing
    from headwater.outbox.messages import content_of, prefix_of
    from headwater.outbox.source import qualified

    outbox = found.product.product.outbox
    origin = outbox or found.product.product.capture
    assert origin is not None  # only entries of a source come here
    if origin.database not in databases:
        raise _wrong(f"the environment has no address for the database '{origin.database}'")
    with writing(databases[origin.database]) as connection:
        for row in rows:
            if outbox is not None:
                connection.execute(table.insert(outbox.table), row.values())
            else:  # a captured table takes no rows but the service's: the log takes them
                told = [prefix_of(qualified(origin.table)), content_of(row)]
                connection.execute("SELECT pg_logical_emit_message(true, %s, %s)", told)


def _say(found: Found, row: str, what: str, output: str) -> None:
    from headwater.cli import console

    product = str(found.product.name)
    if output == "json":
        console.print_json_line({"id": found.entry.id, "product": product, "action": what, "row": row or None})
    elif row:
        console.out(f"{product}: {what} of {found.entry.id} is in the outbox as row {row}; the relay does it")
    else:
        console.out(f"{product}: {found.entry.id} is discarded")


def _must_wait(found: Found) -> None:
    from headwater.errors import CallerFault

    if found.entry.state not in ("open", "parked"):
        raise CallerFault(
            f"the entry is {found.entry.state} already",
            code="HW-O103",
            detail="a row in quarantine is repaired, released or discarded once",
            hint="headwater quarantine list shows what is open",
        )


def _key(found: Found) -> str:
    return found.entry.key.decode(errors="replace")


def _changes(texts: Sequence[str]) -> dict[str, Any]:
    import json

    changes: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise _wrong(f"--set takes FIELD=VALUE, and '{name}' has no value")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            changes[name] = value  # text needs no quotes
    return changes


def _json(record: str, file: Path | None) -> Any:
    import json
    import sys

    try:
        text = record or (sys.stdin.read() if str(file) == "-" else Path(str(file)).read_text(encoding="utf-8"))
        return json.loads(text)
    except OSError as error:
        raise _wrong(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise _wrong(f"the record is not JSON: {getattr(error, 'msg', error)}") from None


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _wrong(message: str) -> CallerFault:
    from headwater.errors import CallerFault

    return CallerFault(message, code="HW-O110", hint="headwater quarantine --help")
