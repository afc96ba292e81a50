"""The idempotent consumer over fakes: whatever fails on the way, each update is told once, in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import CallerFault, Unreachable
from headwater.hooks import Hooks
from headwater.mesh.products import ResolvedProduct
from headwater.ports.consuming import ConsumeOptions, Consumer, Effects, Update
from headwater.ports.inbox import InboxTransaction, Kept
from headwater.ports.inbox_memory import MemoryInbox, MemoryInboxes
from headwater.ports.keys import key_bytes, partition_of
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import TopicDescription, TopicPartition
from headwater.schemas.codec import RowCodec, frame
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.source_products import make_topics, order_events, stock_facts
from headwater.testing.strategies import event_histories, fact_histories
from headwater.timeline.clock import ManualClock

Record = dict[str, Any]
PARTITIONS = 3
PROFILE = settings(max_examples=60, derandomize=True, deadline=None)


class Doubt(Exception):
    """What a handler raises."""


class World:
    """A product's topic, a database, and consumers that read the one into the other."""

    def __init__(self, product: ResolvedProduct) -> None:
        self.product, self.clock = product, ManualClock()
        self.broker, self.registry = MemoryBroker(self.clock), MemoryRegistry()
        make_topics([product], self.broker, self.registry)
        found = self.registry.find(product.output.subject, product.output.schema)
        assert found is not None
        self.prefix = frame(found.id, b"")
        self.home, self.inboxes = MemoryInboxes(), MemoryInbox
        self.heard: list[tuple[str, dict[str, object]]] = []
        self.sink = self.broker.sink("writer")
        self.sink.open()

    def write(self, *records: Record | bytes) -> None:
        output = self.product.output
        encode = RowCodec(output.schema).encode
        self.sink.begin()
        for record in records:
            if isinstance(record, bytes):
                self.sink.send(output.topic, b"k", record, timestamp=0, partition=0)
                continue
            key = key_bytes([record[name] for name in output.output.key])
            value = self.prefix + encode(record)
            self.sink.send(output.topic, key, value, timestamp=0, partition=partition_of(key, output.output.partitions))
        self.sink.flush()
        self.sink.commit()

    def consume(self, *, fails_at: int = 0, name: str = "board", **options: Any) -> None:
        """To the end; `fails_at` is the update, from 1, at which the handler raises."""
        left = [fails_at]

        def handle(update: Update, effects: list[object]) -> None:
            effects.append(update)
            left[0] -= 1
            if left[0] == 0:
                raise Doubt

        Consumer(
            name, self.product, self.broker, self.registry,
            Effects(lambda: self.inboxes(self.home, (name, self.product.output.topic)), handle),
            clock=self.clock, hooks=Hooks([lambda happening, fields: self.heard.append((happening, fields))]),
            options=ConsumeOptions(until_end=True, **options),
        ).run(lambda: False)  # fmt: skip

    def updates(self) -> list[Update]:
        return [update for update in self.home.effects if isinstance(update, Update)]


def folded(history: list[Record], identity: tuple[str, ...]) -> dict[Any, list[Update]]:
    """The plain reference: of each identity its revisions in order, each with what was known before it."""
    told: dict[Any, list[Update]] = defaultdict(list)
    for record in history:
        own = tuple(record[name] for name in identity)
        known = told[own]
        if not known or record["revision"] > known[-1].record["revision"]:
            after = None if record["kind"] == "retract" else record
            known.append(Update(known[-1].after if known else None, after, record))
    return dict(told)


def by_identity(updates: list[Update], identity: tuple[str, ...]) -> dict[Any, list[Update]]:
    told: dict[Any, list[Update]] = defaultdict(list)
    for update in updates:
        told[tuple(update.record[name] for name in identity)].append(update)
    return dict(told)


def order(record: Record) -> Record:
    return {"customer": record["k"], "number": record["n"], "note": None} | {
        name: record[name] for name in ("event_id", "occurred_at", "recorded_at", "kind", "revision")
    }


def level(record: Record) -> Record:
    return {"place": record["p"], "article": "x"} | {
        name: record[name] for name in ("count", "valid_from", "valid_to", "recorded_at", "kind", "revision")
    }


EVENTS = event_histories({"n": st.integers(0, 9)}, key="k")
CUTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), max_size=6)  # records written, update that fails


def lives(world: World, written: list[Record], cuts: list[tuple[int, int]]) -> None:
    """Write and read in turn; some readings fail in the middle. At the end all is written and read."""
    for count, fails_at in [*cuts, (len(written), 0)]:
        some, written = written[:count], written[count:]
        world.write(*some)
        try:
            world.consume(fails_at=fails_at)
        except Doubt:
            assert fails_at


@PROFILE
@given(EVENTS, CUTS)
def test_each_update_of_events_is_told_once_in_order_however_often_it_fails(
    history: list[Record], cuts: list[tuple[int, int]]
) -> None:
    world, written = World(order_events(partitions=PARTITIONS)), [order(record) for record in history]
    lives(world, written, cuts)
    assert by_identity(world.updates(), ("event_id",)) == folded(written, ("event_id",))


@PROFILE
@given(fact_histories({"count": st.integers(0, 9)}, key="p", keys=("ada", "bob", "cy")), CUTS)
def test_each_update_of_facts_is_told_once_in_order_however_often_it_fails(
    history: list[Record], cuts: list[tuple[int, int]]
) -> None:
    world, written = World(stock_facts(partitions=PARTITIONS)), [level(record) for record in history]
    lives(world, written, cuts)
    identity = ("place", "article", "valid_from", "valid_to")
    assert by_identity(world.updates(), identity) == folded(written, identity)


