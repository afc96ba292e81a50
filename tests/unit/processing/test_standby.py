"""A worker that copies another's state takes its partitions over without restoring them, and computes the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headwater.hooks import Hooks
from headwater.ports.memory import MemoryBroker
from headwater.processing import standby
from headwater.processing.incarnation import Incarnation
from headwater.processing.stage_worker import StageWorker
from headwater.testing.broker_mesh import BrokerMesh, random_batches
from headwater.timeline.clock import ManualClock


class Pair:
    """Two workers of every stage, in turns in one thread."""

    def __init__(self, folder: Path, *, copies: bool) -> None:
        self.clock = ManualClock()
        self.small = BrokerMesh.made(MemoryBroker(self.clock), folder / "mesh", "x")
        self.restored: list[int] = []
        self.copied = 0
        self.lives: list[list[Incarnation]] = []
        for slot in range(2):
            hooks = Hooks([self._heard])
            around = self.small.surroundings(folder / "state", hooks=hooks, slot=slot, standby=copies)
            around = replace(around, clock=self.clock)  # rests between commits are of the broker's time, too
            self.lives.append([self._life(stage, around) for stage in self.small.plan.stages])

    def _life(self, stage: object, around: object) -> Incarnation:
        worker = StageWorker(self.small.plan, stage, around)  # type: ignore[arg-type]
        return worker.incarnation()

    def _heard(self, happening: str, fields: dict[str, object]) -> None:
        if happening == "stage.restored":
            self.restored.append(int(str(fields["entries"])))
        self.copied += int(str(fields["entries"])) if happening == "stage.copied" else 0

    def open(self) -> None:
        for lives in self.lives:
            for life in lives:
                life.open()

    def turns(self, count: int) -> None:
        for _ in range(count):
            for lives in self.lives:
                for life in lives:
                    life.step()
            self.clock.sleep(300_000)

    def first_ends(self) -> None:
        for life in self.lives.pop(0):
            life.finish()
            life.drop()

    def close(self) -> None:
        for lives in self.lives:
            for life in lives:
                life.drop()


@pytest.mark.parametrize("copies", [True, False])
def test_a_take_over_restores_what_no_copy_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: bool) -> None:
    monkeypatch.setattr(standby, "EVERY_MICROSECONDS", 0)
    pair = Pair(tmp_path, copies=copies)
    batches = random_batches(8, batches=30, size=8)
    pair.open()
    pair.small.feed(batches[:20], last=False)
    pair.turns(30)
    pair.restored.clear()
    pair.first_ends()
    pair.turns(10)
    assert len(pair.restored) == 4 * len(pair.small.plan.stages)
    assert (pair.copied > 0, sum(pair.restored) == 0) == (copies, copies)
    pair.small.feed(batches[20:])
    pair.turns(20)
    pair.close()
    assert pair.small.decoded() == pair.small.expected(batches)
