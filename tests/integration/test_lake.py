"""The lake on the real stack: what a relay publishes to Kafka, in a table, by commands that are killed on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import psycopg
import pytest
from pyiceberg.catalog import load_catalog

import headwater
from headwater.mesh.load import load_mesh
from headwater.testing.small_mesh import DEPARTURES, FILES, write

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

SCHEMA = "schemas/avro/flights/departures/Departure.avsc"
FLIGHTS = 600
AT = 1_357_000_000_000_000


class Road:
    """A product with an outbox and a relay, in the lake of a data folder of its own."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.database, self.name = stack.fresh_name("shop"), f"{stack.fresh_name('d')}.departures"
        path = self.name.replace(".", "/")
        kafka, registry = stack.kafka, stack.registry_url
        self.dsn = stack.postgres_dsn(self.database)
        mesh = {
            "name": "small",
            "databases": [self.database],
            "environments": {"local": {
                "kafka": {"bootstrap.servers": kafka}, "registry": registry, "databases": {self.database: self.dsn},
                "lake": {"uri": f"sqlite:///{folder}/lake.db", "warehouse": f"file://{folder}/lake"},
            }},
        }  # fmt: skip
        write(folder, "mesh.yaml", json.dumps(mesh))
        contract = FILES[DEPARTURES].replace("flights.departures", self.name).replace("operations", self.database)
        write(folder, f"connectors/{path}/product.yaml", contract + "    ports: [topic, lake]\n")
        write(folder, f"schemas/avro/{path}/Departure.avsc", FILES[SCHEMA].replace("flights.departures", self.name))
        self.environment = {
            **os.environ, **stack.environment(), "HEADWATER_MESH": str(folder), "HEADWATER_DATA": str(folder / "data")
        }  # fmt: skip
        self.run("schema", "lock")
        assert f"lake: prepare the table {self.name}_v1" in self.run("apply")
        assert "nothing to do" in self.run("plan")
        self.product = load_mesh(folder).product(self.name)
        self.relay = subprocess.Popen([sys.executable, "-m", "headwater", "relay"], env=self.environment)

    def run(self, *command: str, **environment: str) -> str:
        done = self.stack.cli(*command, env={**self.environment, **environment}, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def emit(self, numbers: range, *, revision: int = 1) -> None:
        with psycopg.connect(self.dsn) as connection:
            for number in numbers:
                record = {"flight_id": f"F{number}", "origin": f"O{revision}", "occurred_at": AT + number}
                kind = "assert" if revision == 1 else "correct"
                headwater.emit(connection, self.product, record, event_id=f"F{number}", kind=kind, revision=revision)

    def settled(self, product: str) -> None:
        """Wait until all that was emitted is in the topic, and settled."""
        wanted, deadline = FLIGHTS * 2, time.monotonic() + 90
        while time.monotonic() < deadline:
            said = self.stack.cli("query", product, "--history", "--output", "json", env=self.environment)
            if said.stdout.count("\n") == wanted and "this answer is final" in said.stderr:
                return
            time.sleep(0.5)
        raise AssertionError(said.stderr)


@pytest.fixture(scope="module")
def road(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    made = Road(stack, tmp_path_factory.mktemp("lake"))
    yield made
    made.relay.terminate()
    made.relay.wait(60)
    stack.drop_slots(made.database)


@pytest.mark.slow
def test_each_record_of_the_topic_is_in_the_table_once_and_any_engine_reads_it(road: Road) -> None:
    road.emit(range(FLIGHTS))
    road.emit(range(FLIGHTS), revision=2)
    road.settled(road.name)
    fill = ("lake", "run", "--until-end")
    for point in ("lake.before_commit", "lake.after_commit"):
        died = road.stack.cli(*fill, env={**road.environment, "HEADWATER_FAILPOINT": f"{point}:1:kill"})
        assert died.returncode == -9
    road.run(*fill)
    road.run(*fill)  # nothing is new
    table = load_catalog("headwater", type="sql", uri=f"sqlite:///{road.folder}/lake.db").load_table(f"{road.name}_v1")
    frame = pl.scan_iceberg(table).collect()
    assert frame.height == FLIGHTS * 2
    assert frame.select("headwater_topic_id", "headwater_partition", "headwater_offset").n_unique() == FLIGHTS * 2
    files = [task.file.file_path.removeprefix("file://") for task in table.scan().plan_files()]
    newest = duckdb.execute(
        f"SELECT count(*), min(origin) FROM (SELECT * FROM read_parquet({files}) "
        "QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY revision DESC) = 1)"
    ).fetchall()
    assert newest == [(FLIGHTS, "O2")]
    status = json.loads(road.run("lake", "status", "--output", "json"))[0]
    assert status["records"] == FLIGHTS * 2 and status["settled_to"] and status["unreadable"] == 0

    asked = ("query", road.name, "--valid", "2013-01-01T00:26:40.000300Z", "--output", "json")
    by_topic, by_lake = road.run(*asked), road.run(*asked, "--port", "lake")
    assert sorted(by_topic.splitlines()) == sorted(by_lake.splitlines()) and by_lake.count("\n") == 301
    select = f"SELECT count(*) AS n, min(origin) AS o FROM {road.name}"
    assert json.loads(road.run("query", select, "--port", "lake", "--output", "json")) == {"n": FLIGHTS, "o": "O2"}
    assert "strays removed" in road.run("lake", "maintain", "--snapshots", "1ms", "--strays", "1ms")
    assert pl.scan_iceberg(table.refresh()).collect().height == FLIGHTS * 2
