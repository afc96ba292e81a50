"""Slots that are dropped, made anew, advanced and lost, and repairs that are cut off: what readers see is right.

The oracle is the ledger of what was committed; the checks read the topics and use nothing of the repair's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.unit.outbox.test_relay import World, check_marks, countdown

from headwater.errors import CallerFault, Fault, HeadwaterError
from headwater.hooks import FailpointReached, Hooks, arm
from headwater.outbox.batching import Limits
from headwater.outbox.event import OutboxEvent
from headwater.outbox.repair import Repair, RepairReport
from headwater.ports.record import TopicPartition

STEPS_OF_REPAIR = (
    "repair.after_publication", "repair.after_slot", "repair.after_fill", "relay.before_begin", "relay.after_position",
    "relay.after_send", "relay.in_commit", "relay.after_commit",
)  # fmt: skip
TROUBLES = ("drop", "make anew", "advance", "lose", "drop publication", "publication anew")
CODES = {"HW-O013", "HW-O015", "HW-O080", "HW-O081"}


class Troubled(World):
    """A world whose slot is hurt, and whose services go on while it is mended."""

    def order(self, customer: str) -> OutboxEvent:
        row = super().order(customer)
        row = replace(row, key_version=self.numbers[customer])
        return replace(row, payload="{}") if self.numbers[customer] % 3 == 0 else row  # does not fit: goes aside

    def hurt(self, trouble: str) -> None:
        outbox, admin = self.outbox, self.outbox.admin()
        outbox.sever()
        if trouble == "drop" or (trouble == "make anew" and outbox.parts.slot):
            admin.drop_slot()
        if trouble == "make anew":
            admin.create_slot()
        elif trouble == "advance" and outbox.parts.slot:
            outbox.confirmed(outbox.lsn)
        elif trouble == "lose" and outbox.parts.slot:
            outbox.lose()
        elif trouble == "drop publication":
            outbox.parts = replace(outbox.parts, publication=False)
        elif trouble == "publication anew":
            admin.create_publication()

    def repair(self, failpoint: Callable[[str], None] = lambda name: None, *, dry: bool = False) -> RepairReport:
        hooks = Hooks([lambda name, fields: self.heard.append((name, fields))])
        made = Repair(
            self.source, self.outbox, self.outbox.admin(), self.broker, self.registry,
            clock=self.clock, hooks=hooks, failpoint=failpoint, limits=Limits(rows=self.rows_limit),
        )  # fmt: skip
        try:
            return made.run(dry=dry)
        except FailpointReached:
            self.outbox.sever()
            raise

    def write(self, names: str) -> None:
        self.clock.sleep(1_000)
        self.commit([self.order(name) if name.islower() else self.level(name) for name in names])


def check_all(world: Troubled) -> None:
    """Each committed row once, in a topic or in quarantine; order, stamps and marks as they must be."""
    found = {product.name: world.records(product) for product in world.products}
    stamps: dict[str, int] = {}
    ids: list[str] = []
    for product in world.products:
        last: dict[int, int] = {}
        for message, record in found[product.name]:
            row, stamp = dict(message.headers)["id"].decode(), int(record["recorded_at"])
            ids.append(row)
            stamps[row] = stamp
            assert stamp >= last.get(message.partition, 0), "recorded time never goes back along a partition"
            last[message.partition] = stamp
        for message in world.messages(f"{product.output.topic}.quarantine"):
            ids.append(dict(message.headers)["id"].decode())
    assert sorted(ids) == sorted(row for rows in world.ledger for row in rows)
    for rows in world.ledger:
        assert len({stamps[row] for row in rows if row in stamps}) <= 1, "one stamp for a transaction"
    numbers: dict[object, int] = {}
    for _, record in found[world.products[0].name]:
        assert int(record["number"]) > numbers.get(record["customer"], 0)
        numbers[record["customer"]] = int(record["number"])
    for product in world.products:
        check_marks(world, product, found[product.name])


NAMES = st.text("abXY", min_size=1, max_size=14)
CRASH = st.tuples(st.sampled_from(["", "after_position", "in_commit", "after_commit"]), st.integers(1, 4))
CUT = st.tuples(st.sampled_from(STEPS_OF_REPAIR), st.integers(1, 4), st.text("abXY", max_size=4))


@st.composite
def rounds(draw: st.DrawFn) -> dict[str, Any]:
    """Work, a relay that may be killed in it, a slot that is hurt, more work, and a repair that may be cut off."""
    return {
        "before": draw(st.lists(NAMES, max_size=3)),
        "crash": draw(CRASH),
        "turns": draw(st.integers(1, 40)),
        "wait": draw(st.sampled_from([0, 3_000_000, 100_000_000_000])),  # a day and more
        "troubles": draw(st.lists(st.sampled_from(TROUBLES), min_size=1, max_size=2)),
        "after": draw(st.lists(NAMES, min_size=1, max_size=3)),
        "cuts": draw(st.lists(CUT, max_size=3)),
        "meanwhile": draw(st.text("abXY", max_size=3)),
    }


@settings(max_examples=60, phases=[Phase.explicit, Phase.generate, Phase.shrink], deadline=None)
@given(st.lists(rounds(), min_size=1, max_size=3), st.booleans())
def test_whatever_becomes_of_the_slot_readers_see_each_committed_row_once_and_in_order(
    plan: list[dict[str, Any]], dated: bool
) -> None:
    world = Troubled()
    world.outbox.dated = dated
    for one in plan:
        play(world, one)
    world.live(1_000)
    check_all(world)


def play(world: Troubled, one: dict[str, Any]) -> None:
    for names in one["before"]:
        world.write(names)
    name, nth = one["crash"]
    world.live(one["turns"], f"relay.{name}:{nth}:raise" if name else "")
    world.clock.sleep(one["wait"])
    for place, names in enumerate(one["after"]):
        world.write(names)
        if place < len(one["troubles"]):
            world.hurt(one["troubles"][place])
    try:
        world.live(3)
    except HeadwaterError as error:
        assert error.code in CODES and "headwater relay repair" in error.hint
    for step, at, names in one["cuts"]:
        try:
            world.repair(arm(f"{step}:{at}:raise"))
        except FailpointReached:
            if names:
                world.write(names)
    left = [one["meanwhile"]]

    def services(name: str) -> None:  # they write while the repair is under way
        if name in ("repair.after_slot", "repair.after_fill") and left[0]:
            world.write(left[0])
            left[0] = left[0][1:]

    world.repair(services)
    assert world.repair().trouble is None


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_relay_stops_with_the_reason_and_a_repair_fills_the_gap(trouble: str) -> None:
    world = Troubled()
    world.write("abcXY")
    world.live(50)
    world.outbox.sever()
    world.write("abab")
    world.hurt(trouble)
    world.write("Xa")
    with pytest.raises(Fault) as caught:
        world.relay().run(lambda: False)
    assert caught.value.code in CODES and "headwater relay repair" in caught.value.hint
    dry = world.repair(dry=True)
    assert world.records(world.products[1]) == world.records(world.products[1])[:2], "a dry run writes nothing"
    report = world.repair()
    assert (dry.missing, report.missing, report.unknown, report.orphans) == (6, 6, None, 0)
    assert report.trouble is not None and report.trouble.code == caught.value.code
    world.write("b")
    world.live(100)
    check_all(world)


def test_slot_and_position_that_agree_are_left_alone() -> None:
    world = Troubled()
    world.write("ab")
    world.live(50)
    slot = world.outbox.parts.slot
    assert world.repair() == RepairReport(world.source.name, None)
    assert world.outbox.parts.slot == slot


def test_a_publication_made_anew_while_the_relay_reads_stops_it() -> None:
    world = Troubled()
    world.write("a")

    def stopping() -> bool:
        if world.outbox.publication == 1 and world.records(world.products[0]):
            world.outbox.admin().create_publication()
        return False

    with pytest.raises(Fault) as caught:
        world.relay().run(stopping)
    assert caught.value.code == "HW-O037" and "headwater relay repair" in caught.value.hint


def test_a_repair_takes_no_relays_place() -> None:
    world = Troubled()
    relay = world.outbox.session()
    assert relay.take_lease()
    with pytest.raises(CallerFault) as caught:
        world.repair()
    assert caught.value.code == "HW-O082"


def test_after_a_fail_over_rows_that_the_database_lacks_are_listed() -> None:
    world = Troubled()
    world.write("aX")
    world.live(50)
    end = world.outbox.lsn
    world.write("bcY")
    world.live(50)
    lost = world.ledger.pop()
    world.outbox.sever()
    world.outbox.transactions.pop()
    world.outbox.identity = replace(world.outbox.identity, timeline=2, branches=((1, end),))
    world.write("XYXY")  # the new primary's log is longer than what was published of the old one
    with pytest.raises(Fault) as caught:
        world.live(1)
    assert caught.value.code == "HW-O016"
    report = world.repair()
    assert (report.orphans, sorted(report.orphan_ids)) == (3, sorted(lost))
    assert report.missing == 4
    world.live(50)
    ids = [dict(m.headers)["id"].decode() for product in world.products for m in world.messages(product.output.topic)]
    assert len(ids) == len(set(ids)) and {row for rows in world.ledger for row in rows} <= set(ids)


def test_rows_that_were_dropped_from_the_table_are_a_window_that_nobody_knows() -> None:
    world = Troubled()
    world.write("aX")
    world.live(50)
    published = world.clock.now()
    world.hurt("drop")
    world.write("bc")
    world.clock.sleep(1_000_000)
    world.outbox.dropped_before = world.clock.now()
    world.write("Y")
    report = world.repair()
    assert report.missing == 1
    assert report.unknown is not None and report.unknown[0] <= published
    assert report.unknown[1] == world.outbox.dropped_before


def test_a_lost_position_is_made_again_from_what_is_on_the_broker() -> None:
    world = Troubled()
    world.write("aXb")
    world.live(50)
    world.write("c")
    world.broker.delete_topic("headwater.position.operations.public.outbox")
    assert world.repair().missing == 1
    world.write("Y")
    world.live(50)
    check_all(world)


def test_a_lost_position_over_topics_that_forgot_is_refused() -> None:
    world = Troubled()
    world.write("aXb")
    world.live(50)
    world.broker.delete_topic("headwater.position.operations.public.outbox")
    world.broker.truncate(TopicPartition("orders.placed.v1", 0), 1)
    with pytest.raises(CallerFault) as caught:
        world.repair()
    assert caught.value.code == "HW-O083"


def test_the_live_relay_of_a_mended_source_writes_no_row_twice_after_a_restart() -> None:
    world = Troubled()
    world.write("ab")
    world.hurt("make anew")
    world.repair()
    world.relay().run(countdown(50))
    world.relay().run(countdown(50))
    check_all(world)


@pytest.mark.parametrize("dated", [True, False])
def test_a_transaction_that_was_published_in_part_keeps_its_stamp(dated: bool) -> None:
    world = Troubled()
    world.outbox.dated = dated
    world.write("X" * 23)
    for _ in range(2):
        world.live(4, "relay.after_commit:2:raise")
    published = len(world.records(world.products[1]))
    assert 0 < published < 23
    world.hurt("drop")
    world.write("XY")
    assert world.repair().missing == 25 - published
    world.live(50)
    check_all(world)


def test_the_first_stamp_after_a_repair_is_above_every_mark() -> None:
    world = Troubled()
    world.write("aX")
    world.live(200)
    world.hurt("drop")
    world.commit([world.level("Y")], committed_at=world.clock.now() - 5_000_000)  # the database's clock stepped back
    world.repair()
    world.commit([world.level("X")], committed_at=world.clock.now() - 5_000_000)
    world.live(50)
    check_all(world)
