"""Plan and apply as a person runs them, on the real stack."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headwater import naming
from headwater.outbox.connection_postgres import connect
from headwater.ports.kafka import KafkaBroker
from headwater.testing.small_mesh import DEPARTURES, edit, write_small_mesh


class Commands:
    """The commands against one mesh on the stack."""

    def __init__(self, stack: Any, folder: Path) -> None:
        self.stack = stack
        self.prefix = stack.fresh_name("m") + "_"
        self.database = stack.fresh_database()
        self.folder = write_small_mesh(folder / "mesh", prefix=self.prefix, database=self.database)
        self.departures = f"{self.prefix}flights.departures.v1"
        self.env = {"HEADWATER_MESH": str(self.folder)}

    def run(self, *args: str, exit_code: int = 0, **env: str) -> Any:
        done = self.stack.cli(*args, "--output", "json", env={**self.env, **env})
        assert done.returncode == exit_code, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture
def commands(stack: Any, tmp_path: Path) -> Any:
    made = Commands(stack, tmp_path)
    yield made
    with connect(stack.postgres_dsn(made.database), autocommit=True) as connection:
        slot = naming.slot(made.database, "public.outbox")
        connection.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s", [slot]
        )


def test_apply_twice_cut_short_once_and_drift_is_found(commands: Any, stack: Any) -> None:
    plan = commands.run("plan", "--detailed-exitcode", exit_code=4)
    total = len(plan["stages"])
    assert {stage["reason"] for stage in plan["stages"]} == {"missing"}

    killed = stack.cli("apply", "--yes", env={**commands.env, "HEADWATER_FAILPOINT": "apply.after_deed:3:kill"})
    assert killed.returncode == -9
    assert "cut short after 2 of" in stack.cli("plan", env=commands.env).stdout

    applied = commands.run("apply", "--yes")
    assert len(applied["stages"]) == total - 3
    again = commands.run("apply")
    assert (again["stages"], again["summary"]["unchanged"] > 0) == ([], True)
    assert commands.run("plan", "--detailed-exitcode")["stages"] == []

    broker = KafkaBroker({"bootstrap.servers": stack.kafka})
    try:
        broker.alter_topic(commands.departures, {"retention.ms": "123456"})
    finally:
        broker.close()
    drifted = commands.run("plan", "--detailed-exitcode", exit_code=4)
    assert [(stage["name"], stage["reason"]) for stage in drifted["stages"]] == [(commands.departures, "drift")]
    assert [finding["code"] for finding in drifted["drift"]] == ["HW-D002"]
    commands.run("apply", "--yes")
    assert commands.run("plan", "--detailed-exitcode")["stages"] == []

    edit(commands.folder, f"connectors/{commands.prefix}{DEPARTURES[11:]}", "retention: 30d", "partitions: 8")
    refused = commands.run("plan", exit_code=1)
    assert {finding["code"] for finding in refused["refused"]} == {"HW-D004"}
    assert "HW-D004" in stack.cli("apply", env=commands.env).stderr


def test_on_a_terminal_it_asks_first_and_no_means_no(commands: Any, stack: Any) -> None:
    terminal, end = pty.openpty()
    try:
        asked = subprocess.Popen(
            [sys.executable, "-m", "headwater", "apply"],
            env={**stack.environment(), **commands.env},
            stdin=end,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.write(terminal, b"n\n")
        _, progress = asked.communicate(timeout=60)
    finally:
        os.close(terminal)
        os.close(end)
    assert asked.returncode == 1
    assert "--yes" in progress
    assert {stage["reason"] for stage in commands.run("plan")["stages"]} == {"missing"}


def test_a_part_that_is_away_is_said_and_nothing_is_written(commands: Any, stack: Any) -> None:
    text = (
        "name: small\ndatabases: [operations]\nenvironments:\n  away:\n"
        "    kafka: {bootstrap.servers: '127.0.0.1:9'}\n    registry: http://127.0.0.1:9\n"
        f"    databases: {{{commands.database}: 'postgresql://postgres@127.0.0.1:9/x'}}\n"
    ).replace("[operations]", f"[{commands.database}]")
    (commands.folder / "mesh.yaml").write_text(text)
    said = commands.run("apply", "--yes", exit_code=3, HEADWATER_ENVIRONMENT="away")
    assert said.startswith("Kafka does not answer at 127.0.0.1:9")
    assert "fix: " in said
