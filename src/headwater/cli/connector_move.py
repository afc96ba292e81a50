"""`headwater connector move`: a live source from one lane to the other, without a loss or a repeat."""

from __future__ import annotations

from typing import Annotated

import typer


def move(source: Annotated[str, typer.Argument(help="The outbox, as operations.public.outbox.")]) -> None:
    """Let the lane that the contracts say go on where the other one is, without a loss or a repeat; or refuse.

    First write the new lane into product.yaml, then apply, and for Debezium connector deploy; the old relay runs on
    meanwhile. Then stop it, move, and start the relay again. A refusal changes nothing, and says what to wait for.
    """
    from headwater.cli import console
    from headwater.errors import CallerFault
    from headwater.mesh.load import load_mesh
    from headwater.outbox.companion_postgres import PostgresCompanion
    from headwater.outbox.lanes import move as move_lane
    from headwater.outbox.source import sources_of
    from headwater.outbox.source_postgres import PostgresAdmin
    from headwater.ports.kafka import KafkaBroker
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    settings, clock = load_settings(), SystemClock()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    found = next((one for one in sources_of(mesh) if one.name == source), None)
    if found is None:
        raise CallerFault(f"the mesh has no outbox {source}", code="HW-O050", hint="headwater relay names them")
    address = environment.databases[found.database]
    admin = PostgresAdmin(address, database=found.database, table=found.table, slot=found.slot)
    companion = PostgresCompanion(address, database=found.database, table=found.table)
    try:
        broker = KafkaBroker(environment.kafka)
        position = move_lane(found, admin=admin, companion=companion, broker=broker, clock=clock)
    finally:
        companion.close()
        admin.close()
    if position is None:
        console.out(f"{source}: is on the {found.lane} lane already")
        return
    console.out(f"{source}: the {found.lane} lane goes on from here; start the relay again")
    console.out("the other lane's replication slot holds back the database's log until it is dropped")
