"""Capture over a table, a store and a broker in memory: loaded while others write, ended at any step, as chance will.

The oracle is what was written to the table; the checks read the topics and use nothing of the relay's own.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import CallerFault, Fault, Unreachable
from headwater.hooks import Hooks, arm
from headwater.mesh.products import ResolvedProduct
from headwater.outbox import capture_session, capturing
from headwater.outbox.batching import Limits
from headwater.outbox.capture_memory import MemoryTable
from headwater.outbox.capture_session import Member
from headwater.outbox.capturing import Capturing
from headwater.outbox.change import Change, Record
from headwater.outbox.load_state import LoadState
from headwater.outbox.mapping_file import LoadedMapping
from headwater.outbox.pgoutput_changes import RowChange
from headwater.outbox.relay import Relay, RelayOptions
from headwater.outbox.source import OutboxSource, ensure_source
from headwater.outbox.starting import read_position
from headwater.ports.memory import MemoryBroker
from headwater.ports.progress import decode_mark
from headwater.ports.record import Message
from headwater.schemas.codec import RowCodec, unframe
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.lives import live, messages_of
from headwater.testing.source_products import captured_items, make_topics
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant

TICK = 100_000
START = Instant(1_000_000_000_000_000)
RELAY_STEPS = ("before_begin", "after_position", "after_send", "in_commit", "after_commit", "after_feedback")
LOAD_STEPS = ("after_snapshot", "before_publish", "after_publish")
FAILPOINTS = tuple(f"relay.{step}" for step in RELAY_STEPS) + tuple(f"load.{step}" for step in LOAD_STEPS)


def mapping(change: Change) -> Iterable[Record]:
    """A row's record, with its id as the event's, and a row that moved to another id is taken back at its old one."""
    before, after = change.before, change.after
    if before is not None and after is not None and before["id"] != after["id"]:
        yield Record(payload("move", before), event_id=f"item-{before['id']}", kind="retract")
        yield Record(payload("move", after), event_id=f"item-{after['id']}", kind="assert")
    else:
        yield Record(payload(change.op, change.row), event_id=f"item-{change.row['id']}")


def payload(op: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {"item": str(row["id"]), "state": row.get("state", "gone"), "op": op, "occurred_at": 1}


@dataclass
class World:
    """A captured table with its broker, and every version of every row that was ever committed."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    whole: bool = True
    products: tuple[ResolvedProduct, ...] = field(default_factory=lambda: (captured_items(),))
    rows_limit: int = 5

    def __post_init__(self) -> None:
        self.broker = MemoryBroker(self.clock)
        self.registry = MemoryRegistry()
        self.table = MemoryTable(self.clock, columns={"id": 23, "state": 25}, key=["id"], whole=self.whole)
        self.source = OutboxSource("operations", "public.item", self.products, captured=True)
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.number = 0
        self.history: dict[str, list[str]] = {}  # every version of every row that was committed, in order
        self.mapping = mapping
        self.fingerprint = "1"
        self.between: list[tuple[str, int, int]] = []  # what is written while a load goes on, step by step
        make_topics(self.products, self.broker, self.registry)

    def apply(self) -> None:
        ensure_source(self.source, self.table.admin(), self.broker)

    def write(self, operations: Iterable[tuple[str, int, int]]) -> None:
        """Commit a transaction: of each operation what the table allows. Each version of a row has its own state."""
        there = {int(key[0]) for key in self.table.there}
        changes: list[tuple[str, dict[str, str | None]]] = []
        for op, row, other in operations:
            self.number += 1
            values: dict[str, str | None] = {"id": str(row), "state": f"s{self.number}"}
            if op == "put":
                changes.append(("update" if row in there else "insert", values))
                there.add(row)
            elif op == "move" and row in there and other not in there:
                changes.append(("update", {**values, "id": str(other), "from:id": str(row)}))
                there.remove(row)
                there.add(other)
            elif op == "delete" and row in there:
                changes.append(("delete", values))
                there.remove(row)
        if changes:
            self.table.write(changes)
        for op, values in changes:
            if op != "delete":
                self.history.setdefault(str(values["id"]), []).append(str(values["state"]))

    def relay(self, failpoint: str = "") -> Relay:
        armed = arm(failpoint)

        def reached(name: str) -> None:
            if name.startswith("load.") and self.between:
                self.clock.sleep(1_000)
                self.write([self.between.pop()])
            armed(name)

        mappings = {
            p.name: LoadedMapping(lambda change: self.mapping(change), self.fingerprint, (), 1) for p in self.products
        }
        capturing = Capturing(self.source.name, self.source.table, self.table, self.products, mappings)
        return Relay(
            self.source, self.table, self.broker, self.registry, clock=self.clock, failpoint=reached,
            hooks=Hooks([lambda name, fields: self.heard.append((name, fields))]),
            options=RelayOptions(tick=TICK, limits=Limits(rows=self.rows_limit), read_limit=3, capturing=capturing),
        )  # fmt: skip

    def live(self, turns: int, failpoint: str = "") -> None:
        live(self.relay(failpoint), self.table, turns)

    def messages(self, topic: str) -> list[Message]:
        return messages_of(self.broker, topic)

    def records(self, product: ResolvedProduct | None = None) -> list[tuple[Message, dict[str, Any]]]:
        product = product or self.products[0]
        decode = RowCodec(product.output.schema).decode
        return [(message, decode(unframe(message.value)[1])) for message in self.messages(product.output.topic)]

    @property
    def position(self) -> Any:
        return read_position(self.broker, self.source.name)


