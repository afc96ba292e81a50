"""Two workers of one slot: one that is replaced for the third time, and sees the other, stops and says why.

A rebalance is no rival, and where both stood back neither has stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from headwater.errors import CallerFault, Unreachable
from headwater.hooks import Hooks
from headwater.naming import stage_transactional_id
from headwater.ports.kafka_errors import REASSIGNED, fenced
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import TopicPartition
from headwater.processing.rivals import BACK_MICROSECONDS, LIMIT, WINDOW_MICROSECONDS, Rivals
from headwater.processing.stage_worker import StageWorker
from headwater.processing.steps import topics_of
from headwater.testing.broker_mesh import BrokerMesh, random_batches
from headwater.timeline.clock import ManualClock


@pytest.fixture
def small(tmp_path: Path) -> BrokerMesh:
    return BrokerMesh.made(MemoryBroker(ManualClock()), tmp_path / "mesh", "x")


REPLACED = fenced("a member", "FENCED_INSTANCE_ID")


class Then(ManualClock):
    """A clock by which something happens whenever somebody sleeps."""

    then: Callable[[], object] = staticmethod(lambda: None)

    def sleep(self, duration: int) -> None:
        super().sleep(duration)
        self.then()


class Member:
    """Another worker of the first stage: a member of its group, which commits or only stays."""

    def __init__(self, small: BrokerMesh) -> None:
        plan = small.plan
        stage = plan.stages[0]
        self.sink = small.broker.sink(stage_transactional_id(plan.product, plan.major, stage.name, 0))
        self.source = small.broker.group(stage.group, topics_of(stage), self, member=f"{stage.group}-0")
        self.place, self.offset = TopicPartition(topics_of(stage)[0], 0), 0

    def gained(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Nothing is held."""

    lost = revoked

    def commit(self) -> None:
        if not self.offset:
            self.source.fetch(1, 0.0)
            self.sink.open()
        self.sink.begin()
        self.offset += 1
        self.sink.send_offsets({self.place: self.offset}, self.source)
        self.sink.commit()


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
            self.small.broker.sink(stage_transactional_id(plan.product, plan.major, stage.name, 0)).open()


def run(small: BrokerMesh, folder: Path, rival: Rival, clock: ManualClock) -> None:
    """Feed and run the first stage by turns."""
    batches = random_batches(7, batches=150, size=4)  # more than a worker that stands back asks for
    left = iter(batches)

    def stopping() -> bool:
        batch = next(left, None)
        if batch is not None:
            small.feed([batch], last=False)
        return batch is None

    around = replace(small.surroundings(folder, hooks=Hooks([rival])), clock=clock)
    StageWorker(small.plan, small.plan.stages[0], around).run(stopping)


def rivals(small: BrokerMesh, folder: Path, clock: ManualClock, stage: int = 0) -> Rivals:
    around = replace(small.surroundings(folder), clock=clock)
    return Rivals(small.plan, small.plan.stages[stage], around)


def noted(rivals: Rivals, times: int, *, stopping: bool = False) -> None:
    for _ in range(times):
        rivals.note(REPLACED, lambda: stopping)


def test_a_worker_that_is_replaced_again_and_again_by_one_that_commits_stops_and_says_so(
    small: BrokerMesh, tmp_path: Path
) -> None:
    clock, other = Then(), Member(small)
    clock.then = other.commit
    with pytest.raises(CallerFault) as raised:
        noted(rivals(small, tmp_path, clock), LIMIT)
    assert raised.value.code == "HW-P195" and "slot 0" in raised.value.message
    assert clock.monotonic() < BACK_MICROSECONDS[0] / 10, "who commits is there: nothing more is waited for"


def test_one_that_only_stays_is_there_when_its_session_would_be_over(small: BrokerMesh, tmp_path: Path) -> None:
    clock, _ = Then(), Member(small)
    with pytest.raises(CallerFault) as raised:
        noted(rivals(small, tmp_path, clock), LIMIT)
    assert raised.value.code == "HW-P195" and clock.monotonic() >= BACK_MICROSECONDS[0]


def test_where_nobody_is_there_the_place_is_taken_again(small: BrokerMesh, tmp_path: Path) -> None:
    clock, other = Then(), Member(small)
    other.source.close()
    alone = rivals(small, tmp_path, clock)
    noted(alone, LIMIT)
    assert clock.monotonic() >= BACK_MICROSECONDS[0], "it stood back"
    before = clock.monotonic()
    noted(alone, LIMIT - 1)
    assert clock.monotonic() == before, "what was counted is forgotten"


class Away(MemoryBroker):
    """It answers no question about groups."""

    def groups(self) -> set[str]:
        raise Unreachable("Kafka does not answer", code="HW-R001")


def test_a_broker_that_is_away_meanwhile_is_no_reason_to_end(tmp_path: Path) -> None:
    small, clock = BrokerMesh.made(Away(ManualClock()), tmp_path / "mesh", "x"), Then()
    noted(rivals(small, tmp_path, clock), LIMIT)
    assert clock.monotonic() >= BACK_MICROSECONDS[0]


def test_a_worker_that_is_told_to_stop_does_not_stand_back(small: BrokerMesh, tmp_path: Path) -> None:
    clock, _ = Then(), Member(small)
    noted(rivals(small, tmp_path, clock), LIMIT, stopping=True)
    assert clock.monotonic() == 0


def test_a_worker_stops_over_its_rival(small: BrokerMesh, tmp_path: Path) -> None:
    rival, clock, others = Rival(small, times=LIMIT), Then(), list[Member]()

    def comes() -> None:
        if not rival.left and not others:
            others.append(Member(small))

    clock.then = comes
    with pytest.raises(CallerFault) as raised:
        run(small, tmp_path / "state", rival, clock)
    assert raised.value.code == "HW-P195" and others
    assert rival.doubts == LIMIT - 1, "the last replacement is not waited for"


def test_a_worker_that_is_replaced_twice_goes_on(small: BrokerMesh, tmp_path: Path) -> None:
    rival = Rival(small, times=LIMIT - 1)
    run(small, tmp_path / "state", rival, Then())
    assert rival.doubts == LIMIT - 1 and not rival.left


def test_only_the_first_stage_decides_and_only_replacements_count(small: BrokerMesh, tmp_path: Path) -> None:
    clock, _ = Then(), Member(small)
    assert small.plan.stages[1:], "else nothing is said of others"
    first = rivals(small, tmp_path, clock)
    for name in REASSIGNED:
        first.note(fenced("a member", name), lambda: False)
    for number in range(1, len(small.plan.stages)):
        noted(rivals(small, tmp_path, clock, number), LIMIT * 2)
    for _ in range(LIMIT * 3):
        noted(first, 1)
        clock.sleep(WINDOW_MICROSECONDS // (LIMIT - 1) + 1)
    with pytest.raises(CallerFault):
        noted(first, LIMIT)
