"""`headwater.emit` and its kin: outbox rows in the service's own transaction, by the product's name."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from headwater.mesh.load import load_mesh
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.outbox.emission import Emission, EmitOptions
from headwater.outbox.emit_connection import Connection, write_rows, write_rows_async
from headwater.outbox.emitter import events_of
from headwater.outbox.event import Kind, OutboxEvent
from headwater.settings import load_settings

_DEFAULT_OPTIONS = EmitOptions()


def emit(
    connection: Connection | Any,
    product: str | ResolvedProduct,
    record: object,
    *,
    event_id: str | None = None,
    kind: Kind = "assert",
    revision: int = 1,
    key_version: int | None = None,
    options: EmitOptions = _DEFAULT_OPTIONS,
) -> str:
    """Say that something happened, in the transaction of `connection`; the id of the outbox row.

    `connection` is one of psycopg or of any other DB-API driver, or a `Session` or `Connection` of SQLAlchemy; commit
    and roll-back stay yours. `product` is a source-aligned product's name, found in the mesh of the settings
    (`HEADWATER_MESH`, else the nearest `mesh.yaml` upward), or the product itself. `record` is a mapping, a dataclass,
    a pydantic model or a type made by `headwater schema generate`, with the payload's fields: those of the schema
    without `event_id`, `recorded_at`, `kind` and `revision`. Instants are datetimes with a zone or integer
    microseconds. It is checked against the schema before the INSERT.

    `event_id` is the event's identity, the same in each correction; left out, the row's id becomes it. `revision` grows
    with each change of the event or fact. A `retract` carries the payload of what it takes back. `key_version` is the
    key's own count, taken under the lock of the service's row. Emitted again with the same identity and revision, a
    record is not written again: the id is that of the first time.

        with psycopg.connect(address) as connection:
            connection.execute("UPDATE departure SET ...")
            headwater.emit(connection, "flights.departures", {...}, event_id=identity, kind="correct", revision=2)

    Raises `Misfit` where the record does not fit, `CallerFault` where the call is wrong, HW-O069 where the revision was
    emitted with other contents; nothing was written then.
    """
    emission = Emission(record, event_id=event_id, kind=kind, revision=revision, key_version=key_version)
    return emit_many(connection, product, [emission], options=options)[0]


def emit_many(
    connection: Connection | Any,
    product: str | ResolvedProduct,
    records: Iterable[object],
    *,
    options: EmitOptions = _DEFAULT_OPTIONS,
) -> list[str]:
    """The same for many records, in one round trip for each thousand; the ids of their rows, in order.

    An `Emission` among the records says event_id, kind, revision and key_version of its record; any other record is a
    first report. All are checked before the first is written. Raises as `emit` does.
    """
    table, events = _prepared(product, records, options)
    if events:
        write_rows(connection, events, table, options.road)
    return [event.id for event in events]


async def emit_async(
    connection: Any,
    product: str | ResolvedProduct,
    record: object,
    *,
    event_id: str | None = None,
    kind: Kind = "assert",
    revision: int = 1,
    key_version: int | None = None,
    options: EmitOptions = _DEFAULT_OPTIONS,
) -> str:
    """`emit` for an async connection of psycopg, or an `AsyncSession` or `AsyncConnection` of SQLAlchemy.

    async with await psycopg.AsyncConnection.connect(address) as connection:
        await connection.execute("UPDATE departure SET ...")
        await headwater.emit_async(connection, "flights.departures", {...}, event_id=identity)
    """
    emission = Emission(record, event_id=event_id, kind=kind, revision=revision, key_version=key_version)
    return (await emit_many_async(connection, product, [emission], options=options))[0]


async def emit_many_async(
    connection: Any,
    product: str | ResolvedProduct,
    records: Iterable[object],
    *,
    options: EmitOptions = _DEFAULT_OPTIONS,
) -> list[str]:
    """`emit_many` for an async connection."""
    table, events = _prepared(product, records, options)
    if events:
        await write_rows_async(connection, events, table, options.road)
    return [event.id for event in events]


def resolved_product(product: str | ResolvedProduct) -> ResolvedProduct:
    """A product by its name, from the mesh of the settings; raises `CallerFault` HW-C060 where it has none such."""
    return product if isinstance(product, ResolvedProduct) else _product(product)


def _prepared(
    product: str | ResolvedProduct, records: Iterable[object], options: EmitOptions
) -> tuple[str, list[OutboxEvent]]:
    resolved = resolved_product(product)
    events = events_of(resolved, list(records), options)
    outbox = resolved.product.outbox
    return (outbox.table if outbox is not None else ""), events


@lru_cache(maxsize=1_000)
def _product(name: str) -> ResolvedProduct:
    return _mesh(load_settings().mesh_folder).product(name)


@lru_cache(maxsize=10)
def _mesh(folder: Path) -> Mesh:
    return load_mesh(folder)
