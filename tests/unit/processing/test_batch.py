"""Transactions that take longer than they may: smaller ones, down to one input; nothing lost, nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import CallerFault, Unreachable
from headwater.hooks import Hooks
from headwater.naming import ProductName
from headwater.ports.memory import MemoryBroker
from headwater.ports.protocol import GroupSource
from headwater.ports.record import TopicPartition
from headwater.processing.batch import Batch
from headwater.processing.checkpoint import Checkpoint
from headwater.processing.stage_worker import StageWorker
from headwater.processing.task import Work
from headwater.testing.broker_mesh import BrokerMesh, random_batches
from headwater.timeline.clock import ManualClock

PRODUCT = ProductName("a", "b")
SECOND = 1_000_000


def slow(clock: ManualClock, seconds: float, fixed: float = 0.0) -> type[Checkpoint]:
    """A checkpoint that takes so long for each record that its transaction folds."""

    class Slow(Checkpoint):
        def commit(self, works: Sequence[Work], source: GroupSource) -> int:
            self._took = sum(work.folded for work in works)
            return super().commit(works, source)

        def send_offsets(self, offsets: Any, source: GroupSource) -> None:
            clock.sleep(int((self._took * seconds + (fixed if self._took else 0)) * SECOND))
            super().send_offsets(offsets, source)

    return Slow


class Scene:
    """The small mesh, of which each stage runs until it has nothing to do."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.small = BrokerMesh.made(MemoryBroker(self.clock), folder / "mesh", "x")
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.folder = folder / "state"

    def work(self, checkpoint: type[Checkpoint], *, polls: int = 400) -> None:
        hooks = Hooks([lambda happening, fields: self.heard.append((happening, fields))])
        around = replace(self.small.surroundings(self.folder, hooks=hooks), clock=self.clock, checkpoint=checkpoint)
        for stage in self.small.plan.stages:
            left = iter(range(polls))
            StageWorker(self.small.plan, stage, around).run(lambda left=left: next(left, None) is None)

    def limits(self, happening: str) -> list[int]:
        return [fields["limit"] for name, fields in self.heard if name == happening]


@pytest.mark.parametrize("seed", range(3))
def test_what_takes_too_long_is_tried_again_in_halves_and_nothing_is_lost_or_twice(tmp_path: Path, seed: int) -> None:
    scene = Scene(tmp_path)
    batches = random_batches(seed, batches=40, size=3)
    scene.small.feed(batches)
    scene.work(slow(scene.clock, 4.0))
    assert scene.small.decoded() == scene.small.expected(batches)
    halved = scene.limits("stage.too_slow")
    assert len(halved) >= 2 and halved[0] > halved[1] >= 1
    assert not [fields for name, fields in scene.heard if name == "stage.rebuilt"]


def test_it_takes_more_again_once_transactions_are_quick(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    batches = random_batches(3, batches=30, size=3)
    scene.small.feed(batches[:15], last=False)
    scene.work(slow(scene.clock, 4.0))
    assert min(scene.limits("stage.too_slow")) < 10
    scene.heard.clear()
    scene.small.feed(batches[15:])
    scene.work(slow(scene.clock, 0.0))
    assert scene.small.decoded() == scene.small.expected(batches)
    batch = Batch(10_000, 30 * SECOND)
    batch.shrink(600)
    seen = []
    for _ in range(6):
        batch.took(SECOND)
        seen.append(batch.limit)
    assert seen == [600, 1_200, 2_400, 4_800, 9_600, 10_000]
    batch.shrink(600)
    batch.took(8 * SECOND)  # more than a quarter of what it may take: twice as many might be too many
    assert batch.limit == 300


def test_what_is_too_slow_by_itself_ends_the_product_and_is_named(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.small.feed(random_batches(4, batches=10, size=3))
    with pytest.raises(CallerFault) as refused:
        scene.work(slow(scene.clock, 0.0, fixed=31.0))
    assert refused.value.code == "HW-P181"
    said = refused.value.message
    assert str(scene.small.plan.product) in said and "flightsx.departures.v1, partition" in said and "offset" in said
    assert "--transaction-seconds" in refused.value.hint
    assert not scene.small.written()
    limits = scene.limits("stage.too_slow")
    assert limits[-1] == 1 and limits == sorted(limits, reverse=True)


def test_a_slow_broker_makes_batches_smaller_but_judges_no_input() -> None:
    batch = Batch(10_000, 30 * SECOND)
    away = Unreachable("Kafka did not take the records in time", code="HW-R002")
    places = {TopicPartition("a.b.v1", 3): (17, 18)}
    for _ in range(50):
        found = batch.judge(away, 31 * SECOND, 1, PRODUCT, places)
        assert found is not None and found.code == "HW-P180"
    assert batch.limit == 1


def test_a_doubt_within_the_time_is_another_matter() -> None:
    batch = Batch(10_000, 30 * SECOND)
    fenced = CallerFault("replaced", code="HW-R003")
    assert batch.judge(fenced, 29 * SECOND, 100, PRODUCT, {}) is None
    assert batch.judge(CallerFault("no right", code="HW-R006"), 31 * SECOND, 100, PRODUCT, {}) is None
    assert batch.limit == 10_000
