"""The relay over a store and a broker in memory, ended at any step, as often as chance will: what readers see is right.

The oracle is the ledger of what was committed; the checks read the topics and use nothing of the relay's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from headwater.errors import CallerFault, Fault
from headwater.hooks import Hooks, arm
from headwater.mesh.products import ResolvedProduct
from headwater.outbox.batching import Limits
from headwater.outbox.emitter import event_of
from headwater.outbox.event import COLUMNS, OPTIONAL, OutboxEvent
from headwater.outbox.pgoutput import Keepalive, LogicalMessage
from headwater.outbox.pgoutput_write import keepalive
from headwater.outbox.relay import Relay, RelayOptions
from headwater.outbox.source import OutboxSource, ensure_source
from headwater.outbox.store_memory import MemoryOutbox
from headwater.ports.memory import MemoryBroker
from headwater.ports.progress import decode_mark
from headwater.ports.record import Message
from headwater.schemas.codec import RowCodec, unframe
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.lives import live, messages_of
from headwater.testing.source_products import make_topics, order_events, stock_facts
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant

TICK = 100_000
START = Instant(1_000_000_000_000_000)
FAILPOINTS = ("before_begin", "after_position", "after_send", "in_commit", "after_commit", "after_feedback")


@dataclass
class World:
    """A source with two products, its broker, and what was committed to it."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    products: tuple[ResolvedProduct, ...] = (order_events(), stock_facts())
    rows_limit: int = 5

    def __post_init__(self) -> None:
        self.broker = MemoryBroker(self.clock)
        self.registry = MemoryRegistry()
        self.outbox = MemoryOutbox(self.clock)
        self.source = OutboxSource("operations", "public.outbox", self.products)
        self.heard: list[tuple[str, dict[str, object]]] = []
        self.ledger: list[tuple[str, ...]] = []  # the row ids of each committed transaction, in commit order
        self.numbers: dict[str, int] = {}
        make_topics(self.products, self.broker, self.registry)
        ensure_source(self.source, self.outbox.admin(), self.broker)

    def order(self, customer: str) -> OutboxEvent:
        number = self.numbers[customer] = self.numbers.get(customer, 0) + 1
        record = {"customer": customer, "number": number, "occurred_at": 1, "note": None}
        return event_of(self.products[0], record)

    def level(self, place: str) -> OutboxEvent:
        record = {"place": place, "article": "x", "valid_from": 1, "valid_to": None, "count": 3}
        # A revision of its own for each, since one that is emitted twice is one row.
        number = self.numbers[f"level {place}"] = self.numbers.get(f"level {place}", 0) + 1
        return event_of(self.products[1], record, revision=number)

    def message(self, row: OutboxEvent) -> LogicalMessage:
        """The same row as a service writes it that has no outbox table."""
        cells = {name: value for name, value in zip(COLUMNS, row.values(), strict=True) if value is not None}
        content = json.dumps({**cells, "payload": json.loads(row.payload or "")}, ensure_ascii=False)
        return LogicalMessage("headwater.outbox:public.outbox", content.encode())

    def write(self, names: str | list[str], *, ahead: int = 0) -> None:
        """Commit a row for each letter: small letters order, capitals tell levels, digits tell them in messages."""
        rows = [self.order(name) if name.islower() else self.level(name) for name in names]
        self.commit(rows, committed_at=self.clock.now() + ahead, messages=[name.isdigit() for name in names])

    def commit(
        self, rows: list[OutboxEvent], *, committed_at: int | None = None, messages: Sequence[bool] = ()
    ) -> None:
        as_messages = [*messages, *[False] * len(rows)]
        written = [self.message(row) if other else row for row, other in zip(rows, as_messages, strict=False)]
        self.outbox.commit(written, committed_at=committed_at)
        self.ledger.append(tuple(row.id for row in rows))

    def relay(self, failpoint: str | Callable[[str], None] = "") -> Relay:
        options = RelayOptions(tick=TICK, limits=Limits(rows=self.rows_limit), read_limit=3)
        hooks = Hooks([lambda name, fields: self.heard.append((name, fields))])
        reached = arm(failpoint) if isinstance(failpoint, str) else failpoint
        return Relay(
            self.source, self.outbox, self.broker, self.registry,
            clock=self.clock, hooks=hooks, failpoint=reached, options=options,
        )  # fmt: skip

    def live(self, turns: int, failpoint: str = "") -> None:
        live(self.relay(failpoint), self.outbox, turns)

    def messages(self, topic: str) -> list[Message]:
        return messages_of(self.broker, topic)

    def records(self, product: ResolvedProduct) -> list[tuple[Message, dict[str, object]]]:
        decode = RowCodec(product.output.schema).decode
        return [(message, decode(unframe(message.value)[1])) for message in self.messages(product.output.topic)]


