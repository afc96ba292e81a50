"""P8: two relays with one transactional id on the real Kafka, each with a database, and a lease, of its own."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from headwater.hooks import Hooks
from headwater.outbox.emitter import event_of
from headwater.outbox.relay import Relay
from headwater.outbox.source import OutboxSource, ensure_source
from headwater.outbox.store_memory import MemoryOutbox
from headwater.ports.kafka import KafkaBroker
from headwater.ports.memory import MemoryBroker
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.source_products import make_topics, order_events
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

pytestmark = pytest.mark.slow
FENCES_MOST = 5


@pytest.mark.timeout(120)
def test_two_relays_that_fence_each_other_do_not_go_on_for_ever(stack: Stack) -> None:
    clock, registry, product = SystemClock(), MemoryRegistry(), order_events()
    source = OutboxSource(stack.fresh_name("copied"), "public.outbox", (product,))
    make_topics(source.products, KafkaBroker({"bootstrap.servers": stack.kafka}), registry)
    fences: list[str] = []
    failures: dict[str, BaseException] = {}
    ended = threading.Event()
    # Two copies of one cluster, each with its slot; the position is the first one's.
    outboxes = {"one": MemoryOutbox(clock), "other": MemoryOutbox(clock)}
    ensure_source(source, outboxes["one"].admin(), KafkaBroker({"bootstrap.servers": stack.kafka}))
    elsewhere = MemoryBroker(clock)
    make_topics(source.products, elsewhere, registry)
    ensure_source(source, outboxes["other"].admin(), elsewhere)

    def serve(name: str) -> None:
        outbox = outboxes[name]

        def heard(happening: str, fields: dict[str, object]) -> None:
            if happening == "relay.waiting" and fields["code"] == "HW-R003":
                fences.append(name)

        def stopping() -> bool:
            outbox.commit([event_of(product, {"customer": name, "number": 1, "occurred_at": 1, "note": None})])
            return ended.is_set()

        broker = KafkaBroker({"bootstrap.servers": stack.kafka})
        try:
            Relay(source, outbox, broker, registry, clock=clock, hooks=Hooks([heard])).run(stopping)
        except BaseException as error:
            failures[name] = error
            time.sleep(3)  # the other is left alone, and must go on
            ended.set()

    threads = [threading.Thread(target=serve, args=[name], daemon=True) for name in outboxes]
    for thread in threads:
        thread.start()
    try:
        assert ended.wait(90), "they fence each other still"
    finally:
        ended.set()  # or they go on under all tests that follow
        for thread in threads:
            thread.join(60)
    assert [getattr(error, "code", error) for error in failures.values()] == ["HW-R018"]
    assert len(fences) + 1 <= FENCES_MOST, fences
