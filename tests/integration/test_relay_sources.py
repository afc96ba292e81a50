"""Several outboxes: three databases of two tables in one relay, a relay for each database, one source that fails."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import headwater
from headwater import naming
from headwater.mesh.load import load_mesh
from headwater.ports.kafka import KafkaBroker
from headwater.ports.reading import read_to_end
from headwater.ports.record import Message, TopicPartition
from headwater.testing.small_mesh import DEPARTURES, FILES, write
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

TABLES = ("public.outbox", "sales.outbox")
SCHEMA = "schemas/avro/flights/departures/Departure.avsc"
PARTITIONS = 4
SECONDS = 90.0


class Outboxes:
    """A mesh with a product for each table of each database, everything applied."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.processes: list[subprocess.Popen[str]] = []
        domain = stack.fresh_name("d")
        self.databases = [stack.fresh_name(name) for name in ("one", "two", "three")]
        self.dsns = {database: stack.postgres_dsn(database) for database in self.databases}
        write(folder, "mesh.yaml", FILES["mesh.yaml"].replace("operations", ", ".join(self.databases)))
        self.products: dict[tuple[str, str], str] = {}
        for database in self.databases:
            with psycopg.connect(self.dsns[database]) as connection:
                connection.execute("CREATE SCHEMA sales")
            for table in TABLES:
                name = f"{domain}.{database.split('_')[0]}_{table.split('.')[0]}"
                path = name.replace(".", "/")
                contract = FILES[DEPARTURES].replace("flights.departures", name).replace("public.outbox", table)
                write(folder, f"connectors/{path}/product.yaml", contract.replace("operations", database))
                write(folder, f"schemas/avro/{path}/Departure.avsc", FILES[SCHEMA].replace("flights.departures", name))
                self.products[database, table] = name
        self.environment = {**stack.environment(), "HEADWATER_MESH": str(folder)}
        for command in (("schema", "lock"), ("apply",)):
            done = stack.cli(*command, env=self.environment, timeout=120)
            assert done.returncode == 0, done.stderr
        self.mesh = load_mesh(folder)
        self.broker = KafkaBroker({"bootstrap.servers": stack.kafka}, clock=SystemClock())

    def relay(self, *options: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "headwater", "relay", *options]
        process = subprocess.Popen(argv, env=self.environment, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def emit(self, flight: str, *databases: str) -> None:
        """A departure into each table of these databases."""
        for place in self.of(*databases):
            with psycopg.connect(self.dsns[place[0]]) as connection:
                self.emit_in(connection, place, flight)

    def emit_in(self, connection: psycopg.Connection[Any], place: tuple[str, str], flight: str) -> None:
        record = {"flight_id": flight, "origin": "JFK", "occurred_at": 1_357_000_000_000_000}
        headwater.emit(connection, self.mesh.product(self.products[place]), record)

    def arrived(self, flight: str, *places: tuple[str, str]) -> bool:
        return all(flight in self.flights(place) for place in places)

    def of(self, *databases: str) -> list[tuple[str, str]]:
        return [place for place in self.products if place[0] in databases]

    def flights(self, place: tuple[str, str]) -> set[str]:
        """The keys of a topic: one command for each look would take most of the test's time."""
        places = [TopicPartition(f"{self.products[place]}.v1", number) for number in range(PARTITIONS)]
        items = read_to_end(self.broker, dict.fromkeys(places, 0))
        return {(item.key or b"").decode() for item in items if isinstance(item, Message)}

    def end_relays(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.processes.clear()

    def close(self) -> None:
        self.end_relays()
        self.broker.close()
        with psycopg.connect(self.stack.postgres_dsn("postgres"), autocommit=True) as connection:
            for place in self.products:
                slot = [naming.slot(*place)]
                query = "FROM pg_replication_slots WHERE slot_name = %s"
                connection.execute(f"SELECT pg_terminate_backend(active_pid, 5000) {query}", slot)
        for database, table in self.products:
            with psycopg.connect(self.dsns[database], autocommit=True) as connection:
                query = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"
                connection.execute(query, [naming.slot(database, table)])


@pytest.fixture(scope="module")
def applied(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outboxes]:
    made = Outboxes(stack, tmp_path_factory.mktemp("outboxes"))
    yield made
    made.close()


@pytest.fixture
def outboxes(applied: Outboxes) -> Iterator[Outboxes]:
    yield applied
    applied.end_relays()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=60)[1]
    return process.returncode, errors


def test_six_outboxes_in_one_relay_and_a_database_that_is_away_holds_up_no_other(outboxes: Outboxes) -> None:
    first, away, last = outboxes.databases
    process = outboxes.relay()
    outboxes.emit("F1", first, away, last)
    eventually(lambda: outboxes.arrived("F1", *outboxes.products))
    server = psycopg.connect(outboxes.stack.postgres_dsn("postgres"), autocommit=True)
    server.execute(f"ALTER DATABASE {away} ALLOW_CONNECTIONS false")
    try:
        server.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [away])
        outboxes.emit("F2", first, last)
        eventually(lambda: outboxes.arrived("F2", *outboxes.of(first, last)))
    finally:
        server.execute(f"ALTER DATABASE {away} ALLOW_CONNECTIONS true")
        server.close()
    outboxes.emit("F3", away)
    eventually(lambda: outboxes.arrived("F3", *outboxes.of(away)))
    code, errors = ended(process)
    assert code == 0, errors
    # Said once for each of its two outboxes, however often it was tried.
    assert errors.count("PostgreSQL does not answer") == len(TABLES), errors


