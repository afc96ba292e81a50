"""Stages behind a Faust that loses, doubles and delays: the log is that of the memory runner, to the byte.

Two applications share the partitions over the memory broker, one of them now and then without knowing that it lost
them. Each rule of the hand-over has a saboteur that must turn this red.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.errors import HeadwaterError
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import Message, TopicPartition
from headwater.processing.incarnation import Incarnation
from headwater.processing.runners.faust_intake import Intake
from headwater.processing.runners.faust_source import StageSource
from headwater.processing.runners.faust_writing import PartitionCheckpoint, PartitionSinks, StageBroker
from headwater.processing.stage_worker import StageWorker
from headwater.processing.steps import Stage, topics_of
from headwater.testing.broker_mesh import BrokerMesh, random_batches
from headwater.testing.faust_memory import FaustInMemory
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant

BEGAN = Instant(1_800_000_000_000_000)
STEPS = 400
SETTLING = 400


class Impatient(threading.Condition):
    """Nobody else would notify."""

    def wait(self, timeout: float | None = None) -> bool:
        return False


class Application:
    """One process: an intake with Faust's side of it, and each stage with its present life."""

    def __init__(self, small: BrokerMesh, folder: Path, chance: random.Random, slot: int) -> None:
        self.small, self.chance = small, chance
        plan = small.plan
        topics = {topic for stage in plan.stages for topic in topics_of(stage)}
        self.intake = Intake(topics)
        self.intake.changed = Impatient(threading.RLock())
        self.faust = FaustInMemory(self.intake, small.broker, chance)
        around = small.surroundings(folder, slot=slot)
        assert isinstance(small.broker, MemoryBroker)
        around = replace(around, clock=small.broker.clock, checkpoint=PartitionCheckpoint)
        self.workers = [StageWorker(plan, stage, replace(around, broker=self._broker(stage))) for stage in plan.stages]
        self.lives: list[Incarnation | None] = [None for _ in plan.stages]
        self.doubts: list[str] = []

    def _broker(self, stage: Stage) -> Any:
        return StageBroker(self.small.broker, self.intake, lambda number: f"{stage.group}-p{number}")

    def turn(self) -> None:
        """Some of Faust, and a step of one stage."""
        for _ in range(self.chance.randrange(4)):
            self.faust.step()
        self.step(self.chance.randrange(len(self.lives)))

    def step(self, number: int) -> None:
        life = self.lives[number]
        try:
            if life is None:
                life = self.lives[number] = self.workers[number].incarnation()
                life.open()
            life.step()
        except HeadwaterError as error:
            self.doubts.append(error.code)
            assert error.retriable or error.code == "HW-R003", error.render()
            assert life is not None
            life.drop()
            self.lives[number] = None

    def crash(self) -> None:
        """Every life ends; what is under way in Faust stays there, as after an error that all stages share."""
        for number, life in enumerate(self.lives):
            if life is not None:
                life.drop()
                self.lives[number] = None


def run(folder: Path, seed: int, *, loses: bool = True) -> tuple[BrokerMesh, Any, list[Application]]:
    chance = random.Random(seed)
    clock = ManualClock(BEGAN)
    small = BrokerMesh.made(MemoryBroker(clock), folder / "mesh", "x")
    batches = random_batches(seed, batches=12, size=8)
    applications = [Application(small, folder / f"state-{slot}", chance, slot) for slot in (0, 1)]
    for application in applications:
        application.faust.loses = loses
    numbers = range(small.plan.stages[0].partitions)
    topics = sorted(applications[0].intake.topics)

    def share(among: list[Application]) -> None:
        for place, application in enumerate(among):
            mine = [number for number in numbers if number % len(among) == place]
            application.faust.share(TopicPartition(topic, number) for topic in topics for number in mine)

    share(applications)
    fed = 0
    for _ in range(STEPS):
        if fed < len(batches) and chance.random() < 0.06:
            small.feed([batches[fed]], last=fed == len(batches) - 1)
            fed += 1
        if chance.random() < 0.01:  # one of them does not hear that it has none any more
            share(chance.sample(applications, chance.choice([1, 2])))
        if chance.random() < 0.01:
            chance.choice(applications).crash()
        chance.choice(applications).turn()
        clock.sleep(100_000)
    for batch in batches[fed:]:
        small.feed([batch], last=batch is batches[-1])
    for application in applications:
        application.faust.loses = False
        application.faust.share([])
        application.crash()
    share(applications[:1])
    for _ in range(SETTLING):
        applications[0].turn()
        clock.sleep(300_000)
    expected = small.expected(batches)
    for application in applications:
        application.crash()
    return small, expected, applications


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 30))
def test_the_log_is_the_memory_runners(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    small, expected, _ = run(tmp_path_factory.mktemp("handover"), seed)
    assert small.decoded() == expected


def credulous(source: StageSource, stamp: int, message: Message) -> None:
    """Takes whatever is ahead, fetched or not."""
    lane = source.lanes.get(TopicPartition(message.topic, message.partition))
    if lane is not None and message.offset >= lane.next:
        lane.next = message.offset + 1
        lane.waiting.append(message)


def believing(intake: Intake) -> dict[TopicPartition, int]:
    """Reads on where Faust's own offsets are."""
    with intake.changed:
        found = {}
        for place in intake._assigned:
            for lane in intake._lanes(place):
                if place in intake._moved or lane.since is None:
                    found[place] = max(lane.next - 3, 0) if lane.since is None else lane.next + 2
        return found


def unfenced(sinks: PartitionSinks, partitions: Any) -> None:
    """Each life has writers of its own, which fence nobody."""
    for number in partitions:
        unfenced.count += 1  # type: ignore[attr-defined]
        sink = sinks._open[number] = sinks._make(number + 1_000 * unfenced.count)  # type: ignore[attr-defined]
        sink.open()


unfenced.count = 0  # type: ignore[attr-defined]

SABOTEURS: dict[str, tuple[type, str, Callable[..., Any]]] = {
    "takes what was not fetched": (StageSource, "take", credulous),
    "reads on where Faust is": (Intake, "due", believing),
    "fences nobody": (PartitionSinks, "fence", unfenced),
}


@pytest.mark.parametrize("name", SABOTEURS)
def test_a_saboteur_is_found_out(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*SABOTEURS[name])
    for seed in range(12):
        try:
            small, expected, _ = run(tmp_path / str(seed), seed)
        except (HeadwaterError, AssertionError):
            return
        if small.decoded() != expected:
            return
    pytest.fail("twelve seeds did not find it out")
