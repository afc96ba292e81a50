"""The kafka runner's stages over the broker in memory, one after another in this thread."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.errors import CallerFault
from headwater.hooks import Hooks
from headwater.ports.memory import MemoryBroker
from headwater.ports.progress import decode_mark
from headwater.ports.quarantine import PREFIX
from headwater.processing.runners.kafka import KafkaRunner
from headwater.processing.stage_worker import StageWorker
from headwater.testing.broker_mesh import BrokerMesh, random_batches
from headwater.timeline.clock import ManualClock


@pytest.fixture
def small(tmp_path: Path) -> BrokerMesh:
    return BrokerMesh.made(MemoryBroker(ManualClock()), tmp_path / "mesh", "x")


def work(small: BrokerMesh, folder: Path, *, polls: int = 30, hooks: Hooks | None = None) -> None:
    """Run each stage for some polls, as often as there are stages: what one hands on, the next reads."""
    around = small.surroundings(folder, hooks=hooks)
    for stage in small.plan.stages:
        left = [polls]

        def enough(left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] < 0

        StageWorker(small.plan, stage, around).run(enough)


@pytest.mark.parametrize("seed", range(4))
def test_it_writes_the_records_that_the_memory_runner_writes(small: BrokerMesh, tmp_path: Path, seed: int) -> None:
    batches = random_batches(seed, batches=25, size=8)
    small.feed(batches)
    work(small, tmp_path / "state")
    assert small.decoded() == small.expected(batches)


def test_stopping_and_starting_anew_changes_nothing(small: BrokerMesh, tmp_path: Path) -> None:
    batches = random_batches(5, batches=40, size=5)
    for start in range(0, 40, 4):
        small.feed(batches[start : start + 4], last=start == 36)
        work(small, tmp_path / f"state{start // 12}", polls=12)
    assert small.decoded() == small.expected(batches)


def test_marks_follow_in_every_partition(small: BrokerMesh, tmp_path: Path) -> None:
    batches = random_batches(1, batches=5, size=3)
    small.feed(batches)
    work(small, tmp_path / "state")
    marks = small.written(f"{small.product.output.topic}.progress")
    newest = {message.partition: decode_mark(message.value or b"") for message in marks}
    assert set(newest) == {0, 1, 2, 3}
    assert len({through for through, _ in newest.values()}) == 1
    for message in small.written():
        assert message.offset < newest[message.partition][1]


def test_what_cannot_be_read_goes_to_quarantine_whole(small: BrokerMesh, tmp_path: Path) -> None:
    batches = random_batches(2, batches=6, size=4)
    topic = small.source.output.topic
    small.feed(batches[:3], last=False)
    sink = small.broker.sink("stranger")
    sink.open()
    sink.begin()
    bad = [b"", b"\x01junk", b"\0\0\0\0\x63unknown", None, b"\0\0\0\0\x01\xff\xff"]
    for value in bad:
        sink.send(topic, b"k", value, timestamp=1, partition=1, headers=[("own", b"header")])
    sink.commit()
    small.feed(batches[3:])
    work(small, tmp_path / "state")
    assert small.decoded() == small.expected(batches)
    letters = small.written(f"{small.product.output.topic}.quarantine")
    assert [letter.value for letter in letters] == bad
    assert all(letter.key == b"k" and letter.headers[0] == ("own", b"header") for letter in letters)
    codes = [dict(letter.headers)[PREFIX + "error.code"] for letter in letters]
    assert codes[:3] == [b"HW-S021", b"HW-S021", b"HW-P022"]


def test_a_missing_topic_is_refused_by_name(small: BrokerMesh, tmp_path: Path) -> None:
    small.broker.delete_topic(small.plan.stages[0].changelog)
    with pytest.raises(CallerFault) as refused:
        KafkaRunner([small.plan], small.surroundings(tmp_path))
    assert refused.value.code == "HW-P020" and refused.value.hint == "headwater apply"
    assert small.plan.stages[0].changelog in refused.value.detail
