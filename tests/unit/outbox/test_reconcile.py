"""Rows against topics, in memory: all accounted for, whatever became of them; what was done by hand is named."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.outbox.test_lanes import COUNT, MovingWorld
from tests.unit.outbox.test_parking import STEPS, World, play

from headwater.errors import Unreachable
from headwater.outbox import reconcile as reconciling
from headwater.outbox.behind import CapturedLog
from headwater.outbox.book import Ledger, Window
from headwater.outbox.book_memory import MemoryBook
from headwater.outbox.reconcile import Report, reconcile
from headwater.timeline.instant import Instant


def report(world: World, *, deleted: tuple[str, ...] = (), window: Window | None = None, **options: int) -> Report:
    book = MemoryBook(world.outbox, deleted=deleted)
    sleep = world.clock.sleep
    return reconcile(
        world.source, Ledger(book, book), world.broker, window or Window(), sleep=sleep, patience=0, **options
    )  # type: ignore[arg-type]


def eventful() -> World:
    """One row of every fate."""
    world = World()
    bad, worse, other = world.row("A"), world.row("A"), world.row("X")
    world.commit([world.row("b"), bad, world.row("a"), worse, other, world.row("x")])
    world.live(50)
    world.commit([world.repair(bad), world.repair(bad), world.command("discard", other)])
    world.live(50)
    return world


def test_rows_of_every_fate_are_accounted_for_and_those_behind_the_position_wait() -> None:
    world = eventful()
    found = report(world)
    assert found.equal and found.rows.count == 9 and found.strangers == 0
    assert found.places == {
        "published": 4, "repaired": 1, "open": 1, "parked": 0, "discarded": 2, "commands": 1, "waiting": 0,
    }  # fmt: skip
    world.commit([world.row("b"), world.row("a")])
    found = report(world)
    assert found.equal and found.places["waiting"] == 2 and found.rows.count == 11


@settings(max_examples=40)
@given(STEPS)
def test_whatever_was_done_the_account_closes_and_agrees_with_the_model(steps: list[tuple]) -> None:
    world = World()
    play(world, steps)
    found = report(world)
    assert found.equal, found.named
    states = list(world.model.state.values())
    assert found.rows.count == len(states) and found.places["waiting"] == 0
    for place in ("published", "repaired", "open", "parked", "discarded"):
        assert found.places[place] == states.count(place), place


def send(world: World, row_id: str) -> None:
    sink = world.broker.sink("by-hand")
    sink.open()
    sink.begin()
    now = world.clock.now() // 1_000
    sink.send("orders.placed.v1", b"a", b"", timestamp=now, partition=0, headers=[("id", row_id.encode())])
    sink.commit()


def test_a_loss_a_repeat_and_a_stranger_are_named() -> None:
    world = eventful()
    lost = world.row("b")
    world.outbox.commit([lost])
    # A relay that passes a row over: its position is beyond, and the row is nowhere.
    from headwater.outbox.encode import Encoder

    encode = Encoder.encode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Encoder, "encode", lambda self, batch: (e := encode(self, batch), e.records.clear())[0])
        world.live(50)
    twice, stranger = world.written[0].id, str(uuid.uuid4())
    send(world, twice)
    send(world, stranger)
    found = report(world)
    assert not found.equal and found.differences == 3 and found.strangers == 1
    told = {one.row_id: one for one in found.named}
    assert told[lost.id].what == "in the table, and nowhere else" and not told[lost.id].where
    assert told[twice].what == "2 times" and len(told[twice].where) == 2
    assert told[stranger].what == "not in the table"
    assert "orders.placed.v1 [0]" in told[stranger].where[0]
    assert report(world, limit=1).differences == 3 and len(report(world, limit=1).named) == 1


def test_a_row_that_was_deleted_from_the_table_is_named_and_rowless_lets_it_be() -> None:
    world = eventful()
    gone = world.written[5].id
    found = report(world, deleted=(gone,))
    assert [one.row_id for one in found.named] == [gone] and not found.equal
    assert report(world, deleted=(gone,), rowless=True).equal


def test_a_window_takes_the_rows_that_were_created_in_it() -> None:
    world = World()
    for _ in range(5):
        world.commit([world.row("a"), world.row("A")])
        world.clock.sleep(1_000_000)
    world.live(50)
    middle = Instant(world.outbox.transactions[2].committed_at)
    later, earlier = report(world, window=Window(since=middle)), report(world, window=Window(until=middle))
    assert (later.rows.count, earlier.rows.count) == (6, 4)
    assert later.equal and earlier.equal


def test_of_a_relay_that_runs_and_is_behind_nothing_is_said() -> None:
    world = eventful()
    world.commit([world.row("b")])
    session = world.outbox.session()
    assert session.take_lease()
    with pytest.raises(Unreachable) as caught:
        report(world)
    assert caught.value.code == "HW-O111"


def test_more_differences_than_memory_has_room_for_are_not_called_all(monkeypatch: pytest.MonkeyPatch) -> None:
    world = eventful()
    for row in world.written[:4]:
        send(world, row.id)
    monkeypatch.setattr(reconciling, "_IDS_LIMIT", 2)
    found = report(world)
    assert not found.equal and not found.complete and found.named


def captured_report(world: MovingWorld, *, silent: bool = False) -> Report:
    book = MemoryBook(world.outbox)
    log = CapturedLog(
        world.broker,
        source=world.source.name,
        table="public.outbox",
        written=book.written(),
        pulse=(lambda: None) if silent else world.debezium.pulse,
    )
    return reconcile(
        world.source, Ledger(book, log), world.broker, Window(), sleep=world.clock.sleep, patience=2_000_000
    )


@settings(max_examples=30)
@given(COUNT, COUNT, COUNT, st.integers(0, 12))
def test_in_the_debezium_lane_what_is_captured_and_not_published_waits(
    before: int, captured: int, committed: int, turns: int
) -> None:
    """The relay stops anywhere, Debezium is behind or not: the account closes; what waits is not called lost."""
    world = MovingWorld()
    world.begin_capture()
    world.debezium.pulse()
    world.serve("native")
    world.move_to("debezium")
    world.some(before)
    world.debezium.capture()
    world.serve("debezium", turns)
    world.some(captured)
    world.debezium.capture()
    world.some(committed)
    total = sum(len(transaction.rows) for transaction in world.outbox.transactions)
    found = captured_report(world)
    assert found.equal and not found.named and found.rows.count == total
    assert found.places["waiting"] >= captured  # each `some` writes at least that many rows
    world.serve("debezium")
    found = captured_report(world, silent=not committed)  # all is published: nobody need be asked
    assert found.equal and found.places["waiting"] == 0 and found.rows.count == total


def test_where_debezium_stands_still_reconcile_does_not_guess() -> None:
    world = MovingWorld()
    world.begin_capture()
    world.debezium.pulse()
    world.serve("native")
    world.move_to("debezium")
    world.some(2)
    with pytest.raises(Unreachable) as caught:
        captured_report(world, silent=True)
    assert caught.value.code == "HW-O111"
