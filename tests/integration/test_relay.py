"""The road in on the real stack: from a commit to the topic, through stops, bad rows and a database that goes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import headwater
from headwater import naming
from headwater.mesh.load import load_mesh
from headwater.mesh.products import ResolvedProduct
from headwater.testing.small_mesh import DEPARTURES, FILES, edit, write

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

STOP_SECONDS_LIMIT = 1.0


class Road:
    """A mesh of one source with everything applied, its database, and relays as processes."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.domain = stack.fresh_name("flights")
        self.database = stack.fresh_name("operations")
        for name in ("mesh.yaml", DEPARTURES, "schemas/avro/flights/departures/Departure.avsc"):
            moved = name.replace("/flights/", f"/{self.domain}/")
            write(folder, moved, FILES[name].replace("flights.departures", f"{self.domain}.departures"))
        edit(folder, "mesh.yaml", "databases: [operations]", f"databases: [{self.database}]")
        contract = DEPARTURES.replace("/flights/", f"/{self.domain}/")
        edit(folder, contract, "database: operations", f"database: {self.database}")
        self.dsn = stack.postgres_dsn(self.database)
        self.environment = {"HEADWATER_MESH": str(folder)}
        self.processes: list[subprocess.Popen[str]] = []
        self.apply()

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.stack.cli(*arguments, env=self.environment)

    def apply(self) -> None:
        self.cli("schema", "lock")
        done = self.cli("apply")
        assert done.returncode == 0, done.stderr

    @property
    def product(self) -> ResolvedProduct:
        return load_mesh(self.folder).product(f"{self.domain}.departures")

    @property
    def slot(self) -> str:
        return naming.slot(self.database, "public.outbox")

    def relay(self) -> subprocess.Popen[str]:
        environment = {**self.stack.environment(), **self.environment}
        process = subprocess.Popen(
            [sys.executable, "-m", "headwater", "relay"], env=environment, stderr=subprocess.PIPE, text=True
        )
        self.processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[str]) -> tuple[int, str, float]:
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=60)[1]
        return process.returncode, errors, time.monotonic() - started

    def records(self, *options: str) -> list[dict[str, Any]]:
        done = self.cli("tail", f"{self.domain}.departures", "--output", "json", *options)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def flights(self) -> list[str]:
        return sorted(record["flight_id"] for record in self.records())

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = %s",
                [self.slot],
            )
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [self.slot]
            )


@pytest.fixture
def road(stack: Stack, tmp_path: Path) -> Iterator[Road]:
    made = Road(stack, tmp_path)
    yield made
    made.close()


def flight(number: int, **more: object) -> dict[str, object]:
    return {"flight_id": f"F{number}", "origin": "JFK", "occurred_at": 1_357_000_000_000_000, **more}


def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


def test_what_is_emitted_and_committed_arrives_and_what_is_rolled_back_never_does(road: Road) -> None:
    road.relay()
    product = road.product
    with psycopg.connect(road.dsn) as connection:
        headwater.emit(connection, product, flight(1))
        connection.rollback()
        event_id = headwater.emit(connection, product, flight(2, delay_minutes=7))
        connection.commit()
        headwater.emit(connection, product, flight(2), event_id=event_id, kind="correct", revision=2)
        connection.commit()
    done = road.cli("emit", str(product.name), "--record", json.dumps(flight(3)))
    assert done.returncode == 0, done.stderr
    eventually(lambda: len(road.records()) == 3)
    found = [record for record in road.records() if record["flight_id"] == "F2"]
    assert [(r["event_id"], r["kind"], r["revision"]) for r in found] == [
        (event_id, "assert", 1), (event_id, "correct", 2)
    ]  # fmt: skip
    assert found[0]["recorded_at"] < found[1]["recorded_at"]
    assert found[0]["delay_minutes"] == 7 and found[0]["occurred_at"] == "2013-01-01T00:26:40.000000Z"


def test_a_row_written_with_plain_sql_that_does_not_fit_goes_aside_and_the_rest_goes_on(road: Road) -> None:
    road.relay()
    insert = (
        f"INSERT INTO outbox (aggregatetype, aggregateid, type, payload) VALUES ('{road.product.name}', %s, "
        f"'{road.product.name}.Departure', %s)"
    )
    with psycopg.connect(road.dsn) as connection:
        connection.execute(insert, ["F1", json.dumps(flight(1))])
        connection.execute(insert, ["F2", json.dumps(flight(2, occurred_at="long ago"))])
        connection.execute(insert, ["F3", json.dumps(flight(3))])
    eventually(lambda: road.flights() == ["F1", "F3"])
    aside = road.records("--quarantine")
    assert len(aside) == 1 and "HW-S040" in json.dumps(aside) and "long ago" not in json.dumps(aside)


def test_a_restarted_relay_goes_on_where_it_was_and_stops_within_a_second(road: Road) -> None:
    first = road.relay()
    product = road.product
    with psycopg.connect(road.dsn, autocommit=True) as connection:
        headwater.emit(connection, product, flight(1))
        eventually(lambda: len(road.records()) == 1)
        code, errors, seconds = road.stop(first)
        assert code == 0 and seconds < STOP_SECONDS_LIMIT, errors
        headwater.emit(connection, product, flight(2))
        road.relay()
        headwater.emit(connection, product, flight(3))
    eventually(lambda: road.flights() == ["F1", "F2", "F3"])


def test_without_its_slot_the_relay_refuses_and_names_the_repair(road: Road) -> None:
    with psycopg.connect(road.dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_drop_replication_slot(%s)", [road.slot])
    done = road.cli("relay")
    assert done.returncode == 70
    assert "HW-O080" in done.stderr and "headwater relay repair" in done.stderr


def test_a_connection_that_is_cut_is_said_once_and_mended(road: Road) -> None:
    process = road.relay()
    product = road.product
    with psycopg.connect(road.dsn, autocommit=True) as connection:
        headwater.emit(connection, product, flight(1))
        eventually(lambda: len(road.records()) == 1)
        for _ in range(2):
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND backend_type = 'walsender'"
            )
            time.sleep(0.3)
        headwater.emit(connection, product, flight(2))
    eventually(lambda: road.flights() == ["F1", "F2"])
    code, errors, _ = road.stop(process)
    assert code == 0 and "PostgreSQL does not answer" in errors


def test_a_second_relay_stands_by_and_takes_over(road: Road) -> None:
    first = road.relay()
    product = road.product
    with psycopg.connect(road.dsn, autocommit=True) as connection:
        headwater.emit(connection, product, flight(1))
        eventually(lambda: len(road.records()) == 1)
        second = road.relay()
        time.sleep(1.5)
        first.kill()
        headwater.emit(connection, product, flight(2))
    eventually(lambda: road.flights() == ["F1", "F2"])
    _, errors, _ = road.stop(second)
    assert "stands by" in errors
