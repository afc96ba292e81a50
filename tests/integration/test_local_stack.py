"""`headwater up`, `down`, `status` and `doctor` on a stack of their own, killed, halved and hindered.

Its folder is closed to all others, as a checkout in root's home is: where we are root, PostgreSQL must find its way.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from headwater.local import postgres, processes
from headwater.local.launch import stop_stack
from headwater.local.ports import free_base
from headwater.local.stack import LocalStack
from headwater.settings import LocalPorts
from headwater.timeline.clock import SystemClock

ROOT = Path(__file__).parents[2]
WARM_SECONDS_LIMIT = 60  # ten is the budget; machines that run tests are shared, and the figure is printed
MEMORY_BYTES_LIMIT = 1_000_000_000


class Machine:
    """One user with one data folder and one block of ports, typing commands."""

    def __init__(self, folder: Path, base: int) -> None:
        self.local = LocalStack(folder / "data", LocalPorts(base))
        self.environment = {
            **os.environ,
            "HEADWATER_DATA": str(self.local.data_folder),
            "HEADWATER_PORT_BASE": str(base),
            "HEADWATER_MESH": str(folder),  # no mesh.yaml there: databases are those that are asked for
            "PYTHONPATH": str(ROOT / "src"),
        }

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "headwater", *words],
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def up(self, *words: str) -> dict[str, object]:
        done = self.run("up", "--output", "json", *words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def parts(self) -> dict[str, dict[str, object]]:
        done = self.run("status", "--output", "json")
        assert done.returncode == 0, done.stderr
        return {part["name"]: part for part in json.loads(done.stdout)["parts"]}

    def kill(self, part: str) -> None:
        process = processes.running(self.local.data_folder)[part]
        os.kill(process.pid, signal.SIGKILL)
        assert processes.wait_for_end(process, seconds=20)

    def connect(self, database: str = "postgres", **options: str) -> psycopg.Connection:
        password = self.local.password_file.read_text().strip()
        return psycopg.connect(self.local.postgres_address(database, password=password), autocommit=True, **options)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("closed")
    folder.chmod(0o700)
    machine = Machine(folder, free_base(20090))
    yield machine
    stop_stack(machine.local)


def test_the_shared_stack_of_this_run_answers(stack) -> None:
    name = stack.fresh_name("topic")
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    admin.create_topics([NewTopic(name, 1)])[name].result(20)
    with psycopg.connect(stack.postgres_dsn(stack.fresh_database())) as connection:
        assert connection.execute("SHOW wal_level").fetchone() == ("logical",)


def test_up_twice_is_up_once(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.run("down")
    clock = SystemClock()
    before = clock.monotonic()
    first = machine.up("--database", "operations")
    seconds = (clock.monotonic() - before) / 1e6
    assert {"kafka", "postgres"} <= set(first["started"])
    parts = machine.parts()
    with machine.connect("operations"):
        pass
    again = machine.run("up")
    assert again.returncode == 0
    assert "already running" in again.stdout
    assert {name: part["pid"] for name, part in machine.parts().items()} == {n: p["pid"] for n, p in parts.items()}
    memory = sum(part["memory_bytes"] or 0 for part in parts.values())
    with capsys.disabled():
        print(f"\nlocal stack: up in {seconds:.1f} s, {memory / 1e6:.0f} MB (PSS)")
    assert seconds < WARM_SECONDS_LIMIT
    assert memory < MEMORY_BYTES_LIMIT


def test_a_killed_kafka_is_seen_and_comes_back_with_its_topics(machine: Machine) -> None:
    machine.up()
    admin = AdminClient({"bootstrap.servers": machine.local.kafka_address, "log_level": 0})
    if "kept" not in admin.list_topics(timeout=30).topics:
        admin.create_topics([NewTopic("kept", 1)])["kept"].result(20)
    machine.kill("kafka")
    assert machine.parts()["kafka"]["state"] == "died"
    assert machine.run("doctor").returncode == 1
    assert machine.up()["started"] == ["kafka"]
    assert machine.parts()["kafka"]["state"] == "running"
    assert "kept" in admin.list_topics(timeout=30).topics


def test_a_killed_postgresql_comes_back_at_once_with_its_rows(machine: Machine) -> None:
    machine.up()
    with machine.connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    machine.kill("postgres")
    assert machine.up()["started"] == ["postgres"]
    with machine.connect() as connection:
        assert connection.execute("SELECT max(n) FROM kept").fetchone() == (1,)


def test_a_half_started_stack_is_completed(machine: Machine) -> None:
    machine.up()
    assert postgres.stop(machine.local)
    kept = machine.parts()["kafka"]["pid"]
    assert machine.up()["started"] == ["postgres"]
    assert machine.parts()["kafka"]["pid"] == kept


def test_another_block_of_ports_is_refused_while_the_stack_runs(machine: Machine) -> None:
    machine.up()
    refused = machine.run("up", HEADWATER_PORT_BASE=str(free_base(21090)))
    assert refused.returncode == 2
    assert f"HEADWATER_PORT_BASE={machine.local.ports.base}" in refused.stderr


def test_a_replication_client_that_reads_nothing_does_not_hold_up_a_stop(machine: Machine) -> None:
    machine.up()
    with machine.connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bulk (t text)")
        connection.execute("DROP PUBLICATION IF EXISTS bulk")
        connection.execute("CREATE PUBLICATION bulk FOR TABLE bulk")
        connection.execute("SELECT pg_create_logical_replication_slot('bulk', 'pgoutput')")
        reader = machine.connect(replication="database")
        reader.pgconn.exec_(b"START_REPLICATION SLOT bulk LOGICAL 0/0 (proto_version '1', publication_names 'bulk')")
        connection.execute("INSERT INTO bulk SELECT repeat('x', 1000) FROM generate_series(1, 30000)")
    clock = SystemClock()
    before = clock.monotonic()
    assert postgres.stop(machine.local)
    assert (clock.monotonic() - before) / 1e6 < 6, "the reader was waited for, or the server was not asked but shot"
    reader.close()


def test_doctor_finds_nothing_in_the_way(machine: Machine) -> None:
    machine.up()
    done = machine.run("doctor", "--output", "json")
    assert done.returncode == 0, done.stdout
    outcomes = {check["name"]: check["outcome"] for check in json.loads(done.stdout)["checks"]}
    assert {"python", "java", "jars", "postgres", "disk"} <= {name for name, found in outcomes.items() if found == "ok"}


def test_the_password_can_be_read_by_its_owner_only(machine: Machine) -> None:
    machine.up()
    assert machine.local.password_file.stat().st_mode & 0o777 == 0o600
    secret = machine.local.password_file.read_text().strip()
    assert secret not in machine.run("status").stdout


def test_down_stops_what_runs_beside_the_stack_and_nothing_else(machine: Machine) -> None:
    """Also with another block of ports in the settings: what runs must never become what cannot be stopped."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    machine.up()
    relay = processes.start_process(machine.local.data_folder, "relay", sleeper)
    stranger = subprocess.Popen(sleeper)
    try:
        assert machine.parts()["relay"]["state"] == "running"
        done = machine.run("down", HEADWATER_PORT_BASE=str(free_base(21090)))
        assert done.stdout.startswith("stopped: relay, ")
        assert done.stdout.strip().endswith("kafka")
        assert not relay.alive
        assert stranger.poll() is None
        assert machine.run("down").stdout.startswith("nothing was running")
    finally:
        stranger.kill()
        stranger.wait()