def check(world: World, product: ResolvedProduct | None = None) -> None:
    """Of each item the topic tells how it came, and from there on every version that was committed, once, in order."""
    product = product or world.products[0]
    records = world.records(product)
    told: dict[str, list[dict[str, Any]]] = {}
    stamps: dict[int, int] = {}
    for message, record in records:
        told.setdefault(record["item"], []).append(record)
        assert record["recorded_at"] >= stamps.get(message.partition, 0), "recorded time never goes back"
        stamps[message.partition] = record["recorded_at"]
    for item, each in told.items():
        assert each[0]["op"] in ("snapshot", "insert", "move"), "the first that is told of an item is how it came"
        assert [r["op"] for r in each].count("snapshot") <= 1, "an item is loaded once"
        assert all(a["revision"] < b["revision"] for a, b in pairwise(each)), "the revision grows"
        states = [r["state"] for r in each if r["kind"] != "retract"]
        assert states == world.history[item][-len(states) :], "every version from then on, once"
    there = {row["id"]: row["state"] for row in world.table.now_there()}
    assert {item: each[-1]["state"] for item, each in told.items() if each[-1]["kind"] != "retract"} == there
    ids = [dict(message.headers)["id"] for message, _ in records]
    assert len(ids) == len(set(ids))
    for message in world.messages(f"{product.output.topic}.progress"):
        through, offset = decode_mark(message.value or b"")
        later = [r for m, r in records if m.partition == message.partition and m.offset >= offset]
        assert all(r["recorded_at"] > through for r in later), "nothing follows below a mark"


ROW = st.integers(1, 12)
OPERATION = st.tuples(st.sampled_from(["put", "put", "put", "move", "delete"]), ROW, ROW)
WRITE = st.tuples(st.just("write"), st.lists(OPERATION, min_size=1, max_size=6), st.just(0))
LARGE = st.tuples(st.just("write"), st.lists(OPERATION, min_size=12, max_size=30), st.just(0))
CRASH = st.tuples(st.just("crash"), st.sampled_from(FAILPOINTS), st.integers(1, 6))
LIVE = st.tuples(st.just("live"), st.just([]), st.integers(1, 30))
FALL_BACK = st.tuples(st.just("fall back"), st.just([]), st.integers(0, 100))
STEPS = st.lists(st.one_of(WRITE, WRITE, LARGE, CRASH, CRASH, LIVE, FALL_BACK), max_size=20)
FILLED = st.lists(OPERATION, max_size=25)


