"""The suite of inboxes over the one in memory; `tests/integration` runs it over PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from headwater.ports.inbox import Inbox
from headwater.ports.inbox_memory import MemoryInboxes
from headwater.testing.conformance.inbox import Inboxes, InboxSuite


class Home:
    def __init__(self) -> None:
        self._home = MemoryInboxes()

    def inbox(self, consumer: str, topic: str) -> Inbox:
        return self._home.inbox(consumer, topic)

    def effect(self, effects: Any, text: str) -> None:
        effects.append(text)

    def written(self) -> Sequence[str]:
        return [str(text) for text in self._home.effects]


class TestMemoryInbox(InboxSuite):
    @pytest.fixture
    def inboxes(self) -> Inboxes:
        return Home()
