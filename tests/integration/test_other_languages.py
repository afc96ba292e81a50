"""The example services in Java and Go, built and run against a database that `apply` made; the relay publishes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headwater import naming
from headwater.local.java import jars

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

ROOT = Path(__file__).parents[2]
FILES = ("mesh.yaml", "connectors/DOMAIN/departures/product.yaml", "schemas/avro/DOMAIN/departures/Departure.avsc")
SCHEDULED_AT = "2026-01-01T09:00:00Z"
Run = Callable[..., subprocess.CompletedProcess[str]]


class Airport:
    """The reference mesh's departures under a domain of their own, applied, with a relay at work."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.domain, self.database = stack.fresh_name("flights"), stack.fresh_name("operations")
        for name in FILES:
            text = (ROOT / name.replace("DOMAIN", "flights")).read_text()
            text = text.replace("flights.departures", f"{self.domain}.departures")
            text = text.replace("database: operations", f"database: {self.database}")
            text = text.replace("databases: [operations]", f"databases: [{self.database}]")
            path = folder / name.replace("DOMAIN", self.domain)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.partition("  containers:")[0] if name == "mesh.yaml" else text)
        self.dsn = stack.postgres_dsn(self.database)
        self.environment = {"HEADWATER_MESH": str(folder)}
        for command in (["schema", "lock"], ["apply"]):
            done = stack.cli(*command, env=self.environment)
            assert done.returncode == 0, done.stderr
        # The examples speak of the reference mesh; here its function has the name of this test's domain.
        with psycopg.connect(self.dsn) as connection:
            made = f"headwater_emit_{self.domain}_departures"
            connection.execute(f"ALTER FUNCTION {made} RENAME TO headwater_emit_flights_departures")
        environment = {**stack.environment(), **self.environment}
        self.relay = subprocess.Popen([sys.executable, "-m", "headwater", "relay"], env=environment)

    def records(self) -> list[dict[str, Any]]:
        done = self.stack.cli("tail", f"{self.domain}.departures", "--output", "json", env=self.environment)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def close(self) -> None:
        self.relay.kill()
        self.relay.wait()
        slot = naming.slot(self.database, "public.outbox")
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            query = "FROM pg_replication_slots WHERE slot_name = %s"
            connection.execute(f"SELECT pg_terminate_backend(active_pid, 5000) {query}", [slot])
            connection.execute(f"SELECT pg_drop_replication_slot(slot_name) {query}", [slot])


@pytest.fixture
def airport(stack: Stack, tmp_path: Path) -> Iterator[Airport]:
    made = Airport(stack, tmp_path / "mesh")
    yield made
    made.close()


def java(folder: Path) -> list[str]:
    compiler, runtime = shutil.which("javac"), shutil.which("java")
    if compiler is None or runtime is None:
        pytest.skip("javac is not on this machine")
    source = ROOT / "examples/services/java/src/GateDesk.java"
    subprocess.run([compiler, "-Xlint:all", "-Werror", "-d", str(folder), str(source)], check=True, timeout=120)
    return [runtime, "-cp", os.pathsep.join([str(folder), *map(str, jars("jdbc"))]), "GateDesk"]


def go(folder: Path) -> list[str]:
    compiler = shutil.which("go")
    if compiler is None:
        pytest.skip("go is not on this machine")
    program = folder / "gatedesk"
    source = ROOT / "examples/services/go"
    subprocess.run([compiler, "build", "-mod=readonly", "-o", str(program), "."], cwd=source, check=True, timeout=300)
    return [str(program)]


@pytest.mark.slow
@pytest.mark.parametrize("build", [java, go])
def test_a_service_with_nothing_but_its_driver_tells_the_mesh(
    airport: Airport, tmp_path: Path, build: Callable[[Path], list[str]]
) -> None:
    folder = tmp_path / "build"
    folder.mkdir()
    program = build(folder)

    def run(flight: str, delay: int) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "OPERATIONS_DATABASE": airport.dsn}
        command = [*program, flight, SCHEDULED_AT, str(delay)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    done = [run("HW1", 5), run("HW1", 12), run("HW2", 0)]
    assert [one.returncode for one in done] == [0, 0, 0], done[0].stderr
    refused = run("HW" + "9" * 300, 1)  # a key that the outbox's column cannot hold
    assert refused.returncode == 1
    deadline = time.monotonic() + 30
    while len(found := airport.records()) < 3:
        assert time.monotonic() < deadline, "the rows did not arrive"
    of_one = [record for record in found if record["flight_id"] == "HW1"]
    assert [(r["kind"], r["revision"], r["delay_minutes"]) for r in of_one] == [("assert", 1, 5), ("correct", 2, 12)]
    assert of_one[0]["event_id"] == of_one[1]["event_id"]
    assert of_one[1]["occurred_at"] == "2026-01-01T09:12:00.000000Z"
    with psycopg.connect(airport.dsn) as connection:
        rows = connection.execute("SELECT id::text, key_version FROM outbox ORDER BY created_at").fetchall()
        assert rows == [(done[0].stdout.strip(), 1), (done[1].stdout.strip(), 2), (done[2].stdout.strip(), 1)]
        flights = connection.execute("SELECT count(*) FROM gate_desk_flight").fetchone()
        assert flights == (2,)  # the refused one left nothing behind in the service's own table
