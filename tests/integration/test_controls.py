"""Pause, resume and status on a real Kafka, by the commands that a person gives; a runner in threads of this one."""

from __future__ import annotations

import json
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.ports.kafka import KafkaBroker
from headwater.processing.runners.kafka import KafkaRunner
from headwater.testing.broker_mesh import BrokerMesh, random_batches, wait_until
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack


def test_a_product_is_paused_over_a_restart_and_goes_on(stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "mesh"
    small = BrokerMesh.made(KafkaBroker({"bootstrap.servers": stack.kafka}), folder, f"x{uuid.uuid4().hex[:8]}")
    batches, name = random_batches(21, batches=30, size=5), str(small.plan.product)

    def told(does: str, *more: str) -> str:
        here = {"HEADWATER_MESH": str(folder)}
        done = stack.cli("processing", does, name, *more, env=here)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def states() -> set[str]:
        return {place["state"] for place in stood()["places"]}

    def stood() -> Any:
        return json.loads(told("status", "--output", "json"))

    def begun() -> tuple[KafkaRunner, threading.Thread]:
        runner = KafkaRunner([small.plan], small.surroundings(tmp_path / "state"))
        thread = threading.Thread(target=runner.run)
        thread.start()
        return runner, thread

    runner, thread = begun()
    small.feed(batches[:10], last=False)
    wait_until(lambda: small.settled() >= batches[9][-1]["recorded_at"] - 200_000)
    told("pause", "--why", "a bad feed", "--by", "ann")
    wait_until(lambda: states() == {"paused"})
    settled = small.settled()
    small.feed(batches[10:20], last=False)
    runner.stop()
    thread.join(60)
    runner, thread = begun()
    wait_until(lambda: states() == {"paused"})
    SystemClock().sleep(1_000_000)
    assert small.settled() == settled
    paused = stood()
    assert paused["paused"] and (paused["command"]["by"], paused["command"]["why"]) == ("ann", "a bad feed")
    assert sum(place["lag"] for place in paused["places"]) > 0
    told("resume", "--why", "mended")
    small.feed(batches[20:])
    wait_until(lambda: small.settled() > batches[-1][-1]["recorded_at"])
    runner.stop()
    thread.join(60)
    assert not thread.is_alive()
    assert small.decoded() == small.expected(batches)
