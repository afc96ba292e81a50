"""The demo's last step: the tables of the lake filled from the topics, and how to read them without Headwater."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.contracts.environment import Environment
    from headwater.mesh.products import Mesh, ResolvedProduct
    from headwater.timeline.clock import Clock

COUNTED = "SELECT origin, count(*) AS records FROM rows GROUP BY origin ORDER BY origin"


@dataclass(frozen=True, slots=True)
class Filled:
    """A table after the demo: its name in the catalogue, its records, and up to when it is settled."""

    table: str
    records: int
    settled_to: str


def of_the_lake(mesh: Mesh) -> list[ResolvedProduct]:
    """The outputs with the port `lake`, sources first."""
    return [one for product in mesh.in_order() for one in product.each if "lake" in one.output.output.ports]


def fill(mesh: Mesh, environment: Environment, clock: Clock) -> list[Filled]:
    """Bring every table of the mesh to the end of its topic. Raises what stopped the first writer that was stopped."""
    from headwater.hooks import Hooks
    from headwater.ports.kafka import KafkaBroker
    from headwater.ports.lake.opening import open_lake
    from headwater.ports.lake.serving import serve_all
    from headwater.ports.lake.writer import Around, LakeOptions, LakeWriter
    from headwater.schemas.registry_http import HttpRegistry
    from headwater.stopping import Stopping

    hooks, lake = Hooks(), open_lake(environment.lake)
    writers, brokers = {}, []
    for product in of_the_lake(mesh):
        broker = KafkaBroker(environment.kafka, clock=clock, hooks=hooks)
        brokers.append(broker)
        around = Around(broker, HttpRegistry(environment.registry_url), mesh.file.tick, clock, hooks)
        table = lake.table(product)
        writers[table.name] = LakeWriter(product, table, around, LakeOptions(until_end=True))
    try:
        failures = serve_all(writers, Stopping(), hooks=hooks)
    finally:
        for broker in brokers:
            broker.close()
    if failures:
        raise failures[0]
    filled = []
    for product in of_the_lake(mesh):
        table = lake.table(product)
        progress = table.look().progress
        settled_to = progress.settled_to.iso() if progress is not None and progress.settled_to >= 0 else ""
        filled.append(Filled(table.name, table.counts()["records"], settled_to))
    return filled


def read_alone(filled: Sequence[Filled], environment: Environment) -> str:
    """A command that reads the first table by PyIceberg and DuckDB: nothing of Headwater, nor Kafka, takes part."""
    import json
    from shlex import quote

    settings = ", ".join(f"{name}={json.dumps(environment.lake[name])}" for name in ("type", "uri"))
    program = (
        "from pyiceberg.catalog import load_catalog; "
        f'table = load_catalog("headwater", {settings}).load_table({json.dumps(filled[0].table)}); '
        f'print(table.scan().to_duckdb("rows").sql("{COUNTED}"))'
    )
    return f"python -c {quote(program)}"