def test_a_relay_for_each_database_side_by_side(outboxes: Outboxes) -> None:
    relays = [outboxes.relay("--source", database) for database in outboxes.databases]
    outboxes.emit("G1", *outboxes.databases)
    eventually(lambda: outboxes.arrived("G1", *outboxes.products))
    for process in relays:
        code, errors = ended(process)
        assert code == 0 and "stands by" not in errors, errors


def test_a_service_alters_its_outbox_while_the_relay_reads(outboxes: Outboxes) -> None:
    place = (outboxes.databases[0], TABLES[1])
    # Those before the relay starts are the harder ones: it reads rows of a table that is another by now.
    steps = (
        "ADD COLUMN tenant text",
        "ALTER COLUMN tenant TYPE integer USING 7",  # the server writes the whole table anew
        "ALTER COLUMN aggregateid TYPE text",
        "",
        "RENAME COLUMN tenant TO customer_number",
        "ALTER COLUMN type TYPE text",
        "DROP COLUMN customer_number",
    )
    with psycopg.connect(outboxes.dsns[place[0]]) as connection:
        for number, step in enumerate(steps):
            if not step:
                process = outboxes.relay("--source", place[0])
                eventually(lambda: outboxes.arrived("A0", place))
                continue
            outboxes.emit(f"A{number}", place[0])
            connection.execute(f"ALTER TABLE {place[1]} {step}")
            outboxes.emit_in(connection, place, f"B{number}")  # of the transaction that alters
            connection.commit()
            outboxes.emit(f"C{number}", place[0])
    flights = {f"{mark}{number}" for mark in "ABC" for number, step in enumerate(steps) if step}
    eventually(lambda: process.poll() is not None or flights <= outboxes.flights(place))
    code, errors = ended(process)
    assert code == 0, errors
    assert flights <= outboxes.flights(place)


# The last: it breaks what the others use.
def test_a_source_that_cannot_go_on_is_reported_and_the_others_are_served(outboxes: Outboxes) -> None:
    first, second, broken = outboxes.databases
    lost = (broken, TABLES[1])
    others = [place for place in outboxes.products if place != lost]
    with psycopg.connect(outboxes.dsns[broken], autocommit=True) as connection:
        connection.execute("SELECT pg_drop_replication_slot(%s)", [naming.slot(*lost)])
    port = _free_port()
    process = outboxes.relay("--metrics-port", str(port))
    outboxes.emit("H1", first, second, broken)
    eventually(lambda: outboxes.arrived("H1", *others))
    source = naming.source(*lost)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        failed = [
            line for line in answer.read().decode().splitlines() if line.startswith("headwater_relay_failed_total{")
        ]
    assert len(failed) == 1 and f'source="{source}"' in failed[0] and failed[0].endswith(" 1.0"), failed
    code, errors = ended(process)
    assert code != 0
    assert f"{source}: stopped; the other sources go on" in errors, errors


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