def check(world: World) -> None:
    """Nothing lost, doubled or invented; order, stamps and marks as they must be."""
    found = {product.name: world.records(product) for product in world.products}
    every = [(message, record) for records in found.values() for message, record in records]
    stamps = {dict(message.headers)["id"].decode(): int(record["recorded_at"]) for message, record in every}
    ids = [dict(message.headers)["id"].decode() for message, _ in every]
    assert sorted(ids) == sorted(row for rows in world.ledger for row in rows)
    last = 0
    for rows in world.ledger:
        assert len({stamps[row] for row in rows}) <= 1, "one stamp for a transaction"
        for row in rows:
            assert stamps[row] >= last, "stamps follow the commit order"
            last = stamps[row]
    last_number: dict[object, int] = {}
    for message, record in found[world.products[0].name]:
        assert message.timestamp == int(record["recorded_at"]) // 1_000
        assert int(record["number"]) > last_number.get(record["customer"], 0)
        last_number[record["customer"]] = int(record["number"])
    for product in world.products:
        check_marks(world, product, found[product.name])


def check_marks(world: World, product: ResolvedProduct, records: list[tuple[Message, dict[str, object]]]) -> None:
    before: dict[int, int] = {}
    for message in world.messages(f"{product.output.topic}.progress"):
        through, offset = decode_mark(message.value or b"")
        assert message.key == str(message.partition).encode()
        assert through >= before.get(message.partition, -1), "marks never go back"
        before[message.partition] = through
        later = [r for m, r in records if m.partition == message.partition and m.offset >= offset]
        assert all(int(record["recorded_at"]) > through for record in later), "nothing follows below a mark"


WRITE = st.tuples(st.just("write"), st.lists(st.sampled_from("abcXY12"), max_size=9), st.integers(-300_000, 300_000))
ROLL_BACK = st.tuples(st.just("roll back"), st.lists(st.sampled_from("ab"), min_size=1, max_size=3), st.just(0))
WAIT = st.tuples(st.just("wait"), st.just([]), st.integers(1, 3_000_000))
LARGE = st.tuples(st.just("write"), st.lists(st.sampled_from("abX1"), min_size=8, max_size=22), st.integers(-9, 9))
CRASH = st.tuples(st.just("crash"), st.sampled_from(FAILPOINTS), st.integers(1, 6))
LIVE = st.tuples(st.just("live"), st.just([]), st.integers(1, 30))
FALL_BACK = st.tuples(st.just("fall back"), st.just([]), st.integers(0, 100))
OLD_COLUMNS = tuple(name for name in COLUMNS if name not in OPTIONAL)
ALTER = st.tuples(st.just("alter"), st.sampled_from([COLUMNS, OLD_COLUMNS, ("note", *COLUMNS[::-1])]), st.just(0))
STEPS = st.lists(st.one_of(WRITE, WRITE, LARGE, ROLL_BACK, ALTER, WAIT, CRASH, CRASH, LIVE, FALL_BACK), max_size=25)


