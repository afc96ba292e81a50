"""A live job on a real Flink: killed, deployed again, upgraded from a savepoint: the memory runner's records."""

from __future__ import annotations

import json
import os
import signal
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.flink_products import FOLD, PASSING, flink_mesh
from tests.integration.test_flink_runner import require_the_same, run_flink, said

from headwater.local import processes
from headwater.local.flink_record import process_of
from headwater.ports.kafka import KafkaBroker
from headwater.testing.broker_mesh import BrokerMesh, random_batches, wait_until

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

NOT_WELL = 1


class Live:
    """The commands about one product's live job."""

    def __init__(self, stack: Stack, small: BrokerMesh) -> None:
        self.stack = stack
        self.small = small
        self.name = str(small.product.name)

    def ask(self, command: str, *options: str, code: int = 0) -> dict[str, Any]:
        argv = ["runner", "flink", command, self.name, *options, "--output", "json"]
        done = self.stack.cli(*argv, timeout=600, cwd=self.small.mesh.folder)
        assert done.returncode == code, done.stderr + said(self.stack)
        return dict(json.loads(done.stdout))

    def deploy(self) -> dict[str, Any]:
        return self.ask("deploy", "--checkpoint-seconds", "1")

    def kill(self) -> None:
        process = processes.find(self.stack.data_folder, process_of(self.name))
        assert process is not None
        os.killpg(process.pid, signal.SIGKILL)
        assert processes.wait_for_end(process, seconds=20)

    def wait_for_more(self, than: int) -> int:
        wait_until(lambda: len(self.small.written()) > than, seconds=240)
        return len(self.small.written())

    def end(self) -> None:
        processes.stop_process(self.stack.data_folder, process_of(self.name))


def live(stack: Stack, folder: Path, flow: Any = FOLD) -> Live:
    kafka = KafkaBroker({"bootstrap.servers": stack.kafka})
    return Live(stack, flink_mesh(kafka, stack.registry_url, folder / "mesh", f"v{uuid.uuid4().hex[:8]}", flow))


@pytest.mark.long
def test_a_live_job_is_killed_and_a_run_settles_what_it_wrote(stack: Stack, tmp_path: Path) -> None:
    job, batches = live(stack, tmp_path), random_batches(92, batches=60, size=20)
    small = job.small
    small.feed(batches[:40], last=False)
    try:
        job.deploy()
        first = job.wait_for_more(0)
        assert "HW-P252" in stack.cli("run", job.name, timeout=600, cwd=small.mesh.folder).stderr
        job.kill()
    finally:
        job.end()
    assert job.ask("status", code=NOT_WELL)["state"] == "gone"
    assert small.settled() == 0  # a live job settles nothing
    small.feed(batches[40:])
    run_flink(stack, small)
    assert require_the_same(small, batches) > first > 0
    assert small.settled() > batches[-1][-1]["recorded_at"]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_live_job_is_deployed_again_after_a_kill_and_upgraded(stack: Stack, tmp_path: Path) -> None:
    job, batches = live(stack, tmp_path), random_batches(91, batches=60, size=20)
    small = job.small
    small.feed(batches[:20], last=False)
    try:
        assert not job.deploy()["from_savepoint"]
        first = job.wait_for_more(0)
        wait_until(lambda: job.ask("status")["job"]["checkpoint"] is not None, seconds=240)
        wait_until(lambda: job.ask("status")["job"]["rows_out"] >= first, seconds=60)  # Flink adds up now and then
        seen = job.ask("status")
        assert seen["state"] == "running" and seen["job"]["rows_in"] > 0

        job.kill()
        small.feed(batches[20:40], last=False)
        assert not job.deploy()["from_savepoint"]
        second = job.wait_for_more(first)

        assert job.ask("upgrade", "--checkpoint-seconds", "1")["from_savepoint"]
        small.feed(batches[40:], last=False)
        third = job.wait_for_more(second)
        assert job.ask("stop")["savepoint"]
        assert job.ask("status")["state"] == "stopped"
    finally:
        job.end()
    small.feed(batches[-1:])  # marks far ahead, behind records that are known already
    run_flink(stack, small)
    assert require_the_same(small, batches) > third > second > first > 0


def test_what_only_passes_is_refused_and_a_product_without_a_job_said(stack: Stack, tmp_path: Path) -> None:
    job = live(stack, tmp_path, PASSING)
    argv = ["runner", "flink", "deploy", job.name]
    assert "HW-P256" in stack.cli(*argv, cwd=job.small.mesh.folder).stderr
    assert "HW-P253" in stack.cli("runner", "flink", "status", job.name, cwd=job.small.mesh.folder).stderr
