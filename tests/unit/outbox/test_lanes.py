"""From lane to lane and back: whatever each has seen by then, nothing is lost, doubled or out of order; or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.outbox.test_relay import TICK, World, check, countdown

from headwater.errors import CallerFault
from headwater.outbox.lanes import move
from headwater.outbox.relay import Relay, RelayOptions
from headwater.outbox.store import OutboxStore
from headwater.outbox.store_debezium import DebeziumOutbox
from headwater.testing.debezium_memory import MemoryDebezium

COUNT = st.integers(0, 4)


class MovingWorld(World):
    """A world whose lane may change. `debezium` begins to capture when it is made, as a slot does."""

    def begin_capture(self) -> None:
        self.debezium = MemoryDebezium(self.outbox, self.broker, source=self.source.name, clock=self.clock)
        self.debezium.skip()

    def serve(self, lane: str, turns: int = 200) -> None:
        store: OutboxStore = self.outbox
        if lane == "debezium":
            store = DebeziumOutbox(
                self.broker, self.debezium.companion, source=self.source.name, table="public.outbox", clock=self.clock
            )
        options = RelayOptions(tick=TICK)
        relay = Relay(self.source, store, self.broker, self.registry, clock=self.clock, options=options)
        relay.serve(countdown(turns))

    def move_to(self, lane: str) -> None:
        moved = replace(self.source, lane=lane)  # type: ignore[arg-type]
        companion = self.debezium.companion()
        try:
            move(moved, admin=self.outbox.admin(), companion=companion, broker=self.broker, clock=self.clock)
        finally:
            companion.close()

    def some(self, count: int) -> None:
        for number in range(count):
            self.clock.sleep(1_000)
            self.write("ab"[: number % 3] + "X")


@settings(max_examples=20)
@given(COUNT, COUNT, COUNT, COUNT, COUNT, COUNT)
def test_a_source_that_moves_there_and_back_loses_and_repeats_nothing(
    before: int, seen_by_both: int, behind: int, ahead: int, there: int, back: int
) -> None:
    world = MovingWorld()
    world.some(before)
    world.serve("native")
    world.begin_capture()
    world.some(seen_by_both)
    world.debezium.pulse()
    world.serve("native")
    world.some(behind)  # committed and captured, and not published yet
    world.move_to("debezium")
    world.some(ahead)
    world.debezium.capture()
    world.serve("debezium")
    check(world)
    world.outbox.admin().drop_slot()
    world.outbox.admin().create_slot()  # as `apply` makes the native lane's again
    world.some(there)
    world.debezium.pulse()
    world.serve("debezium")
    world.some(back)
    world.move_to("native")
    world.serve("native")
    check(world)


def test_a_lane_that_began_behind_what_is_published_is_refused_and_the_old_one_goes_on() -> None:
    world = MovingWorld()
    world.some(2)
    world.begin_capture()  # while the native relay has published nothing of it
    world.some(1)
    with pytest.raises(CallerFault) as refused:
        world.move_to("debezium")
    assert refused.value.code == "HW-O130" and "--lane native" in refused.value.hint
    world.serve("native")
    check(world)
    world.move_to("debezium")
    world.some(1)
    world.debezium.capture()
    world.serve("debezium")
    check(world)


def test_a_native_slot_behind_what_the_lane_has_published_is_refused() -> None:
    world = MovingWorld()
    world.begin_capture()
    world.debezium.pulse()
    world.serve("native")
    world.move_to("debezium")
    world.some(1)
    world.outbox.admin().drop_slot()
    world.outbox.admin().create_slot()  # and the row before it is not published by the lane yet
    with pytest.raises(CallerFault) as refused:
        world.move_to("native")
    assert refused.value.code == "HW-O130" and "--lane debezium" in refused.value.hint
    world.debezium.capture()
    world.serve("debezium")
    check(world)


def test_while_a_relay_serves_the_source_it_does_not_move() -> None:
    world = MovingWorld()
    world.begin_capture()
    holder = world.debezium.companion()
    assert holder.take_lease()
    with pytest.raises(CallerFault) as refused:
        world.move_to("debezium")
    assert refused.value.code == "HW-O130" and "stop the relay" in refused.value.hint


def test_a_source_that_is_there_already_stays_as_it_is() -> None:
    world = MovingWorld()
    world.begin_capture()
    world.move_to("native")
    world.some(1)
    world.serve("native")
    check(world)
