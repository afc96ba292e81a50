"""The flink runner on a real Flink and a real Kafka: the memory runner's records, byte for byte, in one run or two."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.flink_products import FOLD, HOPPING, PASSING, WHOLE, Flow, flink_mesh

from headwater.contracts.environment import Environment
from headwater.errors import Fault, Unreachable
from headwater.local.flink_gateway import run_there
from headwater.local.flink_run import FlinkRun
from headwater.local.launch import start_stack
from headwater.local.ports import free_base
from headwater.ports.kafka import KafkaBroker
from headwater.processing.records import RecordWriter
from headwater.processing.runners.kafka import KafkaRunner
from headwater.testing.broker_mesh import Batch, BrokerMesh, random_batches, wait_until
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

Made = Callable[[Flow], BrokerMesh]


@pytest.fixture(scope="module")
def kafka(stack: Stack) -> KafkaBroker:
    return KafkaBroker({"bootstrap.servers": stack.kafka})


@pytest.fixture(scope="module")
def gateway(stack: Stack) -> str:
    """Flink's SQL gateway beside the stack: one process for all jobs."""
    start_stack(stack.local, extra=("flink",))
    return stack.local.flink_url


@pytest.fixture
def made(kafka: KafkaBroker, stack: Stack, tmp_path: Path) -> Made:
    return lambda flow: flink_mesh(kafka, stack.registry_url, tmp_path / "mesh", f"f{uuid.uuid4().hex[:8]}", flow)


def run_flink(stack: Stack, small: BrokerMesh, *options: str) -> subprocess.CompletedProcess[str]:
    done = stack.cli("runner", "flink", "run", str(small.product.name), *options, timeout=240, cwd=small.mesh.folder)
    assert done.returncode == 0, done.stderr + said(stack)
    return done


def said(stack: Stack) -> str:
    return "".join(log.read_text()[-5_000:] for log in stack.local.logs_folder.glob("flink*.log"))


def flink_run(stack: Stack, small: BrokerMesh) -> FlinkRun:
    environment = Environment("test", {"bootstrap.servers": stack.kafka}, stack.registry_url)
    return FlinkRun(small.mesh, str(small.product.name), environment, small.broker, small.registry)


@contextmanager
def on_kafka(small: BrokerMesh, folder: Path) -> Iterator[None]:
    """`headwater run` in threads of this process."""
    runner = KafkaRunner([small.plan], small.surroundings(folder))
    thread = threading.Thread(target=runner.run)
    thread.start()
    yield
    runner.stop()
    thread.join(30)
    assert not thread.is_alive()


def require_the_same(small: BrokerMesh, batches: Sequence[Batch]) -> int:
    """Keys, values, order and partitions are those of the memory runner; the number of records."""
    expected, made = small.expected(batches), small.decoded()
    for number, log in expected.items():
        for place, (ours, theirs) in enumerate(zip(made[number], log, strict=False)):
            assert ours == theirs, f"partition {number}, record {place} of {len(made[number])} for {len(log)}"
    assert made == expected
    writer = RecordWriter(small.registry, small.product)
    values = {number: [writer.encode(dict(record)) for _, record in log] for number, log in expected.items()}
    found: dict[int, list[bytes | None]] = {number: [] for number in expected}
    for message in small.written():
        found[message.partition].append(message.value)
    assert found == values
    return sum(map(len, values.values()))


def test_a_fold_is_the_same_in_two_runs(made: Made, stack: Stack, gateway: str) -> None:
    small, batches = made(FOLD), random_batches(81, batches=60, size=20)
    small.feed(batches[:30], last=False)
    run_flink(stack, small, "--gateway", gateway)
    part = len(small.written())
    small.feed(batches[30:])
    run_flink(stack, small, "--gateway", gateway)
    assert require_the_same(small, batches) > part > 0
    kinds = {record["kind"] for log in small.decoded().values() for _, record in log}
    assert kinds == {"assert", "correct", "retract"}
    assert small.settled() > batches[-1][-1]["recorded_at"]
    assert "holds all that its inputs settle" in run_flink(stack, small, "--gateway", gateway).stdout


