"""The registry's log on a broker: what one registry wrote the next one knows, and two cannot write at once."""

from __future__ import annotations

import pytest

from headwater.errors import Unreachable
from headwater.naming import SCHEMAS_TOPIC
from headwater.ports.memory import MemoryBroker
from headwater.ports.schemas_log import SchemasLog
from headwater.schemas.registry_service import RegistryService
from headwater.timeline.clock import ManualClock

INT, LONG = {"schema": '"int"'}, {"schema": '"long"'}


def opened(broker: MemoryBroker) -> RegistryService:
    log = SchemasLog(broker, ManualClock())
    log.prepare()
    log.claim()
    service = RegistryService(log)
    service.catch_up()
    return service


def test_the_topic_is_made_once_compacted_with_one_partition() -> None:
    broker = MemoryBroker()
    opened(broker)
    opened(broker)
    (topic,) = broker.describe([SCHEMAS_TOPIC]).values()
    assert (topic.partitions, topic.settings["cleanup.policy"]) == (1, "compact")


def test_what_one_registry_wrote_the_next_one_knows() -> None:
    broker = MemoryBroker()
    first = opened(broker)
    assert first.register("s", INT).id == 1
    assert first.register("s", LONG).id == 2
    second = opened(broker)
    assert [stored.id for stored in second.state.versions("s")] == [1, 2]
    assert second.register("t", LONG).id == 2


def test_a_registry_that_was_taken_over_cannot_give_out_ids_unawares() -> None:
    broker = MemoryBroker()
    first, second = opened(broker), opened(broker)
    assert second.register("s", INT).id == 1
    with pytest.raises(Unreachable, match="did not take a write"):
        first.register("t", LONG)
    first.settle()  # what a registry does before the next write: take over, and learn what the other wrote
    assert first.register("t", LONG).id == 2
    with pytest.raises(Unreachable):
        second.register("u", INT)
