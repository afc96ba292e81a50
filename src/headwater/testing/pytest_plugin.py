"""Fixtures for users' own tests: installed with Headwater, found by pytest without a line of configuration.

`headwater_clock` moves only when told to; `headwater_broker` is a broker in this process on that clock;
`headwater_registry` is a registry in this process. All of them forget at the end of the test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from headwater.ports.memory import MemoryBroker
    from headwater.schemas.registry_memory import MemoryRegistry
    from headwater.timeline.clock import ManualClock

# Headwater is imported inside the fixtures: a test run that uses none of them pays nothing.


@pytest.fixture
def headwater_clock() -> ManualClock:
    """A clock at 2013-01-05T14:00:00Z that moves only when it is told to."""
    from headwater.timeline.clock import ManualClock
    from headwater.timeline.instant import Instant

    return ManualClock(Instant.parse("2013-01-05T14:00:00Z"))


@pytest.fixture
def headwater_broker(headwater_clock: ManualClock) -> Iterator[MemoryBroker]:
    """A broker in this process."""
    from headwater.ports.memory import MemoryBroker

    broker = MemoryBroker(headwater_clock)
    yield broker
    broker.close()


@pytest.fixture
def headwater_registry() -> MemoryRegistry:
    """A registry in this process."""
    from headwater.schemas.registry_memory import MemoryRegistry

    return MemoryRegistry()