@pytest.mark.long
@pytest.mark.parametrize("flow", [HOPPING, WHOLE, PASSING], ids=str)
def test_other_flows_are_the_same(made: Made, stack: Stack, gateway: str, flow: Flow) -> None:
    small, batches = made(flow), random_batches(82, batches=60, size=20)
    small.feed(batches)
    run_flink(stack, small, "--gateway", gateway)
    assert require_the_same(small, batches) > 0


@pytest.mark.long
def test_a_product_moves_to_flink_and_back(made: Made, stack: Stack, gateway: str, tmp_path: Path) -> None:
    small, batches = made(FOLD), random_batches(83, batches=60, size=10)
    small.feed(batches[:20], last=False)
    with on_kafka(small, tmp_path / "state"):
        wait_until(lambda: small.settled() >= batches[19][-1]["recorded_at"] - 200_000)
        refused = stack.cli("runner", "flink", "run", str(small.product.name), cwd=small.mesh.folder)
        assert "HW-P172" in refused.stderr
    before = len(small.written())
    small.feed(batches[20:40], last=False)
    moved = flink_run(stack, small)
    moved.take_over(SystemClock())
    reach = moved.reach()
    assert reach is not None
    done = moved.run(reach, tmp_path, gateway=gateway)
    assert done is not None and 0 < done.records == len(small.written()) - before
    small.feed(batches[40:])
    with on_kafka(small, tmp_path / "state"):
        wait_until(lambda: small.settled() > batches[-1][-1]["recorded_at"])
    assert require_the_same(small, batches) > before


@pytest.mark.long
def test_a_run_in_a_process_of_its_own_is_stopped_and_has_said_nothing(made: Made, stack: Stack) -> None:
    small, batches = made(FOLD), random_batches(84, batches=60, size=20)
    small.feed(batches)
    argv = [sys.executable, "-m", "headwater", "runner", "flink", "run", str(small.product.name)]
    process = subprocess.Popen(argv, env=stack.environment(), cwd=small.mesh.folder, stdout=subprocess.PIPE, text=True)
    folder = stack.data_folder / "flink" / str(small.product.name)
    wait_until((folder / "job.sql").is_file)
    process.send_signal(signal.SIGTERM)
    shown, _ = process.communicate(timeout=60)
    assert "nothing of this run was published" in shown
    assert not folder.exists()
    assert small.written() == []
    run_flink(stack, small)
    assert require_the_same(small, batches) > 0


@pytest.mark.long
@pytest.mark.parametrize("by_gateway", [True, False], ids=["gateway", "process"])
def test_a_run_that_is_killed_leaves_no_job_that_publishes(
    made: Made, stack: Stack, gateway: str, by_gateway: bool
) -> None:
    small, batches = made(FOLD), random_batches(86, batches=60, size=20)
    small.feed(batches)
    argv = [sys.executable, "-m", "headwater", "runner", "flink", "run", str(small.product.name)]
    argv += ["--gateway", gateway] if by_gateway else []
    process = subprocess.Popen(argv, env=stack.environment(), cwd=small.mesh.folder)
    folder = stack.data_folder / "flink"
    name = str(small.product.name)
    wait_until(lambda: (folder / f"{name}.session").is_file() or (folder / name / "job.sql").is_file())
    SystemClock().sleep(3_000_000)  # into the planning or the first records of the job, whichever it is
    process.kill()
    process.wait()
    run_flink(stack, small, *(["--gateway", gateway] if by_gateway else []))
    assert require_the_same(small, batches) > 0


@pytest.mark.long
def test_a_record_that_no_job_can_take_ends_it_and_nothing_is_said(made: Made, stack: Stack, gateway: str) -> None:
    small, batches = made(FOLD), random_batches(85, batches=10, size=10)
    batches[5][0]["revision"] = 0
    small.feed(batches)
    run = flink_run(stack, small)
    reach = run.reach()
    assert reach is not None
    with pytest.raises(Fault) as failed:
        run.run(reach, stack.data_folder, gateway=gateway)
    assert failed.value.code == "HW-P247"
    assert small.written() == []


def test_a_gateway_that_is_away_is_said(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_base(25_000)}"
    with pytest.raises(Unreachable) as away:
        run_there(url, ["SELECT 1"], {}, record=tmp_path / "session")
    assert away.value.code == "HW-P250"
    assert url in away.value.message
