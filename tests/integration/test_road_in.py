"""Both lanes on the real stack: one database, one outbox, one history; two meshes read it, each by its own lane.

The second mesh has the same products in their next major, so that its topics are its own, and calls the database by
another name, so that position, slot and connector are.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from headwater.local import connect as local_connect
from headwater.mesh.load import load_mesh
from headwater.mesh.products import ResolvedProduct
from headwater.outbox.debezium_connect import Connect
from headwater.ports.kafka import KafkaBroker
from headwater.schemas.codec import RowCodec
from headwater.testing.conformance.road_in import (
    Lanes,
    RoadInSuite,
    Service,
    contents,
    read_all,
    row_id,
    write_history,
)
from headwater.testing.small_mesh import INSTANT, KIND, write
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

SECONDS = 90
_PLATFORM = f"""
    {{"name": "recorded_at", "type": {INSTANT}}}, {{"name": "kind", "type": {KIND}}},
    {{"name": "revision", "type": "long"}}]}}"""
EVENTS = f"""{{"type": "record", "name": "Event", "namespace": "DOMAIN.events", "fields": [
    {{"name": "event_id", "type": "string"}}, {{"name": "flight_id", "type": "string"}},
    {{"name": "occurred_at", "type": {INSTANT}}}, {{"name": "note", "type": ["null", "string"], "default": null}},
    {_PLATFORM}"""
FACTS = f"""{{"type": "record", "name": "Fact", "namespace": "DOMAIN.facts", "fields": [
    {{"name": "place", "type": "string"}}, {{"name": "valid_from", "type": {INSTANT}}},
    {{"name": "valid_to", "type": ["null", {INSTANT}], "default": null}}, {{"name": "level", "type": "long"}},
    {_PLATFORM}"""
CONTRACT = """product: DOMAIN.NAME
version: VERSION.0.0
type: source-aligned
owner: {team: tests, contact: tests@example.org}
purpose: What both lanes bring.
outbox: {database: DATABASE, table: public.outbox, lane: LANE, validate: relay}
outputs:
  - {name: records, schema: SCHEMA, key: [KEY], retention: forever, ports: [topic, current]}
"""


class Mesh:
    """A mesh folder, applied, with a relay."""

    def __init__(self, stack: Stack, folder: Path, domain: str, lane: str, *, name: str, database: str) -> None:
        self.stack, self.folder, self.lane, self.domain = stack, folder, lane, domain
        version = "1" if lane == "native" else "2"
        dsn = f"postgresql://postgres:${{PGPW}}@127.0.0.1:{stack.local.ports.postgres}/{database}"
        write(folder, "mesh.yaml", f"name: {domain}-{lane}\ndatabases: [{name}]\nenvironments:\n  road:\n"
              f"    kafka: {{bootstrap.servers: '{stack.kafka}'}}\n    registry: {stack.registry_url}\n"
              f"    connect: {stack.local.connect_url}\n    databases: {{{name}: '{dsn}'}}\n")  # fmt: skip
        for product, schema, text, key in (("events", "Event", EVENTS, "flight_id"), ("facts", "Fact", FACTS, "place")):
            contract = CONTRACT.replace("NAME", product).replace("SCHEMA", schema).replace("KEY", key)
            contract = contract.replace("VERSION", version).replace("LANE", lane).replace("DATABASE", name)
            write(folder, f"connectors/{domain}/{product}/product.yaml", contract.replace("DOMAIN", domain))
            write(folder, f"schemas/avro/{domain}/{product}/{schema}.avsc", text.replace("DOMAIN", domain))
        self.environment = {
            "HEADWATER_MESH": str(folder),
            "HEADWATER_ENVIRONMENT": "road",
            "PGPW": stack.local.password_file.read_text().strip(),
        }
        self.source = f"{name}.public.outbox"
        self.relay: subprocess.Popen[bytes] | None = None
        self.cli("schema", "lock")
        self.cli("apply", "--yes")

    def cli(self, *words: str) -> str:
        done = self.stack.cli(*words, env=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def products(self) -> dict[str, ResolvedProduct]:
        return {one.name.product: one for one in load_mesh(self.folder).products.values()}

    def deploy(self) -> str:
        """As `connector deploy`, but for the password: the worker of `up` knows it by its file, not as a variable."""
        name, config = next(iter(json.loads(self.cli("connector", "generate")).items()))
        secrets = local_connect.secrets_folder(self.stack.local)
        config["database.password"] = f"${{directory:{secrets}:{local_connect.PASSWORD_NAME}}}"
        Connect(self.stack.local.connect_url, clock=SystemClock()).put(name, config)
        return str(name)

    def start(self) -> None:
        environment = {**self.stack.environment(), **self.environment}
        self.relay = subprocess.Popen([sys.executable, "-m", "headwater", "relay"], env=environment)

    def stop(self) -> None:
        if self.relay is not None:
            self.relay.terminate()
            self.relay.wait(60)


@pytest.fixture(scope="module")
def meshes(stack: Stack, connect: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mesh, Mesh, str]]:
    domain, database = stack.fresh_name("road"), stack.fresh_database()
    native = Mesh(stack, tmp_path_factory.mktemp("native"), domain, "native", name=database, database=database)
    lane = Mesh(stack, tmp_path_factory.mktemp("lane"), domain, "debezium", name=f"{database}_too", database=database)
    connector = lane.deploy()
    for mesh in (native, lane):
        mesh.start()
    yield native, lane, stack.postgres_dsn(database)
    for mesh in (native, lane):
        mesh.stop()
    Connect(connect, clock=SystemClock()).act(connector, "delete")
    stack.drop_slots(database)


@pytest.fixture(scope="module")
def lanes(meshes: tuple[Mesh, Mesh, str], stack: Stack) -> Lanes:
    native, lane, dsn = meshes
    products = native.products()
    events, facts = products["events"], products["facts"]
    written = write_history(Service(lambda: psycopg.connect(dsn), events, facts))
    broker = KafkaBroker({"bootstrap.servers": stack.kafka})
    found = []
    for mesh in (native, lane):
        own = mesh.products()
        until = time.monotonic() + SECONDS
        while written.last not in {row_id(one.headers) for one in read_all(broker, own["events"].output.topic)}:
            assert time.monotonic() < until, f"the {mesh.lane} lane did not bring the last row"
            time.sleep(0.5)
        found.append({name: contents(broker, product) for name, product in own.items()})
    return Lanes(written, found[0], found[1], RowCodec(events.output.schema).decode, "events")


@pytest.mark.timeout(240)
@pytest.mark.slow
class TestBothLanes(RoadInSuite):
    pass
