"""`headwater serve`: the mesh's products over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    port: Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65535)] = 8099,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    rate: Annotated[float, typer.Option(help="Requests a second that one client may make.", min=1)] = 50.0,
    query_seconds: Annotated[float, typer.Option(help="A SELECT is stopped then.", min=1, max=600)] = 30.0,
) -> None:
    """Serve as-of answers, histories, snapshots, feeds and SQL of the products that have the port `http`.

    GET /v1/products names them, /v1/openapi.json describes all. HEADWATER_CURSOR_KEY signs cursors; where it is not
    set, they are good until the server ends. There is no authentication yet: on another address than 127.0.0.1, put a
    proxy in front that does it.
    """
    import secrets

    from headwater.cli import console
    from headwater.cli.listening import listen
    from headwater.errors import CallerFault
    from headwater.mesh.load import load_mesh
    from headwater.ports.access import DenyClassified
    from headwater.ports.http.app import HttpPort
    from headwater.ports.http.cursors import Cursors
    from headwater.ports.http.limits import Limits
    from headwater.ports.http.served import Products
    from headwater.ports.kafka import KafkaBroker
    from headwater.schemas.registry_http import HttpRegistry
    from headwater.sdk.query import Bounds
    from headwater.sdk.served_sql import served_sql
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    settings, clock = load_settings(), SystemClock()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    broker = KafkaBroker(environment.kafka)
    registry = HttpRegistry(environment.registry_url)
    products = Products(mesh.in_order(), broker, registry, DenyClassified(), tick=mesh.file.tick)
    names = [str(one.product.name) for one in products.all("")]
    if not names:
        raise CallerFault(
            "no product of the mesh is served over HTTP",
            code="HW-K071",
            detail="a product is served where its contract says so",
            hint="ports: [topic, http] at an output in product.yaml",
        )
    if not settings.cursor_key:
        console.err().print("cursors are good until this server ends: HEADWATER_CURSOR_KEY is not set", markup=False)
    app = HttpPort(
        products,
        Cursors(settings.cursor_key.encode() or secrets.token_bytes(32), clock),
        clock,
        served_sql(Bounds(seconds=query_seconds)),
        limits=Limits(rate=rate, burst=int(2 * rate) + 1),
    )
    console.err().print(f"{', '.join(names)}: http://{host}:{port}/v1/products", markup=False)
    try:
        listen(app, host, port, goodbye_seconds=2)
    finally:
        broker.close()
