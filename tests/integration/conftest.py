"""The real stack for integration tests: a Kafka, PostgreSQL and registry for each process of a run, by our launcher.

The fixture `stack` starts them in a temporary folder on the first free block of ports from 19090 on (of several
processes each looks from another one on: of two that look at once both would find the same free), and stops them at
the end, also after failures. It fails, and never skips, where the stack does not start: green must not come from
looking away.

To start once and run tests many times, keep a stack and name it in `HEADWATER_TEST_STACK`:

    HEADWATER_DATA=/var/tmp/mine HEADWATER_PORT_BASE=19490 headwater up
    echo '{"data_folder": "/var/tmp/mine", "port_base": 19490}' > /var/tmp/mine.json
    HEADWATER_TEST_STACK=/var/tmp/mine.json pytest tests/integration

It is then not stopped here, and what earlier runs left in it is still there: tests must use names of their own
(`fresh_name`, `fresh_database`), which they must anyway, for they share one stack.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from headwater.local.launch import start_stack, stop_stack
from headwater.local.ports import free_base
from headwater.local.postgres import create_databases
from headwater.local.processes import log_tail, recorded
from headwater.local.stack import LocalStack
from headwater.settings import LocalPorts

PORT_BASE_FIRST = 19090  # below those that a kernel gives to connections: parts that start later find theirs free
PORTS_APART = 100  # of the processes of one run
SOURCES = Path(__file__).parents[2] / "src"


@dataclass(frozen=True)
class Stack:
    """The running stack, as tests use it."""

    local: LocalStack

    @property
    def kafka(self) -> str:
        """Kafka's bootstrap address."""
        return self.local.kafka_address

    @property
    def registry_url(self) -> str:
        return self.local.registry_url

    @property
    def data_folder(self) -> Path:
        return self.local.data_folder

    def postgres_dsn(self, database: str) -> str:
        """A connection string; the database is created if it is not there."""
        create_databases(self.local, [database])
        return self.local.postgres_address(database, password=self.local.password_file.read_text().strip())

    def fresh_database(self) -> str:
        """The name of a new database of your own; `postgres_dsn` connects to it."""
        name = self.fresh_name("test")
        create_databases(self.local, [name])
        return name

    def fresh_name(self, prefix: str) -> str:
        """A name that no other test has: `prefix_1a2b3c4d5e`."""
        return f"{prefix}_{uuid.uuid4().hex[:10]}"

    def drop_slots(self, database: str) -> None:
        """Drop every replication slot of a database: the server has few, and each holds back its log."""
        with psycopg.connect(self.postgres_dsn(database), autocommit=True) as connection:
            for which in ("pg_terminate_backend(active_pid, 5000)", "pg_drop_replication_slot(slot_name)"):
                held = "AND active_pid IS NOT NULL" if "terminate" in which else ""
                connection.execute(f"SELECT {which} FROM pg_replication_slots WHERE database = %s {held}", [database])

    def environment(self) -> dict[str, str]:
        """Environment variables for subprocesses: this process's, and those that lead to this stack."""
        paths = [str(SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **os.environ,
            "HEADWATER_DATA": str(self.data_folder),
            "HEADWATER_PORT_BASE": str(self.local.ports.base),
            "PYTHONPATH": os.pathsep.join(paths),
        }

    def cli(
        self, *args: str, timeout: float = 60, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `headwater` with these arguments to its end; the caller judges its exit code."""
        return subprocess.run(
            [sys.executable, "-m", "headwater", *args],
            env={**self.environment(), **(env or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The real stack, one for all tests of a process."""
    named = os.environ.get("HEADWATER_TEST_STACK", "")
    if named:
        kept = json.loads(Path(named).read_text())
        local = LocalStack(Path(kept["data_folder"]), LocalPorts(kept["port_base"]))
        start_stack(local)
        yield Stack(local)
        return
    folder = Path(tempfile.mkdtemp(prefix="headwater-test-"))
    folder.chmod(0o755)  # where we are root, PostgreSQL runs as nobody and must be able to enter
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    local = LocalStack(folder, LocalPorts(free_base(PORT_BASE_FIRST + process * PORTS_APART)))
    try:
        start_stack(local)
        yield Stack(local)
    finally:
        stop_stack(local, purge=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def connect(stack: Stack) -> str:
    """Kafka Connect with Debezium beside the stack, started once and on demand; its address."""
    start_stack(stack.local, extra=("connect",))
    return stack.local.connect_url


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the stack's processes said beside the failure of a test that used them."""
    report = yield
    used = getattr(item, "funcargs", {}).get("stack")
    if report.when == "call" and report.failed and isinstance(used, Stack):
        for process in recorded(used.data_folder):
            if not process.alive:
                report.sections.append((f"{process.name} has ended; its log", log_tail(process, lines=30)))
    return report
