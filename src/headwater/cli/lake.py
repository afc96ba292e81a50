"""`headwater lake`: fill the tables of the lake, say how they stand, and keep them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from headwater.mesh.products import Mesh, ResolvedProduct

app = typer.Typer(no_args_is_help=True, help="Tables of the lake: fill them, say how they stand, keep them in order.")
Products = Annotated[list[str] | None, typer.Argument(metavar="[PRODUCT]...", help="Only these; else all in the lake.")]
Output = Annotated[Literal["text", "json"], typer.Option("--output", help="How to print it.")]


@app.command()
def run(
    products: Products = None,
    commit_seconds: Annotated[
        float, typer.Option("--commit-seconds", min=0.1, max=86_400, help="How often what came is made visible.")
    ] = 60.0,
    held_mb: Annotated[
        int, typer.Option("--held-mb", min=1, max=65_536, help="MiB that a table's writer holds before it commits.")
    ] = 64,
    unreadable: Annotated[
        Literal["stop", "skip"], typer.Option("--unreadable", help="What to do at a value that cannot be decoded.")
    ] = "stop",
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop where nothing more is committed in the topics.")
    ] = False,
    metrics_port: Annotated[
        int, typer.Option("--metrics-port", min=0, max=65_535, help="Serve Prometheus metrics on loopback; 0: do not.")
    ] = 0,
) -> None:
    """Put the records of products into their tables, each once, until SIGTERM or Ctrl-C.

    Kill it at any moment and start it again: it begins where the tables stand. It creates nothing. A table that cannot
    go on is reported and left; the others are filled on, and the exit code at the end tells.
    """
    from headwater.cli import console
    from headwater.hooks import Hooks, arm
    from headwater.mesh.load import load_mesh
    from headwater.observability.prometheus import PrometheusListener
    from headwater.ports.kafka import KafkaBroker
    from headwater.ports.lake.opening import open_lake
    from headwater.ports.lake.serving import serve_all
    from headwater.ports.lake.writer import Around, LakeOptions, LakeWriter
    from headwater.schemas.registry_http import HttpRegistry
    from headwater.settings import environment_of, load_settings
    from headwater.stopping import Stopping
    from headwater.timeline.clock import SystemClock

    settings, clock = load_settings(), SystemClock()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    progress, metrics = console.err(), PrometheusListener()
    hooks = Hooks([_Reporter(lambda text: progress.print(text, markup=False)), metrics])
    if metrics_port:
        metrics.serve(metrics_port)
    options = LakeOptions(
        commit_seconds=commit_seconds, held_bytes=held_mb * 1024 * 1024, unreadable=unreadable, until_end=until_end
    )
    writers = {}
    for product in _chosen(mesh, products or []):
        around = Around(
            KafkaBroker(environment.kafka, clock=clock, hooks=hooks),
            HttpRegistry(environment.registry_url),
            mesh.file.tick,
            clock,
            hooks,
            failpoint=arm(settings.failpoint),
        )
        table = open_lake(environment.lake).table(product)
        writers[table.name] = LakeWriter(product, table, around, options)
    stopping = Stopping().on_signals()
    progress.print(f"filling {', '.join(writers)}; SIGTERM or Ctrl-C stops", markup=False)
    failures = serve_all(writers, stopping, hooks=hooks)
    if failures:
        raise failures[-1]


@app.command()
def maintain(
    products: Products = None,
    snapshots: Annotated[str, typer.Option("--snapshots", help="How long old snapshots can be read, as 1d.")] = "1d",
    strays: Annotated[
        str, typer.Option("--strays", help="How old a file is that no snapshot names before it goes, as 1d.")
    ] = "1d",
) -> None:
    """Put small files together, drop old snapshots and days beyond the contract's retention, remove strays.

    Run it beside the writers, once a day or so: what a writer comes in between of is left for the next time.
    """
    from headwater.cli import console
    from headwater.mesh.load import load_mesh
    from headwater.ports.lake.opening import open_lake
    from headwater.settings import environment_of, load_settings
    from headwater.timeline.clock import SystemClock
    from headwater.timeline.instant import Duration

    settings, clock = load_settings(), SystemClock()
    mesh = load_mesh(settings.mesh_folder)
    lake = open_lake(environment_of(settings, mesh.file).lake)
    from headwater.ports.lake.maintain_iceberg import Kept, Maintenance  # once it is known that PyIceberg is there

    for product in _chosen(mesh, products or []):
        kept = Kept(Duration.parse(snapshots), product.output.output.retention, Duration.parse(strays))
        table = lake.table(product)
        done = Maintenance(table, lake.source(product), kept).tend(clock.now())
        console.out(
            f"{table.name}: {done.files_before} files put into {done.files_after}; {done.days} days, "
            f"{done.snapshots} snapshots and {done.strays} strays removed"
        )


@app.command()
def status(products: Products = None, output: Output = "text") -> None:
    """Say how far each table has read its topic, and up to when it is settled."""
    from headwater.cli import console
    from headwater.mesh.load import load_mesh
    from headwater.ports.lake.opening import open_lake
    from headwater.settings import environment_of, load_settings

    settings = load_settings()
    mesh = load_mesh(settings.mesh_folder)
    lake = open_lake(environment_of(settings, mesh.file).lake)
    rows: list[dict[str, object]] = []
    for product in _chosen(mesh, products or []):
        table = lake.table(product)
        found, counts = table.look().progress, table.counts()
        settled = found.settled_to.iso() if found is not None and found.settled_to >= 0 else ""
        rows.append(
            {
                "product": str(product.name),
                "table": table.name,
                **counts,
                "settled_to": settled,
                "offsets": dict(found.offsets) if found is not None else {},
                "unreadable": found.unreadable if found is not None else 0,
            }
        )
    if output == "json":
        console.print_json(rows)
        return
    for row in rows:
        settled = f"settled up to {row['settled_to']}" if row["settled_to"] else "nothing is settled yet"
        unread = f"; {row['unreadable']} could not be read" if row["unreadable"] else ""
        console.out(
            f"{row['table']}: {row['records']:,} records in {row['files']:,} files, {row['snapshots']:,} snapshots; "
            f"{settled}{unread}"
        )


def _chosen(mesh: Mesh, names: list[str]) -> Iterator[ResolvedProduct]:
    """The outputs of the lake, or those that are named."""
    from headwater.local.lake import of_the_lake
    from headwater.ports.lake.refusals import not_of_the_lake

    if names:
        for product in [mesh.product(name) for name in names]:
            if "lake" not in product.output.output.ports:
                raise not_of_the_lake(str(product.name))
            yield product
        return
    found = of_the_lake(mesh)
    if not found:
        raise not_of_the_lake("no product of the mesh")
    yield from found


class _Reporter:
    """Says what a person wants to know: each trouble of a table once until it goes on."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._doubts: dict[object, object] = {}
        self._unread: dict[object, object] = {}

    def __call__(self, happening: str, fields: dict[str, object]) -> None:
        table = fields.get("table")
        if happening == "lake.committed":
            self._doubts.pop(table, None)
            if fields["unreadable"] != self._unread.get(table, 0):
                self._unread[table] = fields["unreadable"]
                self._say(f"{table}: {fields['unreadable']} values were passed over, since they cannot be decoded")
        elif happening == "lake.waiting" and self._doubts.get(table) != fields["code"]:
            self._doubts[table] = fields["code"]
            self._say(f"{table}: {fields['reason']}; trying again [{fields['code']}]")
        elif happening == "lake.failed" and fields["others"]:  # the last one's reason is the command's own error
            self._say(
                f"{table} ends: {fields['reason']}; {fields['others']} go on\nfix: {fields['hint']}\n[{fields['code']}]"
            )
