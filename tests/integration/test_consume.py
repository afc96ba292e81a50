"""`headwater.consume` on the real stack: the inbox on PostgreSQL, and a consumer that is killed while it works."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import headwater
from headwater.errors import CallerFault, Unreachable
from headwater.mesh.load import load_mesh
from headwater.ports.inbox import Inbox
from headwater.sdk.inbox_postgres import PostgresInbox
from headwater.testing.conformance.inbox import TOPIC, Inboxes, InboxSuite
from headwater.testing.small_mesh import DEPARTURES, FILES, write

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

SCHEMA = "schemas/avro/flights/departures/Departure.avsc"
FLIGHTS, KILLS = 1_500, 4
CONSUMER = """
import sys
import time
import headwater

def handle(update, connection):
    flight, revision = update.record["flight_id"], update.record["revision"]
    connection.execute("INSERT INTO told (flight, revision, before) VALUES (%s, %s, %s)",
                       [flight, revision, update.before and update.before["origin"]])
    time.sleep(0.002)  # as work takes: all of it is not to be done between two kills

headwater.consume(sys.argv[1], handle, consumer="board", database=sys.argv[2])
"""


class Home:
    """A database; effects are rows of a table."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE effect (number serial, text text)")

    def inbox(self, consumer: str, topic: str) -> Inbox:
        return PostgresInbox(self.dsn, consumer=consumer, topic=topic)

    def effect(self, effects: Any, text: str) -> None:
        effects.execute("INSERT INTO effect (text) VALUES (%s)", [text])

    def written(self) -> Sequence[str]:
        with psycopg.connect(self.dsn) as connection:
            return [text for (text,) in connection.execute("SELECT text FROM effect ORDER BY number")]


class TestPostgresInbox(InboxSuite):
    @pytest.fixture
    def inboxes(self, stack: Stack) -> Inboxes:
        return Home(stack.postgres_dsn(stack.fresh_database()))


@pytest.mark.slow
def test_a_session_that_is_cut_writes_nothing_and_a_deadlock_is_tried_again(stack: Stack) -> None:
    dsn = stack.postgres_dsn(stack.fresh_database())
    home = Home(dsn)
    inbox = home.inbox("board", TOPIC)
    with psycopg.connect(dsn, autocommit=True) as other:
        with pytest.raises(Unreachable) as caught, inbox.transaction() as transaction:
            home.effect(transaction.effects, "never")
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            transaction.reach({})
            home.effect(transaction.effects, "never")
        assert caught.value.code == "HW-O032" and caught.value.retriable
    assert home.written() == []
    inbox.close()


@pytest.mark.slow
def test_a_role_that_may_make_no_tables_is_told_what_is_missing(stack: Stack) -> None:
    database = stack.fresh_database()
    role = stack.fresh_name("reader")
    with psycopg.connect(stack.postgres_dsn(database)) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reads'")
    host = stack.local.ports.postgres
    with pytest.raises(CallerFault) as caught:
        PostgresInbox(f"postgresql://{role}:reads@127.0.0.1:{host}/{database}", consumer="board", topic=TOPIC)
    assert caught.value.code == "HW-K084" and "CREATE TABLE" in caught.value.hint