def test_purge_leaves_alone_a_folder_that_up_did_not_make(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    refused = machine.run("down", "--purge", HEADWATER_DATA=str(tmp_path))
    assert refused.returncode == 2
    assert "is not removed" in refused.stderr
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_a_taken_port_is_named_and_the_same_command_works_once_it_is_free(machine: Machine) -> None:
    machine.run("down")
    port = machine.local.ports.kafka
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        refused = machine.run("up")
        examined = json.loads(machine.run("doctor", "--output", "json").stdout)
    assert refused.returncode == 2
    assert f"port {port}, which Kafka needs, is taken" in refused.stderr
    assert f"process {os.getpid()}" in refused.stderr
    assert "HEADWATER_PORT_BASE=" in refused.stderr
    assert processes.running(machine.local.data_folder) == {}
    assert [check["name"] for check in examined["checks"] if check["outcome"] == "failed"] == [f"port {port}"]
    assert "kafka" in machine.up()["started"]


def test_purge_removes_the_folder_and_up_begins_anew(machine: Machine) -> None:
    machine.up()
    with machine.connect() as connection:
        connection.execute("CREATE TABLE gone (n int)")
    done = machine.run("down", "--purge")
    assert done.returncode == 0, done.stderr
    assert not machine.local.data_folder.exists()
    machine.up()
    with machine.connect() as connection:
        assert connection.execute("SELECT to_regclass('gone')").fetchone() == (None,)
