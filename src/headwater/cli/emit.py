"""`headwater emit`: put records into a product's outbox."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from headwater.errors import CallerFault


def command(
    product: Annotated[str, typer.Argument(metavar="PRODUCT", help="A source-aligned product.")],
    record: Annotated[str, typer.Option("--record", help="One record as JSON.")] = "",
    file: Annotated[Path | None, typer.Option("--file", help="Records as JSON, one a line; - is stdin.")] = None,
    event_id: Annotated[str, typer.Option("--event-id", help="The event that is meant; needed to change one.")] = "",
    kind: Annotated[Literal["assert", "correct", "retract"], typer.Option("--kind", help="What it does.")] = "assert",
    revision: Annotated[int, typer.Option("--revision", min=1, help="1 for the first, more for each change.")] = 1,
    key_version: Annotated[int, typer.Option("--key-version", min=0, help="The key's own count; 0: none.")] = 0,
    encoding: Annotated[Literal["json", "avro"], typer.Option("--encoding", help="How the payload is kept.")] = "json",
    road: Annotated[
        Literal["table", "message"], typer.Option("--road", help="A row of the table, or a message of the log alone.")
    ] = "table",
    traceparent: Annotated[str, typer.Option("--traceparent", help="The W3C trace context that goes along.")] = "",
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print the rows' ids.")] = "text",
) -> None:
    """Write outbox rows, all in one transaction, as a service would with headwater.emit. Prints each row's id.

    The record is plain JSON without event_id, recorded_at, kind and revision; it is checked against the schema first.
    """
    from headwater.cli import console
    from headwater.mesh.load import load_mesh
    from headwater.outbox.connection_postgres import writing
    from headwater.outbox.emission import Emission, EmitOptions
    from headwater.schemas.payload import reader
    from headwater.sdk.emit import emit_many
    from headwater.settings import environment_of, load_settings

    if (not record) == (file is None):
        raise _wrong("say --record or --file, one of both")
    settings = load_settings()
    mesh = load_mesh(settings.mesh_folder)
    resolved = mesh.product(product)
    outbox = resolved.product.outbox
    if outbox is None:
        raise _wrong(f"{product} has no outbox: it follows from its inputs")
    read = reader(resolved.output.payload_schema)
    records = [read(value) for value in _values(record, file)]
    databases = environment_of(settings, mesh.file).databases
    if outbox.database not in databases:
        raise _wrong(f"the environment has no address for the database '{outbox.database}'")
    options = EmitOptions(encoding=encoding, road=road, traceparent=traceparent or None)
    emissions = [
        Emission(item, event_id=event_id or None, kind=kind, revision=revision, key_version=key_version or None)
        for item in records
    ]
    with writing(databases[outbox.database]) as connection:
        ids = emit_many(connection, resolved, emissions, options=options)
    for row_id in ids:
        if output == "json":
            console.print_json_line({"product": product, "id": row_id, "kind": kind, "revision": revision})
        else:
            console.out(row_id)


def _values(record: str, file: Path | None) -> list[Any]:
    import json
    import sys

    if file is None:
        lines = [record]
    else:
        try:
            lines = (sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")).splitlines()
        except OSError as error:
            raise _wrong(f"{file} cannot be read: {error.strerror}") from None
    values = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                values.append(json.loads(line))
            except ValueError as error:
                raise _wrong(f"line {number} is not JSON: {getattr(error, 'msg', error)}") from None
    return values


def _wrong(message: str) -> CallerFault:
    from headwater.errors import CallerFault

    return CallerFault(message, code="HW-O052", hint="headwater emit --help")
