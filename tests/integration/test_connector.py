"""`headwater connector` on the real stack: deployed, looked after, and a live source moved from lane to lane."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import headwater
from headwater.mesh.load import load_mesh
from headwater.ports.kafka import KafkaBroker
from headwater.testing.conformance.road_in import read_all
from headwater.testing.small_mesh import DEPARTURE_SCHEMA, DEPARTURES, FILES, edit, write

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SECONDS = 90


class Road:
    """A mesh of one source, its database, and a relay that may be stopped and started."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.domain, self.database = stack.fresh_name("flights"), stack.fresh_database()
        for name in ("mesh.yaml", DEPARTURES, DEPARTURE_SCHEMA):
            text = FILES[name].replace("flights.departures", f"{self.domain}.departures")
            write(folder, name.replace("/flights/", f"/{self.domain}/"), text.replace("operations", self.database))
        self.contract = DEPARTURES.replace("/flights/", f"/{self.domain}/")
        self.dsn, self.source = stack.postgres_dsn(self.database), f"{self.database}.public.outbox"
        self.process: subprocess.Popen[bytes] | None = None
        self.number = 0

    def cli(self, *words: str, code: int = 0) -> str:
        done = self.stack.cli(*words, env={"HEADWATER_MESH": str(self.folder)})
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout + done.stderr

    def start(self, *words: str) -> None:
        environment = {**self.stack.environment(), "HEADWATER_MESH": str(self.folder), "PYTHONFAULTHANDLER": "1"}
        self.process = subprocess.Popen([sys.executable, "-m", "headwater", "relay", *words], env=environment)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGABRT)  # it prints where each of its threads stands
                self.process.wait(60)
                raise
            self.process = None

    def emit(self, count: int) -> None:
        product = load_mesh(self.folder).product(f"{self.domain}.departures")
        with psycopg.connect(self.dsn) as connection:
            for _ in range(count):
                self.number += 1
                record = {"flight_id": f"F{self.number}", "origin": "JFK", "occurred_at": 1_357_000_000_000_000}
                headwater.emit(connection, product, record)

    def arrived(self) -> list[int]:
        lines = self.cli("tail", f"{self.domain}.departures", "--output", "json").splitlines()
        return sorted(int(json.loads(line)["flight_id"][1:]) for line in lines if line.startswith("{"))

    def await_all(self) -> None:
        wanted = list(range(1, self.number + 1))
        eventually(lambda: len(self.arrived()) >= self.number)
        assert self.arrived() == wanted


def eventually(condition: Any) -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.3)


@pytest.fixture
def road(stack: Stack, connect: str, tmp_path: Path) -> Iterator[Road]:
    made = Road(stack, tmp_path)
    yield made
    made.stop()
    stack.cli("connector", "delete", "--source", made.source, env={"HEADWATER_MESH": str(tmp_path)})
    stack.drop_slots(made.database)


def test_a_live_source_is_moved_to_debezium_and_back_without_a_loss_or_a_repeat(road: Road) -> None:
    road.cli("schema", "lock")
    assert "HW-O137" in road.cli("connector", "generate", code=2)  # nothing takes the lane yet
    road.cli("apply", "--yes")
    road.start()
    road.emit(3)
    road.await_all()

    edit(road.folder, road.contract, "table: public.outbox", "table: public.outbox, lane: debezium")
    assert "HW-O138" in road.cli("connector", "deploy", "--yes", code=2)  # apply comes first
    road.cli("apply", "--yes")
    assert "deployed" in road.cli("connector", "deploy", "--yes")
    assert "as it should be" in road.cli("connector", "deploy", "--yes")
    eventually(lambda: json.loads(status(road))["connectors"][0]["tasks"] == [{"state": "RUNNING", "reason": ""}])
    road.emit(3)  # by the relay of the native lane, which runs on
    road.await_all()
    assert "a relay serves it" in road.cli("connector", "move", road.source, code=2)
    time.sleep(1.5)  # until its position has come past what both lanes have seen
    road.stop()
    road.emit(2)
    assert "debezium lane goes on" in road.cli("connector", "move", road.source)
    found = json.loads(road.cli("relay", "reconcile", "--output", "json"))
    assert found["equal"] and (found["published"], found["waiting"]) == (6, 2)
    road.start()
    road.emit(2)
    road.await_all()
    found = json.loads(road.cli("relay", "reconcile", "--output", "json"))
    assert found["equal"] and found["published"] == 10

    edit(road.folder, road.contract, ", lane: debezium", "")
    road.stop()
    assert "HW-O125" in road.cli("relay", code=2)
    with psycopg.connect(road.dsn, autocommit=True) as connection:  # the native slot, as the page says
        connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                           "WHERE database = current_database() AND NOT active")  # fmt: skip
    road.cli("apply", "--yes")
    road.emit(1)
    road.start("--lane", "debezium")
    road.await_all()
    time.sleep(1.5)
    road.stop()
    road.emit(1)
    assert "native lane goes on" in road.cli("connector", "move", road.source)
    road.start()
    road.emit(1)
    road.await_all()


def test_the_plain_router_is_given_what_it_needs_and_only_once(road: Road) -> None:
    """Slot, publication and topics are made here, after they were shown; Connect makes none."""
    road.cli("schema", "lock")
    road.cli("apply", "--yes")
    said = road.cli("connector", "deploy", "--router", "--source", road.source, "--yes")
    assert "create the slot router_" in said and f"create the topic {road.domain}.departures" in said
    assert "as it should be" in road.cli("connector", "deploy", "--router", "--source", road.source, "--yes")
    road.emit(2)
    topic = f"{road.domain}.departures"
    broker = KafkaBroker({"bootstrap.servers": road.stack.kafka})
    eventually(lambda: len(read_all(broker, topic)) == 2)
    assert {json.loads(one.value or b"")["flight_id"] for one in read_all(broker, topic)} == {"F1", "F2"}
    road.cli("connector", "delete", "--router", "--source", road.source)


def status(road: Road) -> str:
    done = road.stack.cli("connector", "status", "--output", "json", env={"HEADWATER_MESH": str(road.folder)})
    return done.stdout
