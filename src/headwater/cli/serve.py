"""`headwater serve`: the mesh's products over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from headwater.ports.index.layout import Stores
    from headwater.timeline.clock import Clock


def command(
    port: Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65535)] = 8099,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    rate: Annotated[
        float, typer.Option(help="Requests a second of a principal; without tokens, of an address.", min=1)
    ] = 50.0,
    query_seconds: Annotated[float, typer.Option(help="A SELECT is stopped then.", min=1, max=600)] = 30.0,
    indexed: Annotated[
        bool, typer.Option("--index/--no-index", help="Answer from an index on disk; else topics are read each time.")
    ] = True,
    tokens: Annotated[
        Path | None, typer.Option(help="A file of tokens that are accepted: hashes and principals, of headwater token.")
    ] = None,
    issuer: Annotated[str, typer.Option(help="The OpenID provider whose tokens are accepted.")] = "",
    audience: Annotated[str, typer.Option(help="For whom its tokens have to be.")] = "",
    keys: Annotated[str, typer.Option(help="Its JWK set: a file, or an https address.")] = "",
) -> None:
    """Serve as-of answers, histories, snapshots, feeds and SQL of the products that have the port `http`.

    A SELECT may name those with the port `sql` too, which have no paths of their own.

    Answers come from an index that follows the topics. It lies in HEADWATER_DATA, is filled once, and goes on where it
    was after a restart; while it is filled, questions that need more wait (HW-R038), and stderr says how far it is.

    GET /v1/products names them, /v1/openapi.json describes all. HEADWATER_CURSOR_KEY signs cursors; where it is not
    set, they are good until the server ends. On loopback nobody has to say who asks; on any other address a bearer
    token is asked for, of a file or of an OpenID provider.
    """
    import secrets

    from headwater.cli import console
    from headwater.cli.listening import listen
    from headwater.cli.serve_access import AccessOptions, asking
    from headwater.errors import CallerFault
    from headwater.hooks import Hooks
    from headwater.mesh.load import load_mesh
    from headwater.ports.access import DenyClassified
    from headwater.ports.http.app import HttpPort
    from headwater.ports.http.cursors import Cursors
    from headwater.ports.http.limits import Limits
    from headwater.ports.http.served import SELECTED, Products, served_of
    from headwater.ports.index.follower import Index
    from headwater.ports.kafka import KafkaBroker
    from headwater.schemas.registry_http import HttpRegistry
    from headwater.sdk.query import Bounds
    from headwater.sdk.served_sql import served_sql
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock

    settings, clock = load_settings(), SystemClock()
    principal = asking(host, AccessOptions(tokens, issuer, audience, keys), clock)
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    broker = KafkaBroker(environment.kafka)
    registry = HttpRegistry(environment.registry_url)
    index = None
    if indexed:
        stores = _stores(settings.data_folder / "serve" / "index", clock)
        served, hooks = served_of(mesh.in_order()), Hooks([_told])
        index = Index(served, broker, registry, stores, tick=mesh.file.tick, clock=clock, hooks=hooks)
    products = Products(mesh.in_order(), broker, registry, DenyClassified(), tick=mesh.file.tick, index=index)
    names = [str(one.product.name) for one in products.all("", SELECTED)]
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
        principal,
        limits=Limits(rate=rate, burst=int(2 * rate) + 1),
    )
    console.err().print(f"{', '.join(names)}: http://{host}:{port}/v1/products", markup=False)
    if index is not None:
        index.start()
    try:
        listen(app, host, port, goodbye_seconds=2)
    finally:
        if index is not None:
            index.close()
        broker.close()


def _stores(folder: Path, clock: Clock) -> Stores:
    from headwater.errors import CallerFault
    from headwater.processing.state_rocksdb import RocksStates

    try:
        return RocksStates(folder, clock=clock)
    except CallerFault as error:
        raise CallerFault(
            "another server has the index",
            code="HW-K072",
            detail=error.message,
            hint="end it; or give this one an index of its own with HEADWATER_DATA, or none with --no-index",
        ) from None


def _told(happening: str, fields: dict[str, object]) -> None:
    """Progress and waiting, on stderr."""
    from headwater.cli import console

    if happening == "index.filling":
        said = f"{fields['product']}: the index is {fields['percent']}% filled, {fields['records']:,} records"
        console.err().print(said, markup=False)
    elif happening == "index.waiting":
        console.err().print(f"the index waits: {fields['reason']} [{fields['code']}]", markup=False)
