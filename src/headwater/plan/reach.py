"""The running mesh, reached: an environment's addresses to the parts that `plan` asks and `apply` changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from headwater.contracts.environment import Environment
from headwater.errors import CallerFault
from headwater.mesh.products import Mesh
from headwater.outbox.capture_admin import PostgresTableAdmin
from headwater.outbox.source import OutboxSource
from headwater.outbox.source_postgres import PostgresAdmin
from headwater.outbox.store import SourceAdmin
from headwater.plan.actual import Parts
from headwater.ports.kafka import KafkaBroker
from headwater.ports.lake.opening import open_lake
from headwater.schemas.registry_http import HttpRegistry
from headwater.timeline.clock import Clock


@contextmanager
def reach(
    environment: Environment, sources: tuple[OutboxSource, ...], *, clock: Clock, mesh: Mesh | None = None
) -> Iterator[Parts]:
    """The parts of an environment, closed at the end; raises `Unreachable` for one that does not answer.

    The lake is among them where a product of `mesh` is in it.
    """
    with ExitStack() as closing:
        broker = KafkaBroker(environment.kafka, clock=clock)
        closing.callback(broker.close)
        broker.describe([])
        registry = HttpRegistry(environment.registry_url)
        admins: dict[str, SourceAdmin] = {}
        for source in sources:
            admin = _admin(_address(environment, source), source)
            closing.callback(admin.close)
            admins[source.name] = admin
        in_lake = mesh is not None and any(
            "lake" in one.output.ports for product in mesh.products.values() for one in product.outputs
        )
        yield Parts(broker, registry, admins, open_lake(environment.lake) if in_lake else None, environment.kafka)


def _admin(address: str, source: OutboxSource) -> PostgresAdmin:
    if not source.captured:
        return PostgresAdmin(address, database=source.database, table=source.table, slot=source.slot)
    captures = [product.product.capture for product in source.products]
    whole = any(capture is not None and capture.old_rows == "whole" for capture in captures)
    return PostgresTableAdmin(address, database=source.database, table=source.table, whole=whole)


def _address(environment: Environment, source: OutboxSource) -> str:
    address = environment.databases.get(source.database)
    if not address:
        raise CallerFault(
            f"the environment '{environment.name}' does not say where the database '{source.database}' is",
            code="HW-D015",
            detail=f"the outbox of {source.products[0].name} is in it",
            hint="add it to the environment's databases in mesh.yaml",
        )
    return address
