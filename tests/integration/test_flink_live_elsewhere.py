"""A live job on a cluster elsewhere, from two machines: watched, upgraded; it fails, and then its cluster dies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.flink_elsewhere import ClusterElsewhere, cluster_elsewhere
from tests.integration.flink_products import FOLD
from tests.integration.test_flink_live import NOT_WELL, Live, live
from tests.integration.test_flink_runner import require_the_same, run_flink, said

from headwater.local.ports import free_base
from headwater.testing.broker_mesh import random_batches, wait_until

if TYPE_CHECKING:
    from tests.integration.conftest import Stack


class Machine:
    """Commands of one machine about the product: a data folder of its own, and nothing else."""

    def __init__(self, stack: Stack, job: Live, folder: Path) -> None:
        self.stack = stack
        self.job = job
        self.env = {"HEADWATER_DATA": str(folder)}

    def ask(self, command: str, *options: str, code: int = 0) -> dict[str, Any]:
        done = self.command("runner", "flink", command, self.job.name, *options, "--output", "json")
        assert done.returncode == code, done.stderr + said(self.stack)
        return dict(json.loads(done.stdout))

    def refused(self, *argv: str) -> str:
        done = self.command(*argv)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def command(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.stack.cli(*argv, timeout=600, cwd=self.job.small.mesh.folder, env=self.env)


@contextmanager
def watched(machine: Machine, *options: str) -> Iterator[Any]:
    """`watch` at work; what is yielded scrapes one figure of it, None where it is not told."""
    port = free_base(27_000)
    argv = [sys.executable, "-m", "headwater", "runner", "flink", "watch", machine.job.name]
    argv += ["--metrics-port", str(port), "--every-seconds", "1", *options]
    env = {**machine.stack.environment(), **machine.env}
    process = subprocess.Popen(argv, env=env, cwd=machine.job.small.mesh.folder)

    def figure(name: str) -> float | None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        found = [line for line in lines if line.startswith(name + "{") and machine.job.name in line]
        return sum(float(line.rpartition(" ")[2]) for line in found) if found else None

    def told(name: str) -> float | None:
        try:
            return figure(name)
        except OSError:
            return None

    try:
        yield told
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(60) == 0
        finally:
            process.kill()


def options(elsewhere: ClusterElsewhere, folder: Path) -> list[str]:
    return ["--gateway", elsewhere.gateway, "--folder", f"file://{folder}", "--checkpoint-seconds", "1"]


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_job_elsewhere_is_one_for_all_machines_and_outlives_none_of_its_records(stack: Stack, tmp_path: Path) -> None:
    job, batches = live(stack, tmp_path, FOLD), random_batches(93, batches=60, size=20)
    small, one, two = job.small, Machine(stack, job, tmp_path / "one"), Machine(stack, job, tmp_path / "two")
    small.feed(batches[:20], last=False)
    with cluster_elsewhere(tmp_path / "elsewhere") as elsewhere:
        there = options(elsewhere, tmp_path / "kept")
        lacking = one.refused("runner", "flink", "deploy", job.name, *there)
        assert "HW-P259" in lacking, lacking
        written = one.command("runner", "flink", "jars", str(tmp_path / "jars"))
        assert written.returncode == 0, written.stderr
        for jar in sorted((tmp_path / "jars").glob("*.jar")):
            there += ["--jar", str(jar)]
        assert not one.ask("deploy", *there)["from_savepoint"]
        first = job.wait_for_more(0)

        seen = two.ask("status")
        assert seen["state"] == "running" and seen["deployed"]["gateway"] == elsewhere.gateway
        for refused in (
            ["run", job.name],
            ["runner", "flink", "run", job.name],
            ["runner", "flink", "deploy", job.name],
        ):
            assert "HW-P252" in two.refused(*refused)
        assert "HW-P252" in two.refused("runner", "flink", "forget", job.name)

        small.feed(batches[20:40], last=False)
        second = job.wait_for_more(first)
        assert two.ask("upgrade", "--checkpoint-seconds", "1")["from_savepoint"]
        with watched(two) as figure:
            wait_until(lambda: figure("headwater_flink_running") == 1, seconds=60)
            small.feed(batches[40:], last=False)
            job.wait_for_more(second)
            wait_until(lambda: (figure("headwater_stage_records_total") or 0) > 0, seconds=60)
            assert figure("headwater_flink_lag_records") is not None
            assert (figure("headwater_flink_checkpoint_age_seconds") or 99) < 60
            assert figure("headwater_flink_lost_transactions_total") == 0
            elsewhere.kill()
            wait_until(lambda: figure("headwater_flink_running") == 0, seconds=60)
    assert "HW-P251" in one.refused("run", job.name)  # nobody can say whether it is at work
    forgotten = one.command("runner", "flink", "forget", job.name)
    assert forgotten.returncode == 0, forgotten.stderr
    assert one.ask("status", code=NOT_WELL)["state"] == "gone"
    small.feed(batches[-1:])
    run_flink(stack, small)
    assert require_the_same(small, batches) > second > first > 0
