"""A worker that keeps copies joins once they are warm; what a rekey topic has handed over is deleted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from headwater.ports.record import TopicPartition
from headwater.processing import handed_over
from headwater.processing.reset import reset
from headwater.testing.broker_mesh import random_batches
from headwater.testing.turns import Scene, Worker


def restored(scene: Scene) -> int:
    return sum(fields["entries"] for name, fields in scene.heard if name == "stage.restored")


@pytest.mark.parametrize("copies", [True, False])
def test_who_joins_with_copies_restores_nothing_and_takes_nothing_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: bool
) -> None:
    scene, batches = Scene(tmp_path), random_batches(8, batches=30, size=8)
    monkeypatch.setattr("headwater.processing.restoring.FETCH_MESSAGES", 5)  # a copy takes some steps
    monkeypatch.setattr("headwater.processing.standby.STEP_SECONDS", 0.0)
    first = Worker(scene)
    scene.small.feed(batches[:20], last=False)
    first.turns(30)
    scene.heard.clear()
    second = Worker(scene, slot=1, standby=copies)
    shares = []
    for _ in range(200):
        second.turns(1)
        first.turns(1)
        shares.append({place.slot for place in scene.stand().places})
        if shares[-1] == {0, 1}:
            break
    assert shares[-1] == {0, 1}
    assert (restored(scene) == 0) == copies
    if copies:  # meanwhile the old owner had them all
        assert len(shares) > 4 and all(share == {0} for share in shares[1:4])
    scene.small.feed(batches[20:])
    for _ in range(30):
        first.turns(1)
        second.turns(1)
    assert scene.small.decoded() == scene.small.expected(batches)
    first.close()
    second.close()


def test_a_worker_that_is_alone_does_not_wait_for_copies(tmp_path: Path) -> None:
    scene, batches = Scene(tmp_path), random_batches(9, batches=20, size=6)
    first = Worker(scene, standby=True)
    scene.small.feed(batches[:10], last=False)
    first.turns(15)
    first.close(killed=True)
    scene.clock.sleep(31_000_000)  # its last word is old
    shutil.rmtree(scene.folder)
    scene.small.feed(batches[10:])
    second = Worker(scene, slot=1, standby=True)
    second.turns(30)
    assert scene.small.decoded() == scene.small.expected(batches)
    second.close()


def test_what_was_handed_over_is_deleted_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handed_over, "LEAST", 1)
    scene, batches = Scene(tmp_path), random_batches(3, batches=40, size=6)
    broker, plan = scene.small.broker, scene.small.plan
    rekeys = [
        TopicPartition(stage.output.topic, number)
        for stage in plan.stages
        if stage.output.kind == "exchange"
        for number in range(stage.output.partitions)
    ]
    inputs = [TopicPartition(scene.small.source.output.topic, number) for number in range(4)]
    worker = Worker(scene)
    for start in range(0, 40, 8):
        scene.small.feed(batches[start : start + 8], last=start == 32)
        worker.turns(10)
        scene.clock.sleep(61_000_000)
    worker.turns(10)
    assert rekeys and all(start > 0 for start in broker.starts(rekeys).values())
    assert not any(broker.starts(inputs).values())
    cleared = sum(fields["offsets"] for name, fields in scene.heard if name == "stage.cleared")
    assert cleared == sum(broker.starts(rekeys).values())
    worker.close(killed=True)
    shutil.rmtree(scene.folder)  # what is restored, and what a reset makes anew, needs none of it
    again = Worker(scene)
    again.turns(20)
    again.close()
    assert scene.small.decoded() == scene.small.expected(batches)
    reset(plan, broker, clock=scene.clock)
    anew = Worker(scene)
    anew.turns(60)
    anew.close()
    assert scene.small.decoded() == scene.small.expected(batches)