@settings(max_examples=100, phases=[Phase.explicit, Phase.generate, Phase.shrink])
@given(STEPS)
def test_whatever_ends_the_relay_readers_see_each_committed_row_once_and_in_order(steps: list[tuple]) -> None:
    world = World()
    first_lsn = world.outbox.lsn
    for action, what, amount in steps:
        if action == "write":
            world.clock.sleep(1_000)
            world.write(what, ahead=amount)
        elif action == "alter":
            world.outbox.columns = what
        elif action == "roll back":
            world.outbox.roll_back([world.level(name) for name in what])
        elif action == "wait":
            world.clock.sleep(amount)
        elif action == "crash":
            world.live(100, f"relay.{what}:{amount}:raise")
        elif action == "live":
            world.live(amount)
        else:
            world.outbox.fall_back(first_lsn + (world.outbox.lsn - first_lsn) * amount // 100)
    world.live(1_000)
    check(world)


def test_a_transaction_above_the_cap_is_published_in_parts_with_one_stamp() -> None:
    world = World(rows_limit=10)
    world.commit([world.order("a") for _ in range(9)])
    world.commit([world.order(name) for name in "abcdefg" * 500])
    world.live(3, "relay.after_commit:2:raise")
    world.live(5)
    world.live(5000)
    check(world)


def test_while_idle_one_mark_a_second_for_every_partition_of_every_product() -> None:
    world = World()
    world.commit([world.order("a")])
    world.live(1_000)
    marks = [m for product in world.products for m in world.messages(f"{product.output.topic}.progress")]
    seconds = (world.clock.now() - START) / 1_000_000
    counts = {(m.topic, m.partition): 0 for m in marks}
    for mark in marks:
        counts[mark.topic, mark.partition] += 1
    assert len(counts) == 8
    assert all(seconds - 2 <= count <= seconds + 4 for count in counts.values())
    check(world)


def test_the_tick_of_the_last_record_is_settled_soon_after_it() -> None:
    world = World()
    world.commit([world.order("a")])
    world.live(20)
    newest = max(decode_mark(m.value or b"")[0] for m in world.messages("orders.placed.v1.progress"))
    assert newest >= START // TICK * TICK + TICK - 1
    assert world.clock.now() - START < 1_000_000


def test_the_mark_of_a_batch_goes_with_the_next_one_so_that_a_busy_relay_turns_to_the_broker_once() -> None:
    world = World()
    world.write("a")
    ended: list[set[int]] = []

    def meanwhile(name: str) -> None:
        if name == "relay.after_commit":
            ended.append({decode_mark(m.value or b"")[0] for m in world.messages("orders.placed.v1.progress")})
            world.clock.sleep(2 * TICK)
            if len(ended) < 3:
                world.write("a")

    live(world.relay(meanwhile), world.outbox, 100)
    stamps = [int(record["recorded_at"]) for _, record in world.records(world.products[0])]
    assert ended[:3] == [set(), {stamps[0]}, {*stamps[:2]}]
    assert max(ended[-1]) >= stamps[2]
    check(world)


def test_what_was_committed_while_the_relay_was_away_is_recorded_when_it_was_committed() -> None:
    """The server answers a probe at once, with its clock as it is now, though it has yet to send what lies behind."""
    world = World()
    committed_at = world.clock.now()
    world.write("ab")
    world.clock.sleep(3_600_000_000)
    relay = world.relay()
    session = world.outbox.session()
    early = [keepalive(Keepalive(0, world.clock.now(), reply=False))]
    read = session.read
    session.read = lambda limit, timeout: [early.pop()] if early else read(limit, timeout)  # type: ignore[method-assign]
    world.outbox.session = lambda: session  # type: ignore[method-assign]
    relay.serve(countdown(20))
    assert {record["recorded_at"] for _, record in world.records(world.products[0])} == {committed_at}


def test_an_idle_source_lets_the_server_forget_its_log() -> None:
    world = World()
    world.live(50)
    for _ in range(20):
        world.outbox.roll_back([world.level("X")] * 100)
    world.live(200)
    slot = world.outbox.parts.slot
    assert slot is not None and slot.confirmed_lsn == world.outbox.lsn


def test_a_row_that_does_not_fit_goes_aside_with_its_reason_and_the_rest_goes_on() -> None:
    world = World()
    good, bad = world.order("a"), world.order("b")
    broken = OutboxEvent(**{**_fields(bad), "payload": '{"customer": "b", "number": "many", "occurred_at": 1}'})
    stray = OutboxEvent(**{**_fields(bad), "aggregatetype": "nobody.knows"})
    world.commit([good, broken, stray, world.order("c")])
    world.live(50)
    ids = [dict(m.headers)["id"] for m, _ in world.records(world.products[0])]
    assert len(ids) == 2 and good.id.encode() in ids
    aside = world.messages("orders.placed.v1.quarantine")
    assert {m.value for m in aside} == {broken.payload.encode(), bad.payload.encode()}  # type: ignore[union-attr]
    headers = [dict(m.headers) for m in aside]
    assert {h["quarantine.error.code"] for h in headers} == {b"HW-S040", b"HW-O025"}
    assert all(h["quarantine.stage"] == b"relay" and h["id"] == bad.id.encode() for h in headers)
    assert not any(b"many" in value for h in headers for value in h.values())
    assert [name for name, _ in world.heard].count("relay.quarantined") == 2


def test_a_logical_message_that_holds_no_row_goes_aside_whole_and_can_be_named() -> None:
    world = World()
    good, prefix = world.order("a"), "headwater.outbox:public.outbox"
    contents = [b"", b"\xff", b"[]", b"{}", b'{"id": 7}', b'{"id": "x"}', b'{"id": null}']
    row = world.message(good)
    contents += [row.content[:-1], row.content + b"x", row.content.replace(b'"kind"', b'"kindly"'), b"[" * 100_000]
    outside = LogicalMessage(prefix, row.content, transactional=False)
    heartbeat = LogicalMessage("headwater.heartbeat", b"")
    world.outbox.commit([row, heartbeat, *[LogicalMessage(prefix, content) for content in contents], outside])
    world.ledger.append((good.id,))
    world.live(100)
    check(world)
    aside = world.messages("orders.placed.v1.quarantine")
    assert sorted(m.value or b"" for m in aside) == sorted([*contents, row.content])
    codes = [dict(m.headers)["quarantine.error.code"] for m in aside]
    assert codes.count(b"HW-O060") == len(contents) and codes.count(b"HW-O061") == 1
    names = {UUID(dict(m.headers)["id"].decode()) for m in aside}
    assert len(names) == len(aside), "each can be named, though none has an id of its own"


def test_a_message_outside_any_transaction_is_set_aside_once_whatever_comes_again() -> None:
    world = World()
    world.write("a")
    world.outbox.emit_outside(LogicalMessage("headwater.outbox:public.outbox", b"{}", transactional=False))
    world.write("b")
    world.live(100, "relay.after_commit:1:raise")
    world.live(100, "relay.after_commit:1:raise")
    world.live(100)
    check(world)
    assert [m.value for m in world.messages("orders.placed.v1.quarantine")] == [b"{}"]


def test_current_holds_the_newest_record_of_each_identity() -> None:
    world = World(products=(order_events(ports=("topic", "current")), stock_facts(ports=("topic", "current"))))
    world.commit([world.level("X"), world.order("a"), world.level("X"), world.order("a")])
    world.live(50)
    world.broker.compact("stock.levels.v1.current")
    world.broker.compact("orders.placed.v1.current")
    assert [m.key for m in world.messages("stock.levels.v1.current")] == [b'["X","x",1,null]']
    assert len(world.messages("orders.placed.v1.current")) == 2


@pytest.mark.parametrize(
    "missing", ["orders.placed.v1", "orders.placed.v1.progress", "headwater.position.operations.public.outbox"]
)
def test_without_a_topic_the_relay_refuses_to_start(missing: str) -> None:
    world = World()
    world.broker.delete_topic(missing)
    with pytest.raises(CallerFault) as caught:
        world.relay().run(lambda: False)
    assert caught.value.code == "HW-O010" and "headwater apply" in caught.value.hint


def test_without_a_slot_the_relay_refuses_to_start() -> None:
    world = World()
    world.outbox.admin().drop_slot()
    with pytest.raises(Fault) as caught:
        world.relay().run(lambda: False)
    assert caught.value.code == "HW-O080" and "headwater relay repair" in caught.value.hint


def test_a_slot_ahead_of_the_position_is_an_alarm() -> None:
    world = World()
    world.commit([world.order("a")])
    world.outbox.confirmed(world.outbox.lsn)
    with pytest.raises(Fault) as caught:
        world.relay().run(lambda: False)
    assert caught.value.code == "HW-O015"


def test_a_database_that_is_away_is_one_message_while_the_relay_tries_again() -> None:
    world = World()
    world.commit([world.order("a")])
    world.outbox.away = True
    turns = [0]

    def stopping() -> bool:
        turns[0] += 1
        world.outbox.away = turns[0] < 30
        return turns[0] > 300

    world.relay().run(stopping)
    assert {fields["code"] for name, fields in world.heard if name == "relay.waiting"} <= {"HW-O030", "HW-O031"}
    check(world)


def test_a_second_relay_stands_by_until_the_first_is_gone() -> None:
    world = World()
    first = world.outbox.session()
    assert first.take_lease()
    world.commit([world.order("a")])
    world.relay().run(countdown(10))
    assert world.records(world.products[0]) == []
    assert any(fields.get("code") == "HW-O019" for _, fields in world.heard)
    first.close()
    world.relay().run(countdown(50))
    check(world)


def test_rows_of_a_clock_far_ahead_wait_and_are_not_lost() -> None:
    world = World()
    world.commit([world.order("a")], committed_at=world.clock.now() + 3_600_000_000)
    world.relay().run(countdown(100))
    assert world.records(world.products[0]) == []
    world.clock.sleep(3_600_000_000)
    world.live(50)
    check(world)


def countdown(turns: int) -> Callable[[], bool]:
    left = [turns]

    def stopping() -> bool:
        left[0] -= 1
        return left[0] < 0

    return stopping


def _fields(row: OutboxEvent) -> dict[str, object]:
    return {name: getattr(row, name) for name in OutboxEvent.__slots__}
