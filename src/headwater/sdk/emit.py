"""`headwater.emit`: an outbox row in the service's own transaction, by the product's name."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from headwater.mesh.load import load_mesh
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.outbox import emitter
from headwater.outbox.emitter import Connection
from headwater.outbox.event import Kind
from headwater.settings import load_settings


def emit(
    connection: Connection,
    product: str | ResolvedProduct,
    record: object,
    *,
    event_id: str | None = None,
    kind: Kind = "assert",
    revision: int = 1,
) -> str:
    """Say that something happened, in the transaction of `connection`; the id of the outbox row.

    `product` is a source-aligned product's name, found in the mesh of the settings (`HEADWATER_MESH`, else the nearest
    `mesh.yaml` upward), or the product itself. `record` is a mapping, a dataclass, a pydantic model or a type made by
    `headwater schema generate`, with the payload's fields, instants as datetimes with a zone or integer microseconds.
    It is checked against the schema before the INSERT; commit and
    roll-back stay yours.

        with psycopg.connect(address) as connection:
            connection.execute("UPDATE departure SET ...")
            headwater.emit(connection, "flights.departures", {...}, event_id=identity, kind="correct", revision=2)

    Raises `Misfit` where the record does not fit, `CallerFault` where the call is wrong; nothing was written then.
    """
    resolved = product if isinstance(product, ResolvedProduct) else _product(product)
    return emitter.emit(connection, resolved, record, event_id=event_id, kind=kind, revision=revision)


@lru_cache(maxsize=1_000)
def _product(name: str) -> ResolvedProduct:
    return _mesh(load_settings().mesh_folder).product(name)


@lru_cache(maxsize=10)
def _mesh(folder: Path) -> Mesh:
    return load_mesh(folder)