def run(world: World, filled: list[tuple], between: list[tuple], steps: list[tuple]) -> None:
    if filled:
        world.write(filled)
    world.apply()
    first_lsn = world.table.lsn
    world.between = list(between)
    for action, what, amount in steps:
        world.clock.sleep(1_000)
        if action == "write":
            world.write(what)
        elif action == "crash":
            world.live(100, f"{what}:{amount}:raise")
        elif action == "live":
            world.live(amount)
        else:
            world.table.fall_back(first_lsn + (world.table.lsn - first_lsn) * amount // 100)
    world.live(1_000)


@settings(max_examples=150)
@given(filled=FILLED, between=st.lists(OPERATION, max_size=12), steps=STEPS, whole=st.booleans())
def test_whatever_ends_the_relay_the_topic_is_the_table_and_no_version_comes_twice(
    filled: list[tuple], between: list[tuple], steps: list[tuple], whole: bool
) -> None:
    world = World(whole=whole)
    run(world, filled, between, steps)
    check(world)


def part_of_a_load(world: World) -> None:
    """Rows 1 to 12 that are loaded in two lives, with writes to each part before, between and after."""
    world.write([("put", row, 0) for row in range(1, 13)])
    world.apply()
    world.write([("put", 1, 0), ("put", 11, 0)])
    world.live(100, "load.after_publish:1:raise")
    world.write([("put", 2, 0), ("put", 12, 0), ("delete", 3, 0), ("delete", 10, 0), ("move", 4, 20), ("move", 9, 3)])
    world.live(100, "load.after_publish:1:raise")
    world.write([("put", 2, 0), ("put", 12, 0), ("put", 13, 0)])
    world.live(1_000)


def test_a_load_goes_on_where_it_was_under_a_newer_snapshot() -> None:
    world = World()
    part_of_a_load(world)
    check(world)
    ranges = world.position.capture.of("shop.items.v1").ranges
    assert len({each.point for each in ranges}) == 3
    assert ranges[-1].until is None


SABOTAGE: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "what a snapshot holds is streamed again": lambda patch: patch.setattr(
        capture_session, "loaded", lambda state, order: lambda key, commit_lsn: False
    ),
    "what a snapshot lacks is left out": lambda patch: patch.setattr(
        capture_session,
        "loaded",
        lambda state, order: lambda key, commit_lsn: commit_lsn <= state.ranges[-1].point + 99,
    ),
    "the last point counts for all keys": lambda patch: patch.setattr(
        capture_session, "loaded", lambda state, order: lambda key, commit_lsn: commit_lsn < state.ranges[-1].point
    ),
    "a load starts over": lambda patch: patch.setattr(LoadState, "until", property(lambda self: None)),
    "the order of keys is that of text": lambda patch: patch.setattr(
        capturing, "key_order", lambda types: lambda key: tuple(key)
    ),
    "a row that moves is one change": lambda patch: patch.setattr(
        Member, "_left", lambda self, change, lsn, held: None if held([change_key(change)], lsn) else change
    ),
}


def change_key(change: RowChange) -> str:
    cell = (change.new or change.old or ())[0]
    assert isinstance(cell, bytes)
    return cell.decode()


