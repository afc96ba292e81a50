"""`headwater registry`: the registry in the box."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    port: Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65535)],
    kafka: Annotated[str, typer.Option(help="Kafka's bootstrap servers, for the registry's log.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the Confluent schema registry API; everything is kept in Kafka's topic `_schemas`, made where missing."""
    from headwater.cli import console
    from headwater.cli.listening import listen
    from headwater.ports.kafka import KafkaBroker
    from headwater.ports.schemas_log import SchemasLog
    from headwater.schemas.registry_server import RegistryApp
    from headwater.schemas.registry_service import RegistryService
    from headwater.timeline.clock import SystemClock

    broker = KafkaBroker({"bootstrap.servers": kafka})
    log = SchemasLog(broker, SystemClock())
    log.prepare()
    log.claim()
    service = RegistryService(log)
    count = service.catch_up()
    console.err().print(f"registry: {count} records read, listening on http://{host}:{port}")
    try:
        listen(RegistryApp(service), host, port)
    finally:
        log.close()
        broker.close()
