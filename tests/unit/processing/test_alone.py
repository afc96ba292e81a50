"""One runner has a product at a time; a digest shows that a move has changed nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater import naming
from headwater.errors import CallerFault
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import TopicPartition
from headwater.processing.alone import on_faust, require_alone, require_none_on_faust
from headwater.processing.digest import digest_of, read_digests, require_kept
from headwater.processing.reset import reset
from headwater.testing.broker_mesh import BrokerMesh, random_batches
from headwater.timeline.clock import ManualClock


class Idle:
    """A member that takes what it is given."""

    def gained(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions: list[TopicPartition]) -> None:
        pass

    lost = revoked


@pytest.fixture
def small(tmp_path: Path) -> BrokerMesh:
    return BrokerMesh.made(MemoryBroker(ManualClock()), tmp_path / "mesh", "x")


def test_a_product_that_another_runner_has_is_refused(small: BrokerMesh) -> None:
    clock, topic = ManualClock(), small.source.output.topic
    plan = small.plan
    require_alone([plan], small.broker, clock)
    require_none_on_faust([plan], small.broker, clock)
    member = small.broker.group(plan.stages[-1].group, [topic], Idle())  # type: ignore[arg-type]
    with pytest.raises(CallerFault, match="the kafka runner has it"):
        require_alone([plan], small.broker, clock)
    member.close()
    require_alone([plan], small.broker, clock)


def test_of_an_application_with_several_products_each_is_taken(small: BrokerMesh) -> None:
    clock, plan = ManualClock(), small.plan
    name = naming.faust_group([naming.topic(plan.product, plan.major), "others.product.v2"])
    member = small.broker.group(name, [small.source.output.topic], Idle())  # type: ignore[arg-type]
    assert on_faust(small.broker) == {naming.topic(plan.product, plan.major), "others.product.v2"}
    with pytest.raises(CallerFault, match="the faust runner has it"):
        require_none_on_faust([plan], small.broker, clock)
    with pytest.raises(CallerFault, match="the faust runner has it"):
        reset(plan, small.broker, clock=clock)
    member.close()
    require_none_on_faust([plan], small.broker, clock)


def test_a_digest_is_kept_by_what_is_added_and_by_nothing_else(small: BrokerMesh) -> None:
    topic = small.source.output.topic
    batches = random_batches(3, batches=6, size=8)
    small.feed(batches[:3], last=False)
    before = digest_of(small.broker, topic)
    assert sum(one.records for one in before) == sum(map(len, batches[:3]))
    small.feed(batches[3:], last=False)
    assert require_kept(small.broker, topic, before) == before
    assert digest_of(small.broker, topic) != before
    described = small.broker.describe([topic])[topic]
    small.broker.delete_topic(topic)
    small.broker.create_topic(described)
    small._offsets.clear()
    small.feed(batches[1:], last=False)  # others in their place
    with pytest.raises(CallerFault, match="is not what it was") as refused:
        require_kept(small.broker, topic, before)
    assert refused.value.code == "HW-P220"


def test_what_is_no_digest_is_said_to_be_none() -> None:
    for text in (b"", b"{}x", b'[{"partition": 1}]', b"[7]"):
        with pytest.raises(CallerFault) as refused:
            read_digests(text)
        assert refused.value.code == "HW-P221"
