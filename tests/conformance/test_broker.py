from __future__ import annotations

import pytest

from headwater.ports.memory import MemoryBroker
from headwater.testing.conformance.broker import BrokerConformance


class TestMemoryBroker(BrokerConformance):
    @pytest.fixture
    def broker(self) -> MemoryBroker:
        return MemoryBroker()
