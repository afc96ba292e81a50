"""The proxy before the real Kafka: clients stay on it, and the page's example holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from headwater.hooks import Hooks
from headwater.ports.guarded import GuardedProducer
from headwater.ports.kafka import KafkaBroker
from headwater.ports.protocol import GroupSource
from headwater.ports.record import Message, TopicDescription, TopicPartition
from headwater.testing.kafka_proxy import KafkaProxy
from headwater.testing.kafka_proxy_rules import Answered, Drop, Elapsed, Frames, Hold, Rule, Seen
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

pytestmark = pytest.mark.slow
CONTROL_TRIES = 5
LATE = 7_000  # milliseconds: more than an address is waited for that refuses


@pytest.fixture
def topic(stack: Stack) -> str:
    name = stack.fresh_name("proxied")
    KafkaBroker({"bootstrap.servers": stack.kafka}).create_topic(TopicDescription(name, 2, {}))
    return name


def test_every_call_of_a_client_goes_through_the_proxy(stack: Stack, topic: str) -> None:
    with KafkaProxy(stack.kafka) as proxy:
        broker = KafkaBroker({"bootstrap.servers": proxy.address})
        sink = broker.sink(topic)
        sink.open()
        sink.begin()
        sink.send(topic, b"k", b"v", timestamp=1, partition=1)
        sink.commit()
        place = TopicPartition(topic, 1)
        assert broker.ends([place])[place] >= 1 and topic in broker.topics()
        reader = broker.reader({place: 0})
        while not any(isinstance(item, Message) for item in reader.poll(10, 1.0)):
            pass
        reader.close()
        sink.close()
        spoken = {entry.api for entry in proxy.log}
        connections = {entry.connection for entry in proxy.log if entry.api in ("Produce", "Fetch", "EndTxn")}
    assert {"Metadata", "FindCoordinator", "InitProducerId", "EndTxn", "Produce", "Fetch", "ListOffsets"} <= spoken
    assert len(connections) >= 2, "coordinator, leader and bootstrap: each address is the proxy's"


@pytest.mark.parametrize("backoff_ms", [100, 10])
def test_a_guarded_producer_has_moved_on_when_a_held_commit_strikes(stack: Stack, topic: str, backoff_ms: int) -> None:
    ends, adds = Frames("EndTxn", transactional_id=topic), Frames("AddPartitionsToTxn", transactional_id=topic)
    rules = [
        Rule("stale", ends, Hold(Seen(adds, nth=2), cut="reset")),
        Rule("rest", adds, Hold(Answered("stale")), nth=2, after="stale"),
    ]
    heard: list[str] = []
    hooks = Hooks([lambda happening, fields: heard.append(happening)])
    with KafkaProxy(stack.kafka, rules, seed=1) as proxy:
        # A mesh that makes the library repeat sooner must not make the guard blind.
        settings = {"bootstrap.servers": proxy.address, "retry.backoff.ms": backoff_ms, "reconnect.backoff.ms": 10}
        sink = GuardedProducer(settings, topic, clock=SystemClock(), hooks=hooks, timeout_ms=10_000)
        sink.open()
        for _ in range(2):
            sink.begin()
            for partition in range(2):
                sink.send(topic, b"k", b"v", timestamp=1, partition=partition)
                sink.flush()
            sink.commit()
        assert proxy.wait("stale", "answered").error == "INVALID_PRODUCER_EPOCH"
        sink.close()
    assert heard == ["producer.rebuilt"]


def test_an_eaten_answer_leaves_a_commit_that_the_client_did_not_learn_of(stack: Stack, topic: str) -> None:
    eaten = Rule("eaten", Frames("EndTxn", "answer", transactional_id=topic), Drop(cut="close"))
    with KafkaProxy(stack.kafka, [eaten]) as proxy:
        producer = Producer({"bootstrap.servers": proxy.address, "transactional.id": topic})
        producer.init_transactions(20)
        producer.begin_transaction()
        producer.produce(topic, b"v", partition=0)
        producer.commit_transaction(20)
        assert proxy.wait("eaten").error == "NONE"
        ends = [entry for entry in proxy.log if entry.api == "EndTxn" and entry.side == "request"]
    assert len(ends) == 2, "the client asked again, and the broker took it for the same end"


def test_a_broker_that_is_late_to_answer_is_waited_for(stack: Stack, topic: str) -> None:
    """It is not away: connections are taken, and nothing is refused."""
    late = Rule("late", Frames("Metadata", "answer"), Hold(Elapsed(LATE, LATE)))
    with KafkaProxy(stack.kafka, [late]) as proxy:
        assert KafkaBroker({"bootstrap.servers": proxy.address}).describe([topic])[topic].partitions == 2
        proxy.wait("late")


class _First:
    """A member of a group that begins at the start."""

    def gained(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None: ...

    def lost(self, partitions: Sequence[TopicPartition]) -> None: ...


class _EndsOnly(GuardedProducer):
    """The saboteur: times ends of transactions, and not what sends offsets."""

    def send_offsets(self, offsets: Mapping[TopicPartition, int], source: GroupSource) -> None:
        before = self._suspicious
        super().send_offsets(offsets, source)
        self._suspicious = before


def test_a_late_commit_of_offsets_does_not_set_the_group_back(stack: Stack, topic: str) -> None:
    assert committed_after_a_late_one(stack, topic, f"{topic}-guarded", GuardedProducer) == 15


def test_a_producer_that_does_not_time_what_sends_offsets_is_set_back(stack: Stack, topic: str) -> None:
    """Where the machine is slow the late one may come too late to harm: then it is tried again."""
    tries = (
        committed_after_a_late_one(stack, topic, f"{topic}-{number}", _EndsOnly) for number in range(CONTROL_TRIES)
    )
    assert 10 in tries


def committed_after_a_late_one(stack: Stack, topic: str, name: str, kind: type[GuardedProducer]) -> int:
    """What a group of this name has at the end; 15 was committed last."""
    place, ends = TopicPartition(topic, 0), Frames("EndTxn", transactional_id=name)
    rules = [
        Rule("stale", Frames("TxnOffsetCommit", transactional_id=name), Hold(Seen(ends, nth=2), cut="reset"), nth=2),
        Rule("end", ends, Hold(Answered("stale")), nth=2, after="stale"),
    ]
    source = KafkaBroker({"bootstrap.servers": stack.kafka}).group(name, [topic], _First())
    with KafkaProxy(stack.kafka, rules) as proxy:
        settings = {"bootstrap.servers": proxy.address}
        sink = kind(settings, name, clock=SystemClock(), hooks=Hooks(), timeout_ms=10_000)
        sink.open()
        while not source.poll(1, 0.2):  # until it is a member of its group
            pass
        for offset in (5, 10, 15):
            sink.begin()
            sink.send(topic, b"k", b"v", timestamp=1, partition=0)
            sink.flush()
            sink.send_offsets({place: offset}, source)
            SystemClock().sleep(1_000_000)  # the connection is mended, and the commit takes no longer than others
            sink.commit()
        proxy.wait("stale", "answered")
        sink.close()
    found = source.committed([place])[place]
    source.close()
    return found
