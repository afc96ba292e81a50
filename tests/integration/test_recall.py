"""State that is lost while a product runs on a real Kafka: what it remembers of its inputs comes back from them."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.hooks import Hooks
from headwater.ports.kafka import KafkaBroker
from headwater.processing.runners.kafka import KafkaRunner
from headwater.testing.broker_mesh import BrokerMesh, random_batches, wait_until
from headwater.testing.two_sources import as_in_memory, both_ways, two_sources

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

PAIRED = """from headwater import Stream, col, count_distinct, total, tumbling


def flow(departures: Stream, arrivals: Stream) -> Stream:
    pairs = departures.join_within(
        arrivals.filter(col("delay_minutes").coalesce(0) >= 0),
        within="24h",
        on={"flight_id": "flight_id"},
        take={"to": "origin", "delayed": "delay_minutes"},
    )
    counted = pairs.aggregate(by=["to"], window=WINDOW, rows=count_distinct("event_id"), minutes=total("delayed"))
    return counted.select(origin=col("to"), departures=col("rows") * 1000 + col("minutes").coalesce(0))
"""


@contextmanager
def running(small: BrokerMesh, folder: Path, heard: list[dict[str, Any]]) -> Iterator[None]:
    """A runner in a thread of this process; hears what is recalled."""
    hooks = Hooks([lambda happening, fields: heard.append(fields) if happening == "stage.recalled" else None])
    runner = KafkaRunner([small.plan], small.surroundings(folder, hooks=hooks))
    failed: list[BaseException] = []

    def run() -> None:
        try:
            runner.run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        runner.stop()
        thread.join(30)
    assert not thread.is_alive() and not failed, failed


def test_a_lost_state_remembers_its_inputs_again_and_says_the_same(stack: Stack, tmp_path: Path) -> None:
    nonce = f"x{uuid.uuid4().hex[:8]}"
    small = two_sources(KafkaBroker({"bootstrap.servers": stack.kafka}), tmp_path / "mesh", nonce, PAIRED)
    ways = both_ways(small, nonce)
    given = [random_batches(seed, batches=30, size=10) for seed in (21, 22)]
    recalled: list[dict[str, Any]] = []
    with running(small, tmp_path / "state", recalled):
        for way, batches in zip(ways, given, strict=True):
            way.feed(batches[:20], last=False)
        reached = min(batches[19][-1]["recorded_at"] for batches in given)
        wait_until(lambda: small.settled() >= reached - 200_000)
    assert not recalled
    shutil.rmtree(tmp_path / "state")
    with running(small, tmp_path / "state", recalled):
        for way, batches in zip(ways, given, strict=True):
            way.feed(batches[20:])
        last = max(batches[-1][-1]["recorded_at"] for batches in given)
        wait_until(lambda: small.settled() > last)
    assert small.decoded() == as_in_memory(small, ways, given)
    assert {fields["topic"] for fields in recalled} == set(small.plan.stages[0].recalled_from)
    assert sum(fields["records"] for fields in recalled) > 100
    tables = {(message.key or b"").split(b"\0")[0] for message in small.written(small.plan.stages[0].changelog)}
    assert tables == {b"", b"closed"}
