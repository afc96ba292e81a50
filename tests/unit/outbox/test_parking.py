"""Parked keys, repairs and commands against a plain model, the relay ended at any step, as often as chance will.

The model is a list of rows in the order of commits and a queue for each parked key; it knows nothing of batches, topics
or crashes. What it says was published, key by key, must be what readers see; and every row must be in one place.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from headwater.errors import HeadwaterError
from headwater.hooks import Hooks, arm
from headwater.mesh.products import ResolvedProduct
from headwater.outbox import desk, parked, resolving
from headwater.outbox.batching import Limits
from headwater.outbox.commands import Command, command_row
from headwater.outbox.emitter import event_of
from headwater.outbox.event import OutboxEvent
from headwater.outbox.relay import Relay, RelayOptions
from headwater.outbox.source import OutboxSource, ensure_source
from headwater.outbox.store_memory import MemoryOutbox
from headwater.ports.memory import MemoryBroker
from headwater.ports.progress import decode_mark
from headwater.ports.record import Message
from headwater.schemas.codec import RowCodec, unframe
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.lives import live, messages_of
from headwater.testing.source_products import make_topics, order_events, source_product
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant

TICK = 100_000
START = Instant(1_000_000_000_000_000)
FAILPOINTS = ("before_begin", "after_position", "after_send", "in_commit", "after_commit", "after_feedback")


@dataclass
class Model:
    """What must come of rows and commands, in the order of commits."""

    parks: frozenset[str]
    published: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # product and key: row ids
    state: dict[str, str] = field(default_factory=dict)  # row id: published, open, parked, repaired, discarded, command
    rows: dict[str, OutboxEvent] = field(default_factory=dict)
    queues: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # of parked keys; the head first

    def take(self, row: OutboxEvent, bad: bool) -> None:
        self.rows[row.id] = row
        at = (row.aggregatetype, row.aggregateid)
        if row.type == "headwater.quarantine":
            self.state[row.id] = "command"
            assert row.payload is not None
            self.obey(json.loads(row.payload))
        elif row.replay_of is not None:
            self.repair(row, at, bad)
        elif at in self.queues:
            self.queues[at].append(row.id)
            self.state[row.id] = "parked"
        elif bad:
            self.state[row.id] = "open"
            if row.aggregatetype in self.parks:
                self.queues[at] = [row.id]
        else:
            self.publish(row)

    def repair(self, row: OutboxEvent, at: tuple[str, str], bad: bool) -> None:
        target = row.replay_of or ""
        blocked = at in self.queues and self.queues[at][0] != target
        mine = self.rows.get(target)
        if mine is None or mine.aggregatetype != row.aggregatetype or self.state.get(target) != "open":
            blocked = True
        if blocked or bad:
            self.state[row.id] = "discarded"
            return
        self.publish(row)
        self.gone(target, "repaired")

    def obey(self, command: dict[str, str]) -> None:
        target = command["id"]
        row = self.rows.get(target)
        if row is None:
            return
        at = (row.aggregatetype, row.aggregateid)
        state = self.state[target]
        if command["action"] == "discard" and state in ("open", "parked"):
            self.gone(target, "discarded")
        elif command["action"] == "unpark" and at in self.queues:
            if state == "parked" or self.queues[at][0] == target:
                self.queues[at].pop(0)
                self.go_on(at)
        elif command["action"] == "release" and state == "parked":
            self.queues[at].pop(0)
            self.go_on(at)

    def gone(self, target: str, state: str) -> None:
        row = self.rows[target]
        at = (row.aggregatetype, row.aggregateid)
        self.state[target] = state
        queue = self.queues.get(at, [])
        if target in queue:
            head = queue[0] == target
            queue.remove(target)
            if head:
                self.go_on(at)

    def go_on(self, at: tuple[str, str]) -> None:
        queue = self.queues[at]
        while queue:
            row = self.rows[queue[0]]
            if is_bad(row):
                self.state[row.id] = "open"
                return
            self.publish(row)
            queue.pop(0)
        del self.queues[at]

    def publish(self, row: OutboxEvent) -> None:
        self.published.setdefault((row.aggregatetype, row.aggregateid), []).append(row.id)
        self.state[row.id] = "published"


def is_bad(row: OutboxEvent) -> bool:
    return row.payload is not None and '"many"' in row.payload


class World:
    """A source with a product that parks keys and one that goes on, and the model beside it."""

    def __init__(self, *, batch_rows: int = 5, release_rows: int = 10_000) -> None:
        self.clock = ManualClock(START)
        names = [{"name": "customer", "type": "string"}, {"name": "number", "type": "long"}]
        at = {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-micros"}}
        self.products: tuple[ResolvedProduct, ...] = (
            order_events(on_invalid="park-key", partitions=2),
            source_product("orders.returned", [*names, at], key=("customer",), partitions=2),
        )
        self.broker, self.registry = MemoryBroker(self.clock), MemoryRegistry()
        self.outbox = MemoryOutbox(self.clock)
        self.source = OutboxSource("operations", "public.outbox", self.products)
        self.model = Model(frozenset(["orders.placed"]))
        self.heard: list[tuple[str, dict[str, object]]] = []
        self.batch_rows, self.release_rows = batch_rows, release_rows
        self.written: list[OutboxEvent] = []
        self.number = 0
        make_topics(self.products, self.broker, self.registry)
        ensure_source(self.source, self.outbox.admin(), self.broker)

    def row(self, what: str, *, replay_of: str | None = None) -> OutboxEvent:
        """`a` is a good row of a product that parks, `A` a bad one; `x` and `X` are of the product that goes on."""
        self.number += 1
        product = self.products[0 if what.lower() in "abc" else 1]
        record: dict[str, object] = {"customer": what.lower(), "number": self.number, "occurred_at": 1}
        row = event_of(product, record)
        fields = {name: getattr(row, name) for name in OutboxEvent.__slots__} | {"replay_of": replay_of}
        if what.isupper():
            fields["payload"] = (row.payload or "").replace(f'"number":{self.number}', '"number":"many"')
        return OutboxEvent(**fields)

    def commit(self, rows: list[OutboxEvent]) -> None:
        self.clock.sleep(1_000)
        self.outbox.commit(rows)
        for row in rows:
            self.written.append(row)
            self.model.take(row, is_bad(row))

    def repair(self, target: OutboxEvent, *, bad: bool = False, key: str = "") -> OutboxEvent:
        letter = key or target.aggregateid
        return self.row(letter.upper() if bad else letter, replay_of=target.id)

    def command(self, action: str, target: OutboxEvent) -> OutboxEvent:
        command = Command(action, target.id, by="ann", reason="for a test")  # type: ignore[arg-type]
        return command_row(target.aggregatetype, target.aggregateid, command)

    def relay(self, failpoint: str = "") -> Relay:
        limits, release = Limits(rows=self.batch_rows), Limits(rows=self.release_rows)
        options = RelayOptions(tick=TICK, limits=limits, release=release, read_limit=7)
        hooks = Hooks([lambda name, fields: self.heard.append((name, fields))])
        return Relay(
            self.source, self.outbox, self.broker, self.registry,
            clock=self.clock, hooks=hooks, failpoint=arm(failpoint), options=options,
        )  # fmt: skip

    def live(self, turns: int = 1_000, failpoint: str = "") -> None:
        live(self.relay(failpoint), self.outbox, turns)

    def messages(self, topic: str) -> list[Message]:
        return messages_of(self.broker, topic)


def check(world: World) -> None:
    """The topics say what the model says, and nothing else."""
    published: dict[tuple[str, str], list[str]] = {}
    states: dict[str, str] = {}
    for product in world.products:
        stamps: dict[int, int] = {}
        decode = RowCodec(product.output.schema).decode
        records = world.messages(product.output.topic)
        for message in records:
            row_id = dict(message.headers)["id"].decode()
            published.setdefault((str(product.name), (message.key or b"").decode()), []).append(row_id)
            assert row_id not in states, "published once"
            states[row_id] = "published"
            recorded_at = int(decode(unframe(message.value)[1])["recorded_at"])
            assert recorded_at >= stamps.get(message.partition, 0), "recorded time never goes back"
            stamps[message.partition] = recorded_at
        check_marks(world, product, records, decode)
    assert published == world.model.published
    assert states | quarantine_states(world, states) == world.model.state


def check_marks(world: World, product: ResolvedProduct, records: list[Message], decode: object) -> None:
    for mark in world.messages(f"{product.output.topic}.progress"):
        through, offset = decode_mark(mark.value or b"")
        later = [m for m in records if m.partition == mark.partition and m.offset >= offset]
        assert all(decode(unframe(m.value)[1])["recorded_at"] > through for m in later), "a mark told the truth"  # type: ignore[operator]


def quarantine_states(world: World, published: dict[str, str]) -> dict[str, str]:
    """Read off the headers, with nothing of the relay's own."""
    states: dict[str, str] = {}
    for product in world.products:
        for message in world.messages(f"{product.output.topic}.quarantine"):
            headers = {name: value.decode() for name, value in message.headers}
            row_id, outcome = headers["id"], headers.get("quarantine.resolution", "")
            if "quarantine.command" in headers:
                assert headers["quarantine.command"] not in states, "a command is told once"
                states[headers["quarantine.command"]] = "command"
            if "quarantine.topic" in headers:
                assert row_id not in states, "set aside once"
                states[row_id] = outcome or "open"
            elif outcome == "refused":
                assert states[row_id] == "parked"
                states[row_id] = "open"
            elif outcome in ("repaired", "released", "discarded"):
                assert states[row_id] in ("open", "parked"), "resolved once"
                assert outcome != "released" or published[row_id] == "published"
                states[row_id] = "published" if outcome == "released" else outcome
    return states


