from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from headwater.errors import Unreachable
from headwater.ports.kafka import KafkaBroker
from headwater.ports.keys import partition_of
from headwater.ports.record import TopicDescription, TopicPartition
from headwater.testing.conformance.broker import BrokerConformance, drain

if TYPE_CHECKING:
    from tests.integration.conftest import Stack


@pytest.fixture(scope="module")
def kafka(stack: Stack) -> Iterator[KafkaBroker]:
    broker = KafkaBroker({"bootstrap.servers": stack.kafka})
    yield broker
    broker.close()


class TestKafkaBroker(BrokerConformance):
    @pytest.fixture
    def broker(self, kafka: KafkaBroker) -> KafkaBroker:
        return kafka

    def test_the_clients_partitioner_is_that_of_keys_py(self, broker: KafkaBroker) -> None:
        topic = f"conformance.murmur.{uuid.uuid4().hex[:10]}"
        broker.create_topic(TopicDescription(topic, 7, {}))
        chance = random.Random(7)
        keys = [chance.randbytes(chance.randrange(1, 40)) for _ in range(500)]
        sink = broker.sink("conformance-murmur")
        sink.open()
        sink.begin()
        for key in keys:
            sink.send(topic, key, b"", timestamp=1_700_000_000_000)
        ends = sink.flush()
        sink.commit()
        sink.close()
        reader = broker.reader({TopicPartition(topic, n): 0 for n in range(7)})
        found = drain(reader, {place: end + 1 for place, end in ends.items()})
        reader.close()
        assert sorted((m.key or b"", m.partition) for m in found)[-500:] == sorted(
            (k, partition_of(k, 7)) for k in keys
        )


def test_a_broker_that_is_away_is_one_clear_message() -> None:
    broker = KafkaBroker({"bootstrap.servers": "127.0.0.1:9"})
    with pytest.raises(Unreachable) as refused:
        broker.sink("nobody")
    assert refused.value.code == "HW-R001"
    assert "127.0.0.1:9" in refused.value.message and "headwater up" in refused.value.hint
