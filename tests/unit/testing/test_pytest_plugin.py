"""The fixtures that ship are there without configuration, and share one clock."""

from __future__ import annotations

from headwater.ports.memory import MemoryBroker
from headwater.ports.record import TopicDescription
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.timeline.clock import ManualClock


def test_the_fixtures_are_found_and_share_a_clock(
    headwater_clock: ManualClock, headwater_broker: MemoryBroker, headwater_registry: MemoryRegistry
) -> None:
    headwater_broker.create_topic(TopicDescription("a.b.v1", 2, {}))
    assert headwater_broker.clock is headwater_clock
    assert list(headwater_broker.topics()) == ["a.b.v1"]
    assert list(headwater_registry.subjects()) == []
