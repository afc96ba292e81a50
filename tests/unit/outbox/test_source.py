"""What `apply` makes of a source: once, in order, again where it was cut short, and never over what may be lost."""

from __future__ import annotations

import pytest

from headwater.errors import Fault
from headwater.outbox.emitter import event_of
from headwater.outbox.source import OutboxSource, ensure_source, source_steps
from headwater.outbox.starting import read_position
from headwater.outbox.store_memory import MemoryOutbox
from headwater.ports.memory import MemoryBroker
from headwater.testing.source_products import order_events, stock_facts
from headwater.timeline.clock import ManualClock

SOURCE = OutboxSource("operations", "public.outbox", (order_events(),))
RECORD = {"customer": "ada", "number": 7, "occurred_at": 5, "note": None}


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(ManualClock())


@pytest.fixture
def outbox() -> MemoryOutbox:
    return MemoryOutbox(ManualClock())


def test_everything_is_made_once(broker: MemoryBroker, outbox: MemoryOutbox) -> None:
    assert len(ensure_source(SOURCE, outbox.admin(), broker)) == 5
    position = read_position(broker, SOURCE.name)
    slot = outbox.parts.slot
    assert position is not None and slot is not None and position.end_lsn == slot.confirmed_lsn
    assert ensure_source(SOURCE, outbox.admin(), broker) == []


def test_a_new_product_is_let_into_the_table(broker: MemoryBroker, outbox: MemoryOutbox) -> None:
    ensure_source(SOURCE, outbox.admin(), broker)
    wider = OutboxSource("operations", "public.outbox", (order_events(), stock_facts()))
    step, checks = source_steps(wider, outbox.admin(), broker)
    assert "stock.levels" in step.text and "outbox_check_stock_levels" in checks.text
    step.do()
    checks.do()
    assert source_steps(wider, outbox.admin(), broker) == []
    assert outbox.parts.products == ("orders.placed", "stock.levels")


def test_a_start_that_was_cut_short_is_begun_again(broker: MemoryBroker, outbox: MemoryOutbox) -> None:
    for step in source_steps(SOURCE, outbox.admin(), broker)[:-1]:
        step.do()
    outbox.admin().create_slot()
    assert len(ensure_source(SOURCE, outbox.admin(), broker)) == 1
    assert read_position(broker, SOURCE.name) is not None


def test_a_lost_position_over_rows_is_an_alarm(broker: MemoryBroker, outbox: MemoryOutbox) -> None:
    ensure_source(SOURCE, outbox.admin(), broker)
    outbox.commit([event_of(SOURCE.products[0], RECORD)])
    broker.delete_topic("headwater.position.operations.public.outbox")
    with pytest.raises(Fault) as caught:
        source_steps(SOURCE, outbox.admin(), broker)
    assert caught.value.code == "HW-O007"


def test_a_lost_slot_is_an_alarm(broker: MemoryBroker, outbox: MemoryOutbox) -> None:
    ensure_source(SOURCE, outbox.admin(), broker)
    outbox.admin().drop_slot()
    with pytest.raises(Fault) as caught:
        source_steps(SOURCE, outbox.admin(), broker)
    assert caught.value.code == "HW-O006"
