"""A product made anew from its inputs goes on as if nothing had been, or says that it cannot, and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.errors import CallerFault, Fault, Unreachable
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import TopicPartition
from headwater.processing import compiler, replay
from headwater.processing.flow_file import load_plan
from headwater.processing.replay import Replay
from headwater.processing.reset import reset
from headwater.processing.stage_worker import StageWorker
from headwater.processing.steps import internal_topics
from headwater.testing.broker_mesh import BrokerMesh, random_batches
from headwater.testing.small_mesh import edit
from headwater.timeline.clock import ManualClock

FLOW = "streams/airportsx/hourly/flow.py"


@pytest.fixture
def small(tmp_path: Path) -> BrokerMesh:
    return BrokerMesh.made(MemoryBroker(ManualClock()), tmp_path / "mesh", "x")


def work(small: BrokerMesh, folder: Path, *, polls: int = 30) -> None:
    for stage in small.plan.stages:
        left = [polls]

        def enough(left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] < 0

        StageWorker(small.plan, stage, small.surroundings(folder)).run(enough)


def forget(small: BrokerMesh) -> None:
    made = reset(small.plan, small.broker, clock=ManualClock())
    assert set(made) == {topic.name for topic in internal_topics(small.plan)}


@pytest.mark.parametrize("seed", range(3))
def test_what_was_said_is_not_said_again_and_what_is_new_is(small: BrokerMesh, tmp_path: Path, seed: int) -> None:
    batches = random_batches(seed, batches=30, size=6)
    small.feed(batches[:20], last=False)
    work(small, tmp_path / "state")
    before = small.written()
    assert before
    forget(small)
    work(small, tmp_path / "state")
    assert small.written() == before
    small.feed(batches[20:])
    work(small, tmp_path / "state")
    assert small.decoded() == small.expected(batches)


def test_it_may_be_stopped_at_any_time_while_it_is_made_anew(
    small: BrokerMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = random_batches(7, batches=40, size=5)
    small.feed(batches[:30], last=False)
    work(small, tmp_path / "state")
    forget(small)
    small.feed(batches[30:])
    monkeypatch.setattr("headwater.processing.incarnation.POLL_MESSAGES", 3)
    monkeypatch.setattr("headwater.processing.stage_worker.COMMIT_MESSAGES", 3)
    for turn in range(20):
        work(small, tmp_path / f"state{turn % 3}", polls=4)
    monkeypatch.undo()
    work(small, tmp_path / "state")
    assert small.decoded() == small.expected(batches)


def test_state_of_another_layout_is_made_anew(
    small: BrokerMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = random_batches(3, batches=20, size=6)
    small.feed(batches[:10], last=False)
    work(small, tmp_path / "state")
    monkeypatch.setattr(compiler, "STATE_LAYOUT", compiler.STATE_LAYOUT + 1)
    small.plan = load_plan(small.mesh, small.plan.product)
    with pytest.raises(CallerFault) as refused:
        work(small, tmp_path / "state")
    assert refused.value.code == "HW-P034" and "processing reset" in refused.value.hint
    forget(small)
    small.feed(batches[10:])
    work(small, tmp_path / "state")
    assert small.decoded() == small.expected(batches)


def test_a_flow_that_says_something_else_is_found_out_before_it_writes(small: BrokerMesh, tmp_path: Path) -> None:
    batches = random_batches(4, batches=20, size=6)
    small.feed(batches[:10], last=False)
    work(small, tmp_path / "state")
    before = small.written()
    edit(tmp_path / "mesh", FLOW, 'tumbling("1h")', 'tumbling("2h")')
    changed = BrokerMesh.loaded(small.broker, tmp_path / "mesh", "x")
    forget(changed)
    with pytest.raises(Fault) as refused:
        work(changed, tmp_path / "state")
    assert refused.value.code == "HW-P170"
    assert small.written() == before
    forget(small)
    small.feed(batches[10:])
    work(small, tmp_path / "state")
    assert small.decoded() == small.expected(batches)


def test_an_input_that_has_lost_records_is_no_ground_to_build_on(small: BrokerMesh, tmp_path: Path) -> None:
    small.feed(random_batches(5, batches=10, size=6), last=False)
    work(small, tmp_path / "state")
    broker = small.broker
    assert isinstance(broker, MemoryBroker)
    broker.truncate(TopicPartition(small.source.output.topic, 1), 2)
    with pytest.raises(CallerFault) as refused:
        forget(small)
    assert refused.value.code == "HW-P173" and small.source.output.topic in refused.value.message


def test_a_runner_that_is_at_work_is_not_robbed_of_its_state(small: BrokerMesh, tmp_path: Path) -> None:
    stage = small.plan.stages[-1]
    source = small.broker.group(stage.group, [stage.inputs[0].topic], None, member="other")  # type: ignore[arg-type]
    topics = {name: small.broker.identity(name) for name in small.broker.topics()}
    with pytest.raises(CallerFault) as refused:
        forget(small)
    assert refused.value.code == "HW-P172"
    assert topics == {name: small.broker.identity(name) for name in small.broker.topics()}
    source.close()
    forget(small)


def test_a_log_that_cannot_be_read_to_its_end_is_an_outage(small: BrokerMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_SILENT_POLLS_LIMIT", 2)
    topic = small.product.output.topic
    hanging = small.broker.sink("hanging", timeout_ms=10_000_000)
    hanging.open()
    hanging.begin()
    hanging.send(topic, b"a", b"never", timestamp=0, partition=0)
    with pytest.raises(Unreachable) as refused:
        Replay(small.broker, TopicPartition(topic, 0), 0, 1).covers(b"a", b"b")
    assert refused.value.code == "HW-P171" and refused.value.retriable


def test_without_the_comparison_records_would_be_said_twice(
    small: BrokerMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The saboteur: what the tests above would find."""
    batches = random_batches(6, batches=10, size=6)
    small.feed(batches)
    work(small, tmp_path / "state")
    forget(small)
    monkeypatch.setattr(Replay, "covers", lambda self, key, value: False)
    work(small, tmp_path / "state")
    assert small.decoded() != small.expected(batches)