WRITE = st.tuples(st.just("write"), st.lists(st.sampled_from("aaaabcAABxX"), min_size=1, max_size=7), st.just(0))
MANY = st.tuples(st.just("write"), st.lists(st.sampled_from("aab"), min_size=8, max_size=20), st.just(0))
FIXES = ["repair", "repair bad", "repair other", "discard", "unpark", "release"]
FIX = st.tuples(st.sampled_from(FIXES), st.just([]), st.integers(0, 60))
HEAD = st.tuples(st.sampled_from(["repair", "discard", "unpark"]), st.just("head"), st.integers(0, 60))
CRASH = st.tuples(st.just("crash"), st.sampled_from(FAILPOINTS), st.integers(1, 6))
LIVE = st.tuples(st.just("live"), st.just([]), st.integers(1, 30))
FALL_BACK = st.tuples(st.just("fall back"), st.just([]), st.integers(0, 100))
STEPS = st.lists(st.one_of(WRITE, WRITE, MANY, FIX, HEAD, HEAD, CRASH, LIVE, FALL_BACK), max_size=30)


def play(world: World, steps: list[tuple]) -> None:
    first_lsn = world.outbox.lsn
    for action, what, amount in steps:
        if action == "write":
            world.commit([world.row(letter) for letter in what])
        elif action == "crash":
            world.live(100, f"relay.{what}:{amount}:raise")
        elif action == "live":
            world.live(amount)
        elif action == "fall back":
            world.outbox.fall_back(first_lsn + (world.outbox.lsn - first_lsn) * amount // 100)
        elif target := chosen(world, what, amount):
            world.commit([fix(world, action, target)])
    world.live()
    world.live()


def chosen(world: World, what: object, amount: int) -> OutboxEvent | None:
    """A row to act on: a head of a parked key, or any that is or was in quarantine, resolved ones too."""
    model = world.model
    if what == "head":
        heads = [model.rows[queue[0]] for queue in model.queues.values()]
    else:
        known = ("open", "parked", "repaired", "discarded")
        heads = [row for row in world.written if model.state[row.id] in known]
    return heads[amount % len(heads)] if heads else None


def fix(world: World, action: str, target: OutboxEvent) -> OutboxEvent:
    if action == "repair other":
        return world.repair(target, key="b" if target.aggregatetype == "orders.placed" else "x")
    if action.startswith("repair"):
        return world.repair(target, bad=action == "repair bad")
    return world.command(action, target)


@settings(max_examples=80, phases=[Phase.explicit, Phase.generate, Phase.shrink])
@given(STEPS)
def test_whatever_ends_the_relay_each_row_is_where_the_model_says(steps: list[tuple]) -> None:
    world = World()
    play(world, steps)
    check(world)


@settings(max_examples=30, phases=[Phase.explicit, Phase.generate, Phase.shrink])
@given(
    st.lists(
        st.tuples(st.one_of(WRITE, MANY), HEAD, st.lists(st.one_of(CRASH, CRASH, WRITE, LIVE), max_size=5)), max_size=6
    )
)
def test_whatever_ends_a_release_in_parts_it_goes_on_where_it_was(rounds: list[tuple]) -> None:
    # A command that speaks of a key which is being released may be refused: so each is let come to its end first.
    world = World(batch_rows=4, release_rows=2)
    for write, command, trouble in rounds:
        play(world, [write])
        play(world, [command, *trouble])
    check(world)


def test_a_key_waits_for_its_repair_and_others_do_not() -> None:
    world = World()
    bad = world.row("A")
    world.commit([world.row("a"), bad, world.row("a"), world.row("b"), world.row("X"), world.row("x")])
    world.live(50)
    assert world.model.state[bad.id] == "open"
    check(world)
    world.commit([world.row("a"), world.repair(bad)])
    world.live(50)
    assert len(world.model.published["orders.placed", "a"]) == 4
    check(world)
    assert [fields["outcome"] for name, fields in world.heard if name == "relay.resolved"].count("released") == 2
    assert sum(name == "relay.parked" for name, _ in world.heard) == 2


def test_a_long_queue_goes_out_in_parts_and_a_crash_between_them_repeats_nothing() -> None:
    world = World(batch_rows=4, release_rows=3)
    bad, second = world.row("A"), world.row("A")
    world.commit([bad])
    for _ in range(10):
        world.commit([world.row("a") for _ in range(3)])
    world.commit([second, world.row("a")])
    world.live(200)
    passed = world.written[7]
    world.commit([world.command("discard", passed)])
    world.commit([world.command("discard", bad)])
    for nth in range(1, 9):
        world.live(400, f"relay.{FAILPOINTS[nth % 6]}:{nth}:raise")
        world.commit([world.row("a")])
    world.live()
    check(world)
    assert world.model.state[second.id] == "open" and world.model.state[passed.id] == "discarded"
    world.commit([world.repair(second)])
    world.live()
    check(world)
    assert not world.model.queues


def test_repairs_and_parked_keys_among_rows_that_are_read_as_columns() -> None:
    world = World(batch_rows=1_000)
    bad, worse = world.row("X"), world.row("A")
    world.commit([bad, worse])
    world.live(50)
    many = [world.row(letter) for letter in "xaxb" * 50]
    world.commit([*many, world.repair(bad), world.repair(bad), world.repair(worse), world.row("A")])
    world.commit([world.row(letter) for letter in "xaxb" * 50])
    world.live(300)
    check(world)
    assert list(world.model.state.values()).count("parked") == 50


def test_a_second_repair_is_kept_and_discarded_and_publishes_nothing() -> None:
    world = World()
    bad = world.row("X")
    world.commit([bad])
    world.live(50)
    first, second = world.repair(bad), world.repair(bad)
    world.commit([first, second])
    world.live(50)
    third = world.repair(bad)
    world.commit([third])
    world.live(50)
    check(world)
    assert [world.model.state[row.id] for row in (bad, first, second, third)] == [
        "repaired", "published", "discarded", "discarded",
    ]  # fmt: skip
    refused = [dict(m.headers) for m in world.messages("orders.returned.v1.quarantine") if m.value is not None]
    assert [h["quarantine.error.code"] for h in refused] == [b"HW-S040", b"HW-O103", b"HW-O103"]


def test_an_entry_that_fits_by_now_is_released_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    bad = world.row("X")
    world.commit([bad])
    world.live(50)
    world.commit([world.command("release", bad)])
    world.live(50)
    check(world)  # it fits as little as before
    # A contract that lets the row through: here by mending what the quarantine keeps of it.
    kept = resolving.kept_row
    monkeypatch.setattr(
        resolving, "kept_row", lambda *a: tuple(v.replace(b'"many"', b"7") if v else v for v in kept(*a))
    )
    world.commit([world.command("release", bad)])
    world.live(50)
    assert [dict(m.headers)["id"] for m in world.messages("orders.returned.v1")] == [bad.id.encode()]


def test_rows_that_say_nothing_of_an_entry_there_is_are_accounted_for() -> None:
    world = World()
    nobody = world.row("x", replay_of=str(uuid.uuid4()))
    unread = OutboxEvent(str(uuid.uuid4()), "orders.placed", "a", "headwater.quarantine", '{"action": "explode"}')
    gone = world.command("discard", world.row("a"))
    world.outbox.commit([nobody, unread, gone])
    world.live(50)
    assert quarantine_states(world, {}) == {nobody.id: "discarded", unread.id: "command", gone.id: "command"}


@pytest.mark.parametrize(
    "saboteur", ["nobody", "forgets the parked keys at a start", "publishes each repair", "forgets what it released"]
)
def test_a_saboteur_is_found(saboteur: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if saboteur.endswith("at a start"):
        monkeypatch.setattr(desk, "parked_keys", lambda *_: parked.ParkedKeys())
    elif saboteur.startswith("publishes"):
        monkeypatch.setattr(desk.Desk, "_concerned", lambda *_: False)
    elif saboteur != "nobody":
        monkeypatch.setattr(parked, "_DEALT", ())
    world = World(batch_rows=3, release_rows=3)
    bad = world.row("A")
    world.commit([bad, *[world.row("a") for _ in range(8)]])
    world.live(50)
    world.commit([world.repair(bad), world.repair(bad)])
    world.live(8)
    found = False
    try:
        world.live(60)
        check(world)
    except (AssertionError, KeyError):
        found = True
    assert found == (saboteur != "nobody")


def test_without_its_quarantine_the_relay_stops_drops_nothing_and_publishes_once_after_the_mend() -> None:
    world = World()
    world.commit([world.row("a")])
    world.live(50)
    world.broker.delete_topic("orders.placed.v1.quarantine")
    world.commit([world.row("a"), world.row("A"), world.row("b")])
    with pytest.raises(HeadwaterError) as caught:
        world.live(50)
    assert caught.value.code == "HW-O010"
    assert len(world.messages("orders.placed.v1")) == 1
    make_topics(world.products, world.broker, world.registry)
    world.live(50)
    check(world)


def test_a_quarantine_that_goes_while_the_relay_runs_stops_it_in_the_transaction_of_the_bad_row() -> None:
    world = World()
    world.commit([world.row("a"), world.row("X")])
    turns = [0]

    def stopping() -> bool:
        turns[0] += 1
        if turns[0] == 1:
            world.broker.delete_topic("orders.returned.v1.quarantine")
        return turns[0] > 50

    with pytest.raises(HeadwaterError):
        world.relay().serve(stopping)
    world.outbox.sever()
    assert world.messages("orders.placed.v1") == []
    make_topics(world.products, world.broker, world.registry)
    world.live(50)
    check(world)
