"""SIGTERM ends `headwater relay` at once, whatever it is doing or waiting for, and nothing is lost by it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.integration.test_relay import Road, eventually

from headwater.testing.kafka_proxy import KafkaProxy
from headwater.testing.kafka_proxy_rules import Frames, Freeze, Rule

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

pytestmark = pytest.mark.slow
# The promise is a second; a machine that is busy with other things gets five before this is red.
STOP_SECONDS_LIMIT = 5.0
ROWS = """INSERT INTO outbox (aggregatetype, aggregateid, type, payload)
  SELECT %(product)s::text, 'F' || n, %(product)s::text || '.Departure',
         jsonb_build_object('flight_id', 'F' || n, 'origin', 'JFK', 'occurred_at', 1357000000000000 + n)
  FROM generate_series(1, %(count)s) AS n"""


@pytest.fixture(scope="module")
def road(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    """One mesh for all: each relay here is stopped before the next one starts."""
    made = Road(stack, tmp_path_factory.mktemp("road"))
    yield made
    made.close()


class Told:
    """A relay in an environment of its own, and what it says, line by line."""

    def __init__(self, road: Road, *, kafka: str = "", dsn: str = "") -> None:
        environment = {
            "kafka": {"bootstrap.servers": kafka or road.stack.kafka},
            "registry": road.stack.registry_url,
            "databases": {road.database: dsn or road.dsn},
        }
        mesh = road.folder / "mesh.yaml"
        name = road.stack.fresh_name("own")
        mesh.write_text(mesh.read_text() + f"  {name}: {json.dumps(environment)}\n")
        variables = {**road.stack.environment(), **road.environment, "HEADWATER_ENVIRONMENT": name}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headwater", "relay"], env=variables, stderr=subprocess.PIPE, text=True
        )
        road.processes.append(self.process)
        self.said = ""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line

    def says(self, text: str) -> None:
        eventually(lambda: text in self.said or self.process.poll() is not None, 40)
        assert text in self.said, self.said

    def stops(self) -> None:
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        seconds = time.monotonic() - started
        self._listener.join(5)
        assert code == 0 and seconds < STOP_SECONDS_LIMIT, (code, seconds, self.said)
        assert "Traceback" not in self.said, self.said


def test_while_it_waits_for_the_lease(road: Road) -> None:
    first = Told(road)
    first.says("reading")
    second = road.relay()
    assert second.stderr is not None
    for line in second.stderr:
        if "stands by" in line:
            break
    code, said, seconds = road.stop(second)
    assert code == 0 and seconds < STOP_SECONDS_LIMIT, (seconds, said)
    first.stops()


def test_at_full_load_and_the_next_one_publishes_every_row_once(road: Road) -> None:
    rows, ended = [len(road.records())], threading.Event()

    def load() -> None:
        with psycopg.connect(road.dsn, autocommit=True) as connection:
            while not ended.is_set():
                connection.execute(ROWS, {"product": str(road.product.name), "count": 2_000})
                rows[0] += 2_000
                time.sleep(0.05)

    told = Told(road)
    told.says("reading")
    loader = threading.Thread(target=load)
    loader.start()
    try:
        eventually(lambda: rows[0] > 6_000, 40)  # the relay is behind, and reads as fast as it can
        told.stops()
    finally:
        ended.set()
        loader.join(60)
    again = Told(road)
    again.says("reading")
    with psycopg.connect(road.dsn) as connection:
        (end,) = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone() or ("0/0",)
    eventually(lambda: _acknowledged(road, end), 60)
    again.stops()
    assert len(road.records()) == rows[0]


def _acknowledged(road: Road, end: str) -> bool:
    """Whether the relay has published and acknowledged the log up to there."""
    with psycopg.connect(road.dsn) as connection:
        row = connection.execute(
            "SELECT confirmed_flush_lsn >= %s::text::pg_lsn FROM pg_replication_slots WHERE slot_name = %s",
            [end, road.slot],
        ).fetchone()
    return row is not None and bool(row[0])


def test_while_kafka_is_away(road: Road) -> None:
    with KafkaProxy(road.stack.kafka) as proxy:
        told = Told(road, kafka=proxy.address)
        told.says("reading")
        proxy.away()
        with psycopg.connect(road.dsn, autocommit=True) as connection:
            connection.execute(ROWS, {"product": str(road.product.name), "count": 10})
        time.sleep(1.0)  # inside a call that waits for the broker
        told.stops()


@pytest.mark.parametrize("api", ["EndTxn", "InitProducerId"])
def test_while_kafka_owes_an_answer(road: Road, api: str) -> None:
    with KafkaProxy(road.stack.kafka, [Rule("silent", Frames(api), Freeze())]) as proxy:
        told = Told(road, kafka=proxy.address)
        told.says("relaying")
        proxy.wait("silent", seconds=40)
        time.sleep(0.5)
        told.stops()


def test_while_the_database_is_away(road: Road) -> None:
    away = Told(road, dsn=f"postgresql://postgres:x@127.0.0.1:9/{road.database}")
    away.says("PostgreSQL does not answer")
    away.stops()


def test_while_the_database_accepts_and_says_nothing(road: Road) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # its backlog takes the connection, and nobody answers
        port = mute.getsockname()[1]
        told = Told(road, dsn=f"postgresql://postgres:x@127.0.0.1:{port}/{road.database}")
        told.says("relaying")
        time.sleep(1.5)  # inside the call that connects
        told.stops()