class Road:
    """A product with an outbox, a relay, and a database of a consumer."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.database, self.name = stack.fresh_name("shop"), f"{stack.fresh_name('d')}.departures"
        path = self.name.replace(".", "/")
        write(folder, "mesh.yaml", FILES["mesh.yaml"].replace("operations", self.database))
        contract = FILES[DEPARTURES].replace("flights.departures", self.name).replace("operations", self.database)
        write(folder, f"connectors/{path}/product.yaml", contract)
        write(folder, f"schemas/avro/{path}/Departure.avsc", FILES[SCHEMA].replace("flights.departures", self.name))
        self.dsn = stack.postgres_dsn(self.database)
        self.environment = {**os.environ, **stack.environment(), "HEADWATER_MESH": str(folder)}
        for command in (("schema", "lock"), ("apply",)):
            done = stack.cli(*command, env=self.environment, timeout=120)
            assert done.returncode == 0, done.stderr
        self.product = load_mesh(folder).product(self.name)
        self.board = stack.postgres_dsn(stack.fresh_database())
        with psycopg.connect(self.board) as connection:
            connection.execute("CREATE TABLE told (number serial, flight text, revision bigint, before text)")
        self.relay = subprocess.Popen([sys.executable, "-m", "headwater", "relay"], env=self.environment)

    def emit(self, numbers: range, *, revision: int = 1) -> None:
        with psycopg.connect(self.dsn) as connection:
            for number in numbers:
                record = {"flight_id": f"F{number}", "origin": f"O{revision}", "occurred_at": 1_357_000_000_000_000}
                kind = "assert" if revision == 1 else "correct"
                headwater.emit(connection, self.product, record, event_id=f"F{number}", kind=kind, revision=revision)

    def consumer(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", CONSUMER, self.name, self.board], env=self.environment, stderr=subprocess.DEVNULL
        )

    def told(self) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.board) as connection:
            return connection.execute("SELECT flight, revision, before FROM told ORDER BY number").fetchall()


@pytest.fixture(scope="module")
def road(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    made = Road(stack, tmp_path_factory.mktemp("consume"))
    yield made
    made.relay.terminate()
    made.relay.wait(60)
    stack.drop_slots(made.database)


@pytest.mark.slow
def test_a_consumer_that_is_killed_while_it_works_has_each_effect_once(road: Road) -> None:
    road.emit(range(FLIGHTS))
    road.emit(range(0, FLIGHTS, 10), revision=2)
    expected = FLIGHTS + len(range(0, FLIGHTS, 10))
    deadline, kills = time.monotonic() + 120, 0
    process = road.consumer()
    try:
        while (done := len(road.told())) < expected:
            assert time.monotonic() < deadline, f"{done} of {expected}"
            if kills < KILLS and done > kills * expected // (KILLS + 1):
                process.kill()
                process.wait()
                process, kills = road.consumer(), kills + 1
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert kills == KILLS
    told = road.told()
    assert sorted((flight, revision) for flight, revision, _ in told) == sorted(
        [(f"F{number}", 1) for number in range(FLIGHTS)] + [(f"F{number}", 2) for number in range(0, FLIGHTS, 10)]
    )
    assert all(before == (None if revision == 1 else "O1") for _, revision, before in told)


@pytest.mark.slow
def test_beside_an_event_loop_a_consumer_is_cancelled_and_goes_on_with_each_effect_once(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in road.environment.items():
        monkeypatch.setenv(name, value)
    first, last = 10_000, 10_300
    with psycopg.connect(road.board) as connection:
        connection.execute("CREATE TABLE heard (flight text)")
    road.emit(range(first, last))
    wanted = [f"F{number}" for number in range(first, last)]

    def handle(update: Any, connection: Any) -> None:
        if update.record["flight_id"] in wanted:
            connection.execute("INSERT INTO heard VALUES (%s)", [update.record["flight_id"]])
            time.sleep(0.002)

    def heard() -> list[str]:
        with psycopg.connect(road.board) as connection:
            return [flight for (flight,) in connection.execute("SELECT flight FROM heard")]

    async def main(enough: int) -> int:
        """Until so many were heard; how often the loop looked."""
        looks, deadline = 0, time.monotonic() + 90
        working = asyncio.create_task(headwater.consume_async(road.name, handle, consumer="async", database=road.board))
        while len(await asyncio.to_thread(heard)) < enough:
            assert not working.done() and time.monotonic() < deadline
            looks += 1
            await asyncio.sleep(0.01)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        return looks

    assert asyncio.run(main(1)) > 0
    asyncio.run(main(len(wanted)))
    assert sorted(heard()) == sorted(wanted)
