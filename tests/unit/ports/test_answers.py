"""The topic's answers over a broker in memory: equal to the plain reference, settled where marks say so, whole keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater import naming
from headwater.errors import CallerFault
from headwater.mesh.products import ResolvedProduct
from headwater.ports.answers import Question, TopicAnswers
from headwater.ports.keys import key_bytes, partition_of
from headwater.ports.memory import MemoryBroker
from headwater.ports.progress import encode_mark, mark_key
from headwater.schemas.codec import RowCodec, frame
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.sdk.open import OpenProduct
from headwater.testing.oracles import events_as_of, fact_as_of
from headwater.testing.source_products import make_topics, order_events, stock_facts
from headwater.testing.strategies import event_histories, fact_histories
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant

Record = dict[str, Any]
TICK = 10
PARTITIONS = 3
KEYS = ("ada", "bob", "cy")
PROFILE = settings(max_examples=25, derandomize=True, deadline=None)


class World:
    """A product's topic with records in it, as a relay would have written them."""

    def __init__(self, product: ResolvedProduct) -> None:
        self.product = product
        self.clock = ManualClock()
        self.broker = MemoryBroker(self.clock)
        self.registry = registry = MemoryRegistry()
        make_topics([product], self.broker, registry)
        found = registry.find(product.output.subject, product.output.schema)
        assert found is not None
        self.prefix = frame(found.id, b"")
        self.answers = TopicAnswers(self.broker, registry, product, tick=TICK)
        self.opened = OpenProduct(product, self.broker, registry, tick=TICK)
        self.sink = self.broker.sink("writer")
        self.sink.open()
        self.ends: dict[int, int] = {}

    def write(self, *records: Record, marked: int | None = None, garbage: bool = False) -> None:
        output = self.product.output
        encode = RowCodec(output.schema).encode
        self.sink.begin()
        for record in records:
            key = key_bytes([record[name] for name in output.output.key])
            partition = partition_of(key, PARTITIONS)
            value = self.prefix + encode(record)
            self.sink.send(output.topic, key, value, timestamp=0, partition=partition)
        if garbage:
            self.sink.send(output.topic, b"ada", b"\x00nothing", timestamp=0, partition=0)
        for place, end in self.sink.flush().items():
            self.ends[place.partition] = end
        if marked is not None:
            topic = naming.progress_topic(self.product.name, self.product.major)
            for number in range(PARTITIONS):
                mark = encode_mark(marked, self.ends.get(number, 0))
                self.sink.send(topic, mark_key(number), mark, timestamp=0, partition=number)
        self.sink.commit()


def order(record: Record) -> Record:
    return {"customer": record["k"], "number": record["n"], "note": None} | {
        name: record[name] for name in ("event_id", "occurred_at", "recorded_at", "kind", "revision")
    }


def level(record: Record) -> Record:
    return {"place": record["p"], "article": "x"} | {
        name: record[name] for name in ("count", "valid_from", "valid_to", "recorded_at", "kind", "revision")
    }


@PROFILE
@given(event_histories({"n": st.integers(0, 9)}, key="k"), st.integers(0, 200), st.integers(0, 60))
def test_events_are_as_the_whole_history_has_them(history: list[Record], recorded_at: int, valid_at: int) -> None:
    world = World(order_events(partitions=PARTITIONS))
    written = [order(record) for record in history]
    world.write(*written)
    answer = world.answers.as_of(Question(Instant(valid_at), Instant(recorded_at)))
    expected = [event for event in events_as_of(written, recorded_at) if event["occurred_at"] <= valid_at]
    assert {row["event_id"]: row for row in answer.rows} == {event["event_id"]: event for event in expected}


@PROFILE
@given(fact_histories({"count": st.integers(0, 9)}, key="p", keys=KEYS), st.integers(0, 200), st.integers(0, 60))
def test_facts_are_as_the_whole_history_has_them(history: list[Record], recorded_at: int, valid_at: int) -> None:
    world = World(stock_facts(partitions=PARTITIONS))
    written = [level(record) for record in history]
    world.write(*written)
    for place in KEYS:
        key = {"place": place, "article": "x"}
        answer = world.opened.as_of(valid=valid_at, recorded=recorded_at, key=key)
        expected = fact_as_of(written, key, valid_at, recorded_at)
        assert list(answer.rows) == ([] if expected is None else [expected])


FIRST = {
    "event_id": "a", "customer": "ada", "number": 1, "note": None,
    "occurred_at": 3, "recorded_at": 25, "kind": "assert", "revision": 1,
}  # fmt: skip


def test_an_answer_is_settled_only_as_far_as_every_partition_is() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(FIRST)
    assert world.answers.as_of(Question(recorded_at=Instant(19))).settled is False, "the idle partitions say nothing"
    one_key = world.answers.as_of(Question(recorded_at=Instant(19), key=("ada",)))
    assert (one_key.settled_to, one_key.settled) == (19, True), "the tick before the last record of the key's partition"
    world.write(marked=49)
    answer = world.answers.as_of(Question(recorded_at=Instant(49)))
    assert (answer.settled_to, answer.settled, len(answer.rows)) == (49, True, 1)
    assert world.answers.as_of(Question(recorded_at=Instant(50))).settled is False
    assert world.answers.as_of(Question()).settled is True, "all that is there lies before the marks"


def test_a_settled_answer_stays_whatever_is_recorded_later() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(FIRST, marked=49)
    before = world.answers.as_of(Question(recorded_at=Instant(49)))
    world.write({**FIRST, "number": 2, "recorded_at": 60, "kind": "correct", "revision": 2}, marked=69)
    after = world.answers.as_of(Question(recorded_at=Instant(49)))
    assert before.settled and after.rows == before.rows
    assert [row["number"] for row in world.answers.as_of(Question()).rows] == [2]
    assert [row["number"] for row in world.opened.history("ada").rows] == [1, 2]


def test_what_cannot_be_read_is_counted_and_hides_nothing() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(FIRST, garbage=True)
    answer = world.answers.as_of(Question())
    assert (len(answer.rows), answer.unreadable) == (1, 1)


def test_a_key_is_asked_for_whole() -> None:
    world = World(stock_facts(partitions=PARTITIONS))
    with pytest.raises(CallerFault, match=r"a key of stock\.levels is place, article, not place") as refused:
        world.opened.as_of(key="berlin")
    assert refused.value.code == "HW-K060"
