"""SIGKILL the runner at each step of its transaction and at random: the log stays the memory runner's, to the byte."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headwater.ports.kafka import KafkaBroker
from headwater.testing.broker_mesh import Batch, BrokerMesh, random_batches, wait_until
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

STEPS = (
    "stage.before_begin",
    "stage.after_outputs",
    "stage.after_offsets",
    "stage.before_commit",
    "stage.after_commit",
    "stage.after_store",
)
ROUND = 10
SEED = 20130105


class Victim:
    """Runners of one small mesh as processes."""

    def __init__(self, stack: Stack, folder: Path, *, saboteur: str = "-", busy: bool = False) -> None:
        self.nonce = f"k{uuid.uuid4().hex[:8]}"
        broker = KafkaBroker({"bootstrap.servers": stack.kafka})
        self.small = BrokerMesh.made(broker, folder / "mesh", self.nonce, busy=busy)
        self._stack, self._folder, self._saboteur = stack, folder, saboteur
        self._clock = SystemClock()
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *, failpoint: str = "-", slot: int = 0) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("small_runner.py")
        folders = (str(self._folder / "mesh"), self.nonce, str(self._folder / "state"))
        arguments = [sys.executable, str(script), self._stack.kafka, *folders, str(slot), failpoint, self._saboteur]
        process = subprocess.Popen(arguments, env=self._stack.environment(), stdout=subprocess.PIPE)
        self._started.append(process)
        return process

    def ready(self, **options: str) -> subprocess.Popen[bytes]:
        """Start, and wait until every partition of every stage is restored: it says so, a line each."""
        process = self.start(**options)  # type: ignore[arg-type]
        assert process.stdout is not None
        for _ in range(len(self.small.plan.stages) * self.small.plan.stages[0].partitions):
            if process.stdout.readline() != b"restored\n":
                break  # what the last one left undone was enough to reach the failpoint
        return process

    def close(self) -> None:
        """End what a failed test has left."""
        for process in self._started:
            process.kill()
            process.wait(60)
            if process.stdout is not None:
                process.stdout.close()

    def killed_at(self, step: str, nth: int, batches: Sequence[Batch]) -> None:
        """Start with a failpoint, give it work, see it die there."""
        process = self.ready(failpoint=f"{step}:{nth}:kill")
        for batch in batches:  # one by one, so that there are commits to count
            self.small.feed([batch], last=False)
        assert process.wait(60) == -signal.SIGKILL

    def killed_after(self, seconds: float, batches: Sequence[Batch]) -> None:
        """Start, give it work, kill it some time later."""
        process = self.ready()
        self.small.feed(batches, last=False)
        self._clock.sleep(int(seconds * 1_000_000))
        process.kill()
        process.wait(60)

    def finished(self, batches: Sequence[Batch]) -> None:
        """Start, give it the rest, wait until all is settled, end it in an orderly way."""
        process = self.start()
        self.small.feed(batches)
        last = batches[-1][-1]["recorded_at"]
        wait_until(lambda: process.poll() is not None or self.small.settled() > last)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.fixture
def victim(stack: Stack, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Victim]:
    victim = Victim(stack, tmp_path, **getattr(request, "param", {}))
    yield victim
    victim.close()


@pytest.mark.chaos
def test_killed_at_every_step_and_at_random_the_log_is_whole(victim: Victim) -> None:
    chance = random.Random(SEED)
    kills = len(STEPS) + 5
    batches = random_batches(SEED, batches=ROUND * (kills + 1), size=12)
    for number, step in enumerate(STEPS):
        victim.killed_at(step, chance.randrange(1, 5), batches[number * ROUND : (number + 1) * ROUND])
    for number in range(len(STEPS), kills):
        victim.killed_after(chance.uniform(0.0, 0.4), batches[number * ROUND : (number + 1) * ROUND])
    victim.finished(batches[kills * ROUND :])
    assert victim.small.decoded() == victim.small.expected(batches)


@pytest.mark.chaos
@pytest.mark.parametrize("victim", [{"saboteur": "offsets_apart"}], indirect=True)
def test_offsets_committed_apart_are_found_out(victim: Victim) -> None:
    """The saboteur: were offsets not part of the transaction, the test above would be red."""
    with pytest.raises(
        AssertionError
    ):  # a step was not reached, a runner found its state impossible, or the logs differ
        batches = random_batches(SEED, batches=ROUND * 4, size=12)
        for number in range(3):
            victim.killed_at("stage.before_commit", 2 + number, batches[number * ROUND : (number + 1) * ROUND])
        victim.finished(batches[3 * ROUND :])
        assert victim.small.decoded() == victim.small.expected(batches)


@pytest.mark.chaos
def test_two_workers_share_the_partitions_and_one_leaves(victim: Victim) -> None:
    batches = random_batches(7, batches=40, size=12)
    first, second = victim.start(slot=0), victim.start(slot=1)
    victim.small.feed(batches[:20], last=False)
    wait_until(lambda: victim.small.settled() >= batches[19][-1]["recorded_at"] - 200_000)
    second.kill()
    second.wait(60)
    victim.small.feed(batches[20:])
    last = batches[-1][-1]["recorded_at"]
    wait_until(lambda: victim.small.settled() > last)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    assert victim.small.decoded() == victim.small.expected(batches)


def died_and_finished(victim: Victim) -> Sequence[Batch]:
    """A runner that dies when the second output of a transaction is written, and one that goes on."""
    batches = random_batches(SEED, batches=ROUND * 2, size=12)
    process = victim.ready()
    victim.small.feed(batches[:ROUND], last=False)
    assert process.wait(60) == -signal.SIGKILL
    victim.finished(batches[ROUND:])
    assert victim.small.decoded() == victim.small.expected(batches)
    return batches


@pytest.mark.chaos
@pytest.mark.parametrize("victim", [{"busy": True, "saboteur": "dying"}], indirect=True)
def test_killed_within_a_transaction_neither_of_two_outputs_is_ahead(victim: Victim) -> None:
    batches = died_and_finished(victim)
    assert victim.small.decoded("busy") == victim.small.expected(batches, "busy")


@pytest.mark.chaos
@pytest.mark.long
@pytest.mark.parametrize("victim", [{"busy": True, "saboteur": "outputs_apart"}], indirect=True)
def test_an_output_committed_apart_is_found_out(victim: Victim) -> None:
    """The saboteur: were the second output not part of the transaction, the test above would be red."""
    batches = died_and_finished(victim)
    assert victim.small.decoded("busy") != victim.small.expected(batches, "busy")
