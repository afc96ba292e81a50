"""Capture over a table, a store and a broker in memory: loaded while others write, ended at any step, as chance will.

The oracle is what was written to the table; the checks read the topics and use nothing of the relay's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.hooks import FailpointReached, Hooks, arm
from headwater.mesh.products import ResolvedProduct
from headwater.outbox.batching import Limits
from headwater.outbox.capture_memory import MemoryTable
from headwater.outbox.capturing import Capturing
from headwater.outbox.change import Change, Record
from headwater.outbox.mapping_file import LoadedMapping
from headwater.outbox.relay import Relay, RelayOptions
from headwater.outbox.source import OutboxSource, ensure_source
from headwater.outbox.starting import read_position
from headwater.ports.memory import MemoryBroker
from headwater.ports.progress import decode_mark
from headwater.ports.record import EndOfPartition, Message, TopicPartition
from headwater.schemas.codec import RowCodec, unframe
from headwater.schemas.registry_memory import MemoryRegistry
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
        yield Record(payload(change, before), event_id=f"item-{before['id']}", kind="retract")
    yield Record(payload(change, change.row), event_id=f"item-{change.row['id']}")


def payload(change: Change, row: Mapping[str, Any]) -> dict[str, Any]:
    return {"item": str(row["id"]), "state": row.get("state", "gone"), "op": change.op, "occurred_at": 1}


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
        self.mapping = mapping
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

    def relay(self, failpoint: str = "") -> Relay:
        armed = arm(failpoint)

        def reached(name: str) -> None:
            if name.startswith("load.") and self.between:
                self.clock.sleep(1_000)
                self.write([self.between.pop()])
            armed(name)

        mappings = {p.name: LoadedMapping(lambda change: self.mapping(change), "1", (), 1) for p in self.products}
        capturing = Capturing(self.source.name, self.source.table, self.table, self.products, mappings)
        return Relay(
            self.source, self.table, self.broker, self.registry, clock=self.clock, failpoint=reached,
            hooks=Hooks([lambda name, fields: self.heard.append((name, fields))]),
            options=RelayOptions(tick=TICK, limits=Limits(rows=self.rows_limit), read_limit=3, capturing=capturing),
        )  # fmt: skip

    def live(self, turns: int, failpoint: str = "") -> None:
        left = [turns]

        def stopping() -> bool:
            left[0] -= 1
            return left[0] < 0

        try:
            self.relay(failpoint).serve(stopping)
        except FailpointReached:
            self.table.sever()

    def messages(self, topic: str) -> list[Message]:
        count = self.broker.describe([topic])[topic].partitions
        reader = self.broker.reader({TopicPartition(topic, number): 0 for number in range(count)})
        found: list[Message] = []
        ended: set[int] = set()
        while len(ended) < count:
            for item in reader.poll(1_000, 1.0):
                if isinstance(item, EndOfPartition):
                    ended.add(item.partition)
                else:
                    found.append(item)
        return sorted(found, key=lambda message: (message.partition, message.offset))

    def records(self, product: ResolvedProduct | None = None) -> list[tuple[Message, dict[str, Any]]]:
        product = product or self.products[0]
        decode = RowCodec(product.output.schema).decode
        return [(message, decode(unframe(message.value)[1])) for message in self.messages(product.output.topic)]

    @property
    def position(self) -> Any:
        return read_position(self.broker, self.source.name)


def check(world: World, product: ResolvedProduct | None = None) -> None:
    """No gap: the newest record of each item is the row that is there. No repeat: no version of a row comes twice."""
    product = product or world.products[0]
    records = world.records(product)
    newest: dict[str, dict[str, Any]] = {}
    stamps: dict[int, int] = {}
    for message, record in records:
        before = newest.get(record["item"])
        assert before is None or record["revision"] > before["revision"], "the revision grows"
        assert record["recorded_at"] >= stamps.get(message.partition, 0), "recorded time never goes back"
        stamps[message.partition] = record["recorded_at"]
        newest[record["item"]] = record
    there = {row["id"]: row["state"] for row in world.table.now_there()}
    assert {item: r["state"] for item, r in newest.items() if r["kind"] != "retract"} == there
    told = Counter((r["item"], r["state"], r["kind"] == "retract") for _, r in records if r["state"] != "gone")
    assert not [version for version, count in told.items() if count > 1], "a version of a row comes once"
    ids = [dict(message.headers)["id"] for message, _ in records]
    assert len(ids) == len(set(ids))
    loaded = Counter(r["item"] for _, r in records if r["op"] == "snapshot")
    assert not [item for item, count in loaded.items() if count > 1], "a row is loaded once"
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