class Apart(MemoryInbox):
    """A saboteur: effects stay where the transaction does not, as of a handler that commits."""

    @contextmanager
    def transaction(self) -> Iterator[InboxTransaction]:
        with super().transaction() as made:
            try:
                yield made
            except Doubt:
                self._home.effects[:] = made.effects
                raise


class Forgetful(MemoryInbox):
    """A saboteur: keeps no versions."""

    @contextmanager
    def transaction(self) -> Iterator[InboxTransaction]:
        with super().transaction() as made:
            made.known = lambda identities: {}  # type: ignore[method-assign]
            yield made


def event(event_id: str, revision: int = 1, kind: str = "assert", customer: str = "ada") -> Record:
    return {
        "event_id": event_id, "customer": customer, "number": revision, "note": None, "occurred_at": 1,
        "recorded_at": 10 + revision, "kind": kind, "revision": revision,
    }  # fmt: skip


HISTORY = [event("a"), event("b"), event("a", 2, "correct"), event("a"), event("b", 2, "retract")]


@pytest.mark.parametrize("saboteur", [Apart, Forgetful])
def test_an_inbox_that_takes_a_liberty_is_found_out(saboteur: type[MemoryInbox]) -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.inboxes = saboteur
    lives(world, HISTORY, [(3, 2), (0, 0)])
    assert by_identity(world.updates(), ("event_id",)) != folded(HISTORY, ("event_id",))


def test_a_correction_comes_with_what_was_known_and_a_repeat_never() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(*HISTORY)
    world.consume()
    told = [(u.before and u.before["revision"], u.after and u.after["revision"]) for u in world.updates()]
    assert told == [(None, 1), (None, 1), (1, 2), (1, None)]
    committed = [fields for happening, fields in world.heard if happening == "consumer.committed"]
    assert sum(int(str(one["repeats"])) for one in committed) == 1


def test_one_that_begins_at_the_end_begins_there_once() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(event("a"))
    world.consume(start="end")
    world.write(event("b"))  # while nobody reads
    world.consume(start="end")
    assert [update.record["event_id"] for update in world.updates()] == ["b"]


def test_a_value_that_cannot_be_decoded_stops_behind_what_lies_before_it_or_is_passed_over() -> None:
    world = World(order_events(partitions=1))
    world.write(event("a"), b"\x00nothing", event("b"))
    for _ in range(2):
        with pytest.raises(CallerFault) as caught:
            world.consume()
        assert caught.value.code == "HW-K083" and "offset 1" in caught.value.message
    assert [update.record["event_id"] for update in world.updates()] == ["a"]
    world.consume(unreadable="skip")
    assert [update.record["event_id"] for update in world.updates()] == ["a", "b"]


def test_a_topic_made_anew_is_refused() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(event("a"))
    world.consume()
    topic = world.product.output.topic
    world.broker.delete_topic(topic)
    world.broker.create_topic(TopicDescription(topic, PARTITIONS, {}))
    with pytest.raises(CallerFault) as caught:
        world.consume()
    assert caught.value.code == "HW-K081"


def test_a_second_process_stands_by_and_says_so_and_an_away_database_is_waited_for() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(event("a"))
    other = world.home.inbox("board", world.product.output.topic)
    assert other.acquire()
    left = [5]

    class Away(MemoryInbox):
        def acquire(self) -> bool:
            left[0] -= 1
            if left[0] == 2:
                raise Unreachable("PostgreSQL does not answer", code="HW-O032")
            if left[0] == 0:
                other.close()
            return super().acquire()

    world.inboxes = Away
    world.consume()
    assert [fields["code"] for happening, fields in world.heard if happening == "consumer.waiting"] == [
        "HW-K080", "HW-O032", "HW-K080",
    ]  # fmt: skip
    assert len(world.updates()) == 1 and world.home.leases == set()


def test_versions_are_the_topics_own_bytes() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(event("a"), event("b", 3, "retract"))
    world.consume()
    kept = world.home.kept["board", world.product.output.topic]
    assert kept[b'["b"]'] == Kept(3, None)
    assert kept[b'["a"]'].value == world.prefix + RowCodec(world.product.output.schema).encode(event("a"))


def first(number: int, **more: Any) -> Record:
    record = {"event_id": f"e{number}", "customer": "ada", "number": 1, "note": None, "occurred_at": 1}
    return {**record, "recorded_at": 10 + number, "kind": "assert", "revision": 1, **more}


def corrected(number: int) -> Record:
    return first(number, note="corrected", kind="correct", revision=2)


def test_what_retention_has_removed_is_forgotten_and_nothing_else() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(*map(first, range(6)))
    world.consume(remember="retained")
    (kept,) = world.home.kept.values()
    assert len(kept) == 6
    place = TopicPartition(world.product.output.topic, partition_of(b"ada", PARTITIONS))
    world.write(first(1), corrected(5))  # a repeat, and a correction
    world.broker.delete_before({place: 4})
    world.consume(remember="retained")
    (kept,) = world.home.kept.values()
    assert sorted(kept) == [b'["e1"]', b'["e4"]', b'["e5"]'], "what was repeated is in the topic still"
    assert ("consumer.forgot", {"consumer": "board", "versions": 3}) in world.heard
    world.write(corrected(0), corrected(5))
    world.consume(remember="retained")
    told = [(update.record["event_id"], update.record["revision"]) for update in world.updates()]
    assert told == [*((f"e{number}", 1) for number in range(6)), ("e5", 2), ("e0", 2)]
    assert world.updates()[-1].before is None, "nobody knows any more what it was"


def test_all_is_remembered_where_nothing_else_is_said() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(*map(first, range(6)))
    world.consume()
    world.broker.delete_before({TopicPartition(world.product.output.topic, partition_of(b"ada", PARTITIONS)): 4})
    world.consume()
    (kept,) = world.home.kept.values()
    assert len(kept) == 6
