"""At its start a runner takes a refusal that passes for what it is: asked again, and said where it stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from headwater.errors import CallerFault, HeadwaterError, Unreachable
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import TopicDescription, TopicPartition
from headwater.processing.patience import START_MICROSECONDS, patiently
from headwater.processing.runners.kafka import KafkaRunner
from headwater.testing.broker_mesh import BrokerMesh
from headwater.timeline.clock import ManualClock


class Starved(MemoryBroker):
    """Says of so many calls that it does not know yet."""

    refusals = 0

    def _known(self, doing: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Unreachable(f"{doing}: UNKNOWN_LEADER_EPOCH", code="HW-R002")

    def starts(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._known("offsets")
        return super().starts(partitions)

    def describe(self, topics: Sequence[str]) -> Mapping[str, TopicDescription]:
        self._known("describe")
        return super().describe(topics)


def test_a_runner_starts_though_a_leader_is_not_known_at_once(tmp_path: Path) -> None:
    broker = Starved(ManualClock())
    small = BrokerMesh.made(broker, tmp_path / "mesh", "x")
    around = small.surroundings(tmp_path / "state")
    broker.refusals = 2
    runner = KafkaRunner([small.plan], around)
    assert broker.refusals == 0
    broker.refusals = 2
    runner.stop()
    runner.run()
    assert broker.refusals == 0


def answering(errors: list[HeadwaterError]) -> str:
    if errors:
        raise errors.pop(0)
    return "answer"


def test_what_stays_is_said_when_the_time_is_over() -> None:
    clock = ManualClock()
    passing = [Unreachable("not yet", code="HW-R002") for _ in range(1_000)]
    began = clock.monotonic()
    with pytest.raises(Unreachable, match="not yet"):
        patiently(lambda: answering(list[HeadwaterError](passing)), clock)
    assert clock.monotonic() - began >= START_MICROSECONDS


@pytest.mark.parametrize(
    "error",
    [Unreachable("Kafka does not answer", code="HW-R001"), CallerFault("the topic is not there", code="HW-R004")],
)
def test_what_does_not_pass_is_said_at_once(error: HeadwaterError) -> None:
    clock = ManualClock()
    began, errors = clock.monotonic(), [error]
    with pytest.raises(type(error)):
        patiently(lambda: answering(errors), clock)
    assert clock.monotonic() == began
