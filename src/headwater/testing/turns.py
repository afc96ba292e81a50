"""Workers of the small mesh on the broker in memory, stage by stage in turns in one thread: for tests of the runner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from headwater import naming
from headwater.hooks import Hooks
from headwater.ports.memory import MemoryBroker
from headwater.processing.commands import give
from headwater.processing.controls import Controls
from headwater.processing.reports import Reports
from headwater.processing.stage_worker import StageWorker
from headwater.processing.standing import Standing, standing
from headwater.testing.broker_mesh import BrokerMesh
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant

BEGAN = Instant(1_800_000_000_000_000)


class Scene:
    """The small mesh and one worker of it, whose stages take turns in this thread."""

    def __init__(self, folder: Path, made: Callable[[MemoryBroker, Path], BrokerMesh] | None = None) -> None:
        self.clock = ManualClock(BEGAN)
        broker, mesh = MemoryBroker(self.clock), folder / "mesh"
        self.small = made(broker, mesh) if made is not None else BrokerMesh.made(broker, mesh, "x")
        self.folder = folder / "state"
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.topic = naming.control_topic(self.small.plan.product, self.small.plan.major)

    def memory(self) -> MemoryBroker:
        """The broker, for what only this one can do."""
        assert isinstance(self.small.broker, MemoryBroker)
        return self.small.broker

    def tell(self, does: Any, why: str = "a bad feed") -> bool:
        """Give a command, as `ann`."""
        plan = self.small.plan
        return give(self.small.broker, plan.product, plan.major, does, by="ann", why=why, clock=self.clock)

    def write(self, key: bytes, value: bytes | None) -> None:
        """Put anything into the control topic."""
        sink = self.small.broker.sink("stranger")
        sink.open()
        sink.begin()
        sink.send(self.topic, key, value, timestamp=0, partition=0)
        sink.commit()

    def ends(self) -> int:
        """How many records product and changelogs hold."""
        return sum(len(self.small.written(topic)) for topic in [self.small.product.output.topic, *self._internal()])

    def stand(self) -> Standing:
        """How the product stands."""
        return standing(self.small.product, self.small.plan, self.small.broker, clock=self.clock)

    def _internal(self) -> list[str]:
        return [stage.changelog for stage in self.small.plan.stages if stage.changelog]


class Worker:
    """One life of a worker of all stages, as `KafkaRunner` has it."""

    def __init__(self, scene: Scene, *, slot: int = 0, **changes: Any) -> None:
        plan, hooks = scene.small.plan, Hooks([lambda *told: scene.heard.append(told)])
        around = replace(scene.small.surroundings(scene.folder, hooks=hooks, slot=slot, **changes), clock=scene.clock)
        self.clock = scene.clock
        self.controls = Controls([plan], scene.small.broker, hooks)
        self.controls.start()
        told = lambda: self.controls.paused(plan.product) is not None  # noqa: E731
        workers = [StageWorker(plan, stage, around, paused=told) for stage in plan.stages]
        accounts = {(plan.product, stage.name): one.account for stage, one in zip(plan.stages, workers, strict=True)}
        self.reports = Reports([plan], accounts, scene.small.broker, clock=scene.clock, slot=slot)
        self.lives = [worker.incarnation() for worker in workers]
        for life in self.lives:
            life.open()

    def turns(self, count: int) -> None:
        """So many steps of every stage, 0.3 s apart."""
        for _ in range(count):
            self.controls.step(0.0)
            for life in self.lives:
                life.step()
            self.clock.sleep(300_000)
            self.reports.step()

    def close(self, *, killed: bool = False) -> None:
        """End; killed, it commits nothing and says nothing."""
        for life in self.lives:
            if not killed:
                life.finish()
            life.drop()
        if not killed:
            self.reports.step(last=True)
        self.controls.close()