@pytest.mark.parametrize("sabotage", SABOTAGE)
def test_the_check_is_red_where_a_load_is_sabotaged(sabotage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    SABOTAGE[sabotage](monkeypatch)
    with pytest.raises(AssertionError):
        part_of_a_load(world)
        check(world)


def test_a_product_that_comes_later_is_loaded_and_the_first_one_does_not_notice() -> None:
    first, second = captured_items(), captured_items("shop.articles")
    world = World(products=(first,))
    world.write([("put", row, 0) for row in range(1, 9)])
    world.apply()
    world.live(200)
    before = len(world.records(first))
    world.write([("put", 1, 0), ("put", 9, 0)])
    make_topics([second], world.broker, world.registry)
    world.products = (first, second)
    world.source = OutboxSource("operations", "public.item", world.products, captured=True)
    world.live(100, "load.after_publish:1:raise")
    world.write([("put", 2, 0), ("delete", 8, 0)])
    world.live(500)
    check(world, first)
    check(world, second)
    assert len(world.records(first)) == before + 4


def test_a_load_waits_for_a_transaction_that_is_published_in_part() -> None:
    first, second = captured_items(), captured_items("shop.articles")
    world = World(products=(first,))
    world.apply()
    world.live(50)
    world.write([("put", row, 0) for row in range(1, 40)])
    world.live(100, "relay.after_commit:2:raise")
    assert world.position.partial
    make_topics([second], world.broker, world.registry)
    world.products = (first, second)
    world.source = OutboxSource("operations", "public.item", world.products, captured=True)
    for _ in range(2):
        with contextlib.suppress(Unreachable):
            world.live(300)
    check(world, first)
    check(world, second)
    stamps = {record["recorded_at"] for _, record in world.records(first)}
    assert len(stamps) == 1, "one transaction, one stamp"


def test_a_mapping_that_changes_within_a_transaction_published_in_part_is_refused() -> None:
    world = World()
    world.apply()
    world.live(50)
    world.write([("put", row, 0) for row in range(1, 40)])
    world.live(100, "relay.after_commit:2:raise")
    world.fingerprint = "2"
    with pytest.raises(CallerFault) as caught:
        world.live(100)
    assert caught.value.code == "HW-O156"
    world.fingerprint = "1"
    world.live(500)
    check(world)


def test_a_change_that_cannot_be_mapped_goes_aside_whole_and_the_rest_goes_on() -> None:
    def strict(change: Change) -> list[Record]:
        if change.row["state"] == "bad":
            raise ValueError(change.row["state"])
        return list(mapping(change))

    world = World()
    world.mapping = strict
    world.table.write([("insert", {"id": "1", "state": "bad"}), ("insert", {"id": "2", "state": "good"})])
    world.apply()
    world.live(100)
    world.table.write([("update", {"id": "1", "state": "fine"}), ("update", {"id": "2", "state": "bad"})])
    world.table.write([("truncate", {})])
    world.live(100)
    assert [(r["item"], r["state"]) for _, r in world.records()] == [("2", "good"), ("1", "fine")]
    aside = world.messages("shop.items.v1.quarantine")
    told = [json.loads(message.value or b"") for message in aside]
    assert sorted((each["op"], (each.get("after") or {}).get("id")) for each in told) == [
        ("snapshot", "1"), ("truncate", None), ("update", "2"),
    ]  # fmt: skip
    codes = sorted(dict(message.headers)["quarantine.error.code"] for message in aside)
    assert codes == [b"HW-O149", b"HW-O149", b"HW-O152"]
    assert not any(b"bad" in (value or b"") for message in aside for _, value in message.headers)


def test_a_table_that_is_altered_online_goes_on_with_the_columns_that_are_there() -> None:
    world = World()
    world.apply()
    world.write([("put", 1, 0)])
    world.live(50)
    world.table.types = {"note": 25, **world.table.types}
    world.table.there = {key: {"note": None, **row} for key, row in world.table.there.items()}
    world.write([("put", 1, 0), ("put", 2, 0)])
    world.live(50, "relay.after_commit:1:raise")
    world.live(50)
    check(world)


def test_rows_that_the_contract_skips_are_not_loaded() -> None:
    world = World(products=(captured_items(existing_rows="skip"),))
    world.write([("put", 1, 0)])
    world.apply()
    world.write([("put", 2, 0)])
    world.live(100)
    assert [r["item"] for _, r in world.records()] == ["2"]


def test_an_empty_table_is_loaded_at_once_and_apply_done_twice_does_nothing() -> None:
    world = World()
    world.apply()
    world.live(50)
    assert world.position.capture.of("shop.items.v1").done
    assert ensure_source(world.source, world.table.admin(), world.broker) == []


def test_a_lost_position_is_not_taken_for_a_first_start() -> None:
    world = World()
    world.write([("put", 1, 0)])
    world.apply()
    world.live(100)
    world.broker.delete_topic("headwater.position.operations.public.item")
    with pytest.raises(Fault) as caught:
        world.apply()
    assert caught.value.code == "HW-O007"
