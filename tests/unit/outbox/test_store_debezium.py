"""The relay over what Debezium captured: the same ledger, the same checks, and the same topics as the native lane's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.unit.outbox.test_relay import FAILPOINTS, TICK, World, check, countdown

from headwater import naming
from headwater.errors import CallerFault, Fault, HeadwaterError
from headwater.hooks import FailpointReached, Hooks, arm
from headwater.outbox.batching import Limits
from headwater.outbox.debezium import CAPTURE_TOPIC_SETTINGS
from headwater.outbox.event import OutboxEvent
from headwater.outbox.relay import Relay, RelayOptions
from headwater.outbox.source import OutboxSource, ensure_source
from headwater.outbox.store_debezium import SILENCE_LIMIT, DebeziumOutbox
from headwater.outbox.store_memory import MemoryOutbox
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import Message, TopicDescription
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.debezium_memory import MemoryCompanion, MemoryDebezium
from headwater.testing.source_products import make_topics


@dataclass
class LaneWorld(World):
    """As `World`, with Debezium between the outbox and the relay."""

    def __post_init__(self) -> None:
        self.broker = MemoryBroker(self.clock)
        self.registry = MemoryRegistry()
        self.outbox = MemoryOutbox(self.clock)
        self.source = OutboxSource("operations", "public.outbox", self.products, "debezium")
        self.heard = []
        self.ledger = []
        self.numbers = {}
        make_topics(self.products, self.broker, self.registry)
        self.debezium = MemoryDebezium(self.outbox, self.broker, source=self.source.name, clock=self.clock)
        ensure_source(self.source, self.outbox.admin(), self.broker)
        self.silent = False

    def companion(self) -> MemoryCompanion:
        return MemoryCompanion(self.debezium, (lambda: None) if self.silent else self.debezium.pulse)

    def relay(self, failpoint: str = "") -> Relay:
        store = DebeziumOutbox(
            self.broker, self.companion, source=self.source.name, table="public.outbox", clock=self.clock
        )
        return Relay(
            self.source, store, self.broker, self.registry, clock=self.clock, failpoint=arm(failpoint),
            hooks=Hooks([lambda name, fields: self.heard.append((name, fields))]),
            options=RelayOptions(tick=TICK, limits=Limits(rows=self.rows_limit), read_limit=3),
        )  # fmt: skip

    def live(self, turns: int, failpoint: str = "") -> None:
        try:
            self.relay(failpoint).serve(countdown(turns))
        except FailpointReached:
            assert self.debezium.holder is None, "the lease goes with the session"


WRITE = st.tuples(st.just("write"), st.lists(st.sampled_from("abcXY12"), max_size=9), st.integers(-300_000, 300_000))
LARGE = st.tuples(st.just("write"), st.lists(st.sampled_from("abX1"), min_size=8, max_size=22), st.integers(-9, 9))
CAPTURE = st.tuples(st.just("capture"), st.just([]), st.integers(1, 12))
REPEAT = st.tuples(st.just("repeat"), st.just([]), st.integers(1, 6))
CRASH = st.tuples(st.just("crash"), st.sampled_from(FAILPOINTS), st.integers(1, 6))
LIVE = st.tuples(st.just("live"), st.just([]), st.integers(1, 30))
WAIT = st.tuples(st.just("wait"), st.just([]), st.integers(1, 3_000_000))
STEPS = st.lists(st.one_of(WRITE, WRITE, LARGE, CAPTURE, CAPTURE, REPEAT, CRASH, CRASH, LIVE, WAIT), max_size=25)


@settings(max_examples=25, phases=[Phase.explicit, Phase.generate, Phase.shrink])
@given(STEPS)
def test_wherever_connect_cuts_and_whatever_ends_the_relay_each_row_is_seen_once_and_in_order(
    steps: list[tuple],
) -> None:
    world = LaneWorld()
    for action, what, amount in steps:
        if action == "write":
            world.clock.sleep(1_000)
            world.write(what, ahead=amount)
        elif action == "capture":
            world.debezium.capture(amount)
        elif action == "repeat":
            repeat_within_the_open_transaction(world.debezium, amount)
        elif action == "wait":
            world.clock.sleep(amount)
        else:
            world.live(amount if action == "live" else 100, f"relay.{what}:{amount}:raise" if what else "")
    world.debezium.capture()
    world.live(1_000)
    check(world)


def repeat_within_the_open_transaction(debezium: MemoryDebezium, amount: int) -> None:
    """What a worker sends again that was restarted in the middle of a transaction: its start, and rows of it."""
    ended = [place for place, one in enumerate(debezium.sent) if one.get("status") == "END"]
    open_ones = debezium.sent[ended[-1] + 1 if ended else 0 :]
    if open_ones:
        debezium.begin_again()
        debezium.send(open_ones[-amount:] if len(open_ones) > 1 else [])


@settings(max_examples=15)
@given(st.lists(st.lists(st.sampled_from("abcXY12!"), max_size=12), max_size=12), st.integers(1, 7))
def test_both_lanes_give_the_same_topics(transactions: list[list[str]], cut: int) -> None:
    """Ids, keys, headers, order, values, times and quarantine; what says where a row came from aside."""
    native, lane = World(), LaneWorld()
    for names in transactions:
        native.clock.sleep(1_000)
        lane.clock.sleep(1_000)
        rows = [native.order("x" if name == "!" else name) if name.islower() or name == "!" else native.level(name)
                for name in names]  # fmt: skip
        rows = [bad(row) if name == "!" else row for row, name in zip(rows, names, strict=True)]
        messages = [name.isdigit() for name in names]
        native.commit(rows, messages=messages)
        lane.commit(rows, messages=messages)
        lane.debezium.capture(cut)
    lane.debezium.capture()
    native.live(200)
    lane.live(200)
    for product in native.products:
        for topic in (product.output.topic, f"{product.output.topic}.quarantine", f"{product.output.topic}.current"):
            if native.broker.describe([topic]):
                assert plain(native.messages(topic)) == plain(lane.messages(topic))


def bad(row: OutboxEvent) -> OutboxEvent:
    return replace(row, kind="perhaps")  # type: ignore[arg-type]


def plain(messages: list[Message]) -> list[tuple]:
    """Without offsets, which transactions' ends shift, and without the place of origin, which is the lane's own."""
    return [
        (
            one.partition, one.key, one.value, one.timestamp,
            [(name, value) for name, value in one.headers if name not in ("quarantine.partition", "quarantine.offset")],
        )
        for one in messages
    ]  # fmt: skip


def test_a_transaction_whose_end_is_not_captured_yet_is_not_marked_past() -> None:
    world = LaneWorld(rows_limit=2)
    world.silent = True  # a pulse would bring the rest with it
    world.write("abcab")
    world.debezium.capture(4)
    world.live(60)
    marks = world.messages(f"{world.products[0].output.topic}.progress")
    published = world.records(world.products[0])
    assert len(published) == 2 and len({record["recorded_at"] for _, record in published}) == 1
    assert marks == []
    world.debezium.capture()
    world.live(60)
    check(world)
    assert len({record["recorded_at"] for _, record in world.records(world.products[0])}) == 1


@pytest.mark.parametrize("lost", [1, 2, 4])
def test_a_captured_record_that_is_missing_stops_the_lane(lost: int) -> None:
    """Row 1, row 2, or the end: the order and the count tell."""
    world = LaneWorld()
    world.write("ab")
    world.write("c")
    held = []
    world.debezium.send, send = held.extend, world.debezium.send  # type: ignore[method-assign]
    world.debezium.capture()
    send([record for place, record in enumerate(held) if place != lost - (lost == 4)])
    with pytest.raises(Fault) as stopped:
        world.live(50)
    assert stopped.value.code == "HW-O127"


def test_a_transaction_that_comes_again_stops_the_lane() -> None:
    """As a worker without exactly-once sends it that was killed before it had kept how far it was."""
    world = LaneWorld()
    world.write("ab")
    world.write("c")
    world.debezium.capture()
    world.debezium.send([dict(record) for record in world.debezium.sent[:4]])
    with pytest.raises(Fault) as stopped:
        world.live(50)
    assert stopped.value.code == "HW-O127"
    ids = [dict(message.headers)["id"] for message, _ in world.records(world.products[0])]
    assert len(ids) == len(set(ids))


def test_the_native_relay_refuses_the_position_of_the_lane_and_the_lane_that_of_the_native_relay() -> None:
    lane, native = LaneWorld(), World()
    for world, code in ((lane, "HW-O125"), (native, "HW-O124")):
        relay = Relay(world.source, lane_store(world) if world is native else world.outbox, world.broker,
                      world.registry, clock=world.clock)  # fmt: skip
        with pytest.raises(CallerFault) as refused:
            relay.serve(countdown(5))
        assert refused.value.code == code


def lane_store(world: World) -> DebeziumOutbox:
    debezium = MemoryDebezium(world.outbox, world.broker, source=world.source.name, clock=world.clock)
    return DebeziumOutbox(
        world.broker, debezium.companion, source=world.source.name, table="public.outbox", clock=world.clock
    )


def test_a_capture_topic_that_was_made_anew_is_an_alarm() -> None:
    world = LaneWorld()
    world.write("a")
    world.debezium.capture()
    world.live(20)
    topic = naming.capture_topic(world.source.name)
    world.broker.delete_topic(topic)
    refused(world, "HW-O121")
    world.broker.create_topic(TopicDescription(topic, 1, dict(CAPTURE_TOPIC_SETTINGS)))
    refused(world, "HW-O122")


def test_a_dropped_publication_is_said() -> None:
    world = LaneWorld()
    world.debezium.published = False
    refused(world, "HW-O121")


def test_a_lane_that_gives_no_answer_is_said_and_waited_for() -> None:
    world = LaneWorld()
    world.silent = True
    started = world.clock.monotonic()
    with pytest.raises(HeadwaterError) as silent:
        world.live(10_000)
    assert silent.value.code == "HW-O126" and silent.value.retriable
    assert world.clock.monotonic() - started >= SILENCE_LIMIT
    world.silent = False
    world.write("a")
    world.debezium.capture()
    world.live(50)
    check(world)


def test_a_second_relay_of_the_lane_stands_by() -> None:
    world = LaneWorld()
    holder = world.companion()
    assert holder.take_lease()
    world.live(3)
    assert ("relay.waiting", "HW-O019") in [(name, fields.get("code")) for name, fields in world.heard]


def refused(world: LaneWorld, code: str) -> None:
    with pytest.raises(HeadwaterError) as found:
        world.live(5)
    assert found.value.code == code
