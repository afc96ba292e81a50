"""Two workers of one slot: the one that is replaced for the third time stops and says why; a rebalance is no rival."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater import naming
from headwater.errors import CallerFault
from headwater.hooks import Hooks
from headwater.ports.kafka_errors import REASSIGNED, fenced
from headwater.ports.memory import MemoryBroker
from headwater.processing.rivals import LIMIT, WINDOW_MICROSECONDS, Rivals
from headwater.processing.stage_worker import StageWorker
from headwater.testing.broker_mesh import BrokerMesh, random_batches
from headwater.timeline.clock import ManualClock


@pytest.fixture
def small(tmp_path: Path) -> BrokerMesh:
    return BrokerMesh.made(MemoryBroker(ManualClock()), tmp_path / "mesh", "x")


class Rival:
    """Another worker of the slot: it takes the first stage's transactional id after each commit, so many times."""

    def __init__(self, small: BrokerMesh, times: int) -> None:
        self.small, self.left, self.doubts = small, times, 0

    def __call__(self, happening: str, fields: dict[str, object]) -> None:
        stage = self.small.plan.stages[0]
        if fields.get("stage") != stage.name:
            return
        self.doubts += happening == "stage.rebuilt"
        if happening == "stage.committed" and self.left:
            self.left -= 1
            plan = self.small.plan
            self.small.broker.sink(naming.stage_transactional_id(plan.product, plan.major, stage.name, 0)).open()


def run(small: BrokerMesh, folder: Path, rival: Rival) -> None:
    """Feed and run the first stage by turns."""
    batches = random_batches(7, batches=30, size=4)
    left = iter(batches)

    def stopping() -> bool:
        batch = next(left, None)
        if batch is not None:
            small.feed([batch], last=False)
        return batch is None

    around = small.surroundings(folder, hooks=Hooks([rival]))
    StageWorker(small.plan, small.plan.stages[0], around).run(stopping)


def test_a_worker_that_is_replaced_again_and_again_stops_and_says_so(small: BrokerMesh, tmp_path: Path) -> None:
    rival = Rival(small, times=100)
    with pytest.raises(CallerFault) as raised:
        run(small, tmp_path / "state", rival)
    assert raised.value.code == "HW-P195" and "slot 0" in raised.value.message
    assert rival.doubts == LIMIT - 1, "the last replacement is not waited for"


def test_a_worker_that_is_replaced_twice_goes_on(small: BrokerMesh, tmp_path: Path) -> None:
    rival = Rival(small, times=LIMIT - 1)
    run(small, tmp_path / "state", rival)
    assert rival.doubts == LIMIT - 1 and not rival.left


def test_only_the_first_stage_decides_and_only_replacements_count(small: BrokerMesh) -> None:
    clock, replaced = ManualClock(), fenced("a member", "FENCED_INSTANCE_ID")
    first, *others = small.plan.stages
    assert others, "else nothing is said of others"
    rivals = Rivals(small.plan, first, 0, clock)
    for name in REASSIGNED:
        rivals.note(fenced("a member", name))
    for stage in others:
        other = Rivals(small.plan, stage, 0, clock)
        for _ in range(LIMIT * 2):
            other.note(replaced)
    for _ in range(LIMIT * 3):
        rivals.note(replaced)
        clock.sleep(WINDOW_MICROSECONDS // (LIMIT - 1) + 1)
    with pytest.raises(CallerFault):
        for _ in range(LIMIT):
            rivals.note(replaced)
