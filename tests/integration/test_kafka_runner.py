"""The kafka runner on a real Kafka: the memory runner's records, whatever happens to its processes and its disk."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headwater.hooks import Hooks
from headwater.ports.kafka import KafkaBroker
from headwater.processing.runners.kafka import KafkaRunner
from headwater.testing.broker_mesh import BrokerMesh, random_batches, wait_until

if TYPE_CHECKING:
    from tests.integration.conftest import Stack


@pytest.fixture(scope="module")
def kafka(stack: Stack) -> KafkaBroker:
    return KafkaBroker({"bootstrap.servers": stack.kafka})


@pytest.fixture
def small(kafka: KafkaBroker, tmp_path: Path) -> BrokerMesh:
    return BrokerMesh.made(kafka, tmp_path / "mesh", f"x{uuid.uuid4().hex[:8]}")


@contextmanager
def running(small: BrokerMesh, folder: Path, **changes: object) -> Iterator[KafkaRunner]:
    """A runner in threads of this process."""
    runner = KafkaRunner([small.plan], small.surroundings(folder, **changes))
    failed: list[BaseException] = []

    def run() -> None:
        try:
            runner.run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield runner
    runner.stop()
    thread.join(30)
    assert not thread.is_alive()
    if failed:
        raise failed[0]


def test_it_writes_the_records_that_the_memory_runner_writes(small: BrokerMesh, tmp_path: Path) -> None:
    batches = random_batches(11, batches=60, size=20)
    last = batches[-1][-1]["recorded_at"]
    with running(small, tmp_path / "state"):
        small.feed(batches)
        wait_until(lambda: small.settled() > last)
    assert small.decoded() == small.expected(batches)


def test_a_state_that_was_deleted_is_rebuilt_from_its_changelog(small: BrokerMesh, tmp_path: Path) -> None:
    batches = random_batches(12, batches=40, size=10)
    restored: list[dict[str, object]] = []
    hooks = Hooks([lambda happening, fields: restored.append(fields) if happening == "stage.restored" else None])
    with running(small, tmp_path / "state"):
        small.feed(batches[:20], last=False)
        wait_until(lambda: small.settled() >= batches[19][-1]["recorded_at"] - 200_000)
    shutil.rmtree(tmp_path / "state")
    last = batches[-1][-1]["recorded_at"]
    with running(small, tmp_path / "state", hooks=hooks):
        small.feed(batches[20:])
        wait_until(lambda: small.settled() > last)
    assert small.decoded() == small.expected(batches)
    assert sum(int(str(fields["entries"])) for fields in restored) > 0
