from __future__ import annotations

import pytest

from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.conformance.registry import RegistryConformance


class TestMemoryRegistry(RegistryConformance):
    @pytest.fixture
    def registry(self) -> MemoryRegistry:
        return MemoryRegistry()
