"""Two relays with one transactional id: one of them stops and says so; a relay whose place was taken once goes on."""

from __future__ import annotations

import pytest

from headwater import naming
from headwater.errors import CallerFault
from headwater.hooks import Hooks
from headwater.outbox.emitter import event_of
from headwater.outbox.fences import FENCES_LIMIT, FENCES_WINDOW, Fences
from headwater.outbox.relay import Relay
from headwater.outbox.source import OutboxSource, ensure_source
from headwater.outbox.store_memory import MemoryOutbox
from headwater.ports.memory import MemoryBroker
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.source_products import make_topics, order_events
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant


class Shared:
    """A source whose transactional id somebody else takes after each batch, so many times."""

    def __init__(self, times: int) -> None:
        self.clock, self.product = ManualClock(Instant(1_000_000_000_000_000)), order_events()
        self.broker, self.outbox, registry = MemoryBroker(self.clock), MemoryOutbox(self.clock), MemoryRegistry()
        self.source = OutboxSource("operations", "public.outbox", (self.product,))
        make_topics((self.product,), self.broker, registry)
        ensure_source(self.source, self.outbox.admin(), self.broker)
        self.left, self.fenced, self.turns = times, 0, 200
        self.relay = Relay(self.source, self.outbox, self.broker, registry, clock=self.clock, hooks=Hooks([self.heard]))

    def heard(self, happening: str, fields: dict[str, object]) -> None:
        self.fenced += happening == "relay.waiting" and fields["code"] == "HW-R003"
        if happening == "relay.committed" and self.left:
            self.left -= 1
            self.broker.sink(naming.relay_transactional_id(self.source.name)).open()

    def stopping(self) -> bool:
        self.turns -= 1
        record = {"customer": "a", "number": 1, "occurred_at": 1, "note": None}
        self.outbox.commit([event_of(self.product, record)])
        self.clock.sleep(20_000)
        return self.turns <= 0


def test_a_relay_whose_id_is_taken_again_and_again_stops_and_says_so() -> None:
    shared = Shared(times=100)
    with pytest.raises(CallerFault) as raised:
        shared.relay.run(shared.stopping)
    assert raised.value.code == "HW-R018" and "relay-operations.public.outbox-0" in raised.value.message
    assert shared.fenced == FENCES_LIMIT - 1, "the last fence is not waited for"


def test_a_relay_whose_id_is_taken_twice_goes_on() -> None:
    shared = Shared(times=FENCES_LIMIT - 1)
    shared.relay.run(shared.stopping)
    assert shared.fenced == FENCES_LIMIT - 1


def test_fences_far_apart_are_hand_overs() -> None:
    clock = ManualClock()
    fences = Fences("operations.public.outbox", clock)
    for _ in range(FENCES_LIMIT * 3):
        fences.note()
        clock.sleep(FENCES_WINDOW // (FENCES_LIMIT - 1) + 1)
