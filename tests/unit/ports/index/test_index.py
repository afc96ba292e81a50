"""An index says what the plain reference says, whenever its process was ended while it took records in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.unit.ports.index.kept import MemoryStores, Wiped
from tests.unit.ports.test_answers import FIRST, KEYS, PARTITIONS, TICK, World, level, order

from headwater.errors import CallerFault, Unreachable
from headwater.ports.access import View
from headwater.ports.answers import Question
from headwater.ports.index.answers import IndexAnswers
from headwater.ports.index.follower import Index
from headwater.ports.index.layout import PLACE, RECORDS, RECORDS_END, Change
from headwater.ports.record import TopicPartition
from headwater.schemas.arrow import plain
from headwater.schemas.payload import writer
from headwater.testing.conformance.answers import Asked, Told, a_hundred, expected, in_order
from headwater.testing.source_products import make_topics, order_events, stock_facts
from headwater.testing.strategies import event_histories, fact_histories
from headwater.timeline.instant import Instant

Record = dict[str, Any]
Rows = list[dict[str, Any]]
PROFILE = settings(max_examples=10, derandomize=True, deadline=None)
EVENTS = event_histories({"n": st.integers(0, 9)}, key="k", length=30)
FACTS = fact_histories({"count": st.integers(0, 9)}, key="p", keys=KEYS, length=20)


class Kept:
    """An index over a world, and the stores that outlive it."""

    def __init__(self, world: World, stores: MemoryStores | None = None) -> None:
        self.world, self.stores = world, stores or MemoryStores()
        self.begin()

    def begin(self) -> None:
        """As a new process would: nothing but the stores is left of the one before."""
        world = self.world
        self.index = Index([world.product], world.broker, world.registry, self.stores, tick=TICK, clock=world.clock)
        self.answers = IndexAnswers(self.index, world.product.output.topic)

    def follow(self) -> None:
        while self.index.step():
            pass

    def rows(self, one: Asked, *, columns: bool) -> Rows:
        valid, recorded = (None if at is None else Instant(at) for at in (one.valid, one.recorded))
        question = Question(valid, recorded, one.key)
        if columns:
            return [plain(row) for row in self.answers.table(question, history=one.history)[0].to_pylist()]
        answer = self.answers.history(question) if one.history else self.answers.as_of(question)
        return list(map(writer(self.world.product.output.schema), answer.rows))


def check(world: World, records: list[Record], shape: Any, ended: Sequence[int], stores: MemoryStores) -> None:
    """Write record by record, end the process behind some of them, and ask a hundred questions."""
    kept = Kept(world, stores)
    for number, record in enumerate(records):
        world.write(record)
        if number % 3 == 0:
            kept.index.step()
        if number in ended:
            kept.begin()
    kept.begin()
    kept.follow()
    told = Told(records, world.product.output.output.key, shape)
    convert = writer(world.product.output.schema)
    for one in a_hundred(told, len(ended)):
        wanted = in_order(map(convert, expected(told, one)))
        assert in_order(kept.rows(one, columns=False)) == wanted, one
        assert in_order(kept.rows(one, columns=True)) == wanted, one


@PROFILE
@given(EVENTS, st.sets(st.integers(0, 30), max_size=4))
def test_of_events(history: list[Record], ended: set[int]) -> None:
    world = World(order_events(partitions=PARTITIONS))
    check(world, [order(one) for one in history], "event", sorted(ended), MemoryStores())


@PROFILE
@given(FACTS, st.sets(st.integers(0, 20), max_size=4))
def test_of_facts(history: list[Record], ended: set[int]) -> None:
    world = World(stock_facts(partitions=PARTITIONS))
    check(world, [level(one) for one in history], "fact", sorted(ended), MemoryStores())


class NewestOnly(Wiped):
    """A saboteur: it keeps one version of a key, so that a correction hides what was known before."""

    def apply(self, changes: Iterable[Change]) -> None:
        for key, value in changes:
            if key.startswith(RECORDS):
                before = [one for one, _ in self.scan(RECORDS, RECORDS_END) if one[:-8] == key[:-8]]
                super().apply([(one, None) for one in before])
            super().apply([(key, value)])


class Torn(Wiped):
    """A saboteur: it writes the position at once, and the records with the next batch, which may never come."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Change] = []

    def apply(self, changes: Iterable[Change]) -> None:
        super().apply([*self.waiting, *(one for one in changes if one[0] == PLACE)])
        self.waiting = [one for one in changes if one[0] != PLACE]

    def task(self) -> Torn:
        self.waiting = []
        return self


class Sabotaged(MemoryStores):
    """Stores of a saboteur; what a store only held in memory is gone with the process."""

    def __init__(self, kind: type[Wiped]) -> None:
        super().__init__()
        self.kind = kind

    def task(self, number: int, /) -> Wiped:
        store = self.made.setdefault(number, self.kind() if number else Wiped())
        if isinstance(store, Torn):
            store.task()
        return store


@pytest.mark.parametrize("saboteur", [NewestOnly, Torn])
def test_an_index_that_loses_records_is_found_out(saboteur: type[Wiped]) -> None:
    @settings(max_examples=60, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
    @given(FACTS, st.sets(st.integers(0, 20), max_size=4))
    def hunt(history: list[Record], ended: set[int]) -> None:
        world = World(stock_facts(partitions=PARTITIONS))
        check(world, [level(one) for one in history], "fact", sorted(ended), Sabotaged(saboteur))

    with pytest.raises(AssertionError):
        hunt()


@PROFILE
@given(FACTS, st.integers(1, 4), st.booleans(), st.booleans())
def test_slices_are_one_answer_though_the_topic_grows(
    history: list[Record], limit: int, columns: bool, of_all: bool
) -> None:
    world = World(stock_facts(partitions=PARTITIONS))
    written = [level(one) for one in history]
    first, left = written[: len(written) // 2], written[len(written) // 2 :]
    world.write(*first)
    kept = Kept(world)
    kept.follow()
    question, after = Question(), None
    found: list[Any] = []
    while True:
        some = kept.answers.slice(question, history=of_all, after=after, limit=limit, columns=columns)
        assert len(some.rows) <= limit
        rows = (
            [plain(row) for row in some.rows.to_pylist()]
            if columns
            else map(writer(world.product.output.schema), some.rows)
        )
        found += rows
        after, question = some.after, Question(ends=some.answer.ends)
        if after is None:
            break
        if left:
            world.write(left.pop(0))
            kept.follow()
    told = Told(first, world.product.output.output.key, "fact")
    convert = writer(world.product.output.schema)
    assert in_order(found) == in_order(map(convert, expected(told, Asked(None, None, None, of_all))))


def many(count: int) -> list[Record]:
    return [{**FIRST, "event_id": f"e{number}", "recorded_at": 20 + number} for number in range(count)]


def test_a_question_that_leaves_the_moment_open_waits_until_the_index_is_filled() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(*many(3), marked=49)
    kept = Kept(world)
    with pytest.raises(Unreachable, match=r"is being filled: 0%") as away:
        kept.answers.as_of(Question())
    assert away.value.code == "HW-R038"
    kept.follow()
    answer = kept.answers.as_of(Question())
    assert (len(answer.rows), answer.settled, answer.settled_to) == (3, True, 49)
    assert kept.answers.as_of(Question(recorded_at=Instant(20))).settled


def test_what_was_made_anew_is_read_anew() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(*many(3))
    kept = Kept(world)
    kept.follow()
    world.broker.delete_topic(world.product.output.topic)
    make_topics([world.product], world.broker, world.registry)
    world.write(FIRST)
    kept.begin()
    kept.follow()
    assert [row["event_id"] for row in kept.answers.as_of(Question()).rows] == ["a"]


def test_what_retention_removed_is_gone_from_answers_and_from_the_store() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(*many(6))
    kept = Kept(world)
    kept.follow()
    (number,) = [number for number, end in world.ends.items() if end]
    world.broker.delete_before({TopicPartition(world.product.output.topic, number): 4})
    world.clock.sleep(60_000_000)  # until it looks again
    kept.follow()
    assert [row["event_id"] for row in kept.answers.as_of(Question()).rows] == ["e4", "e5"]
    held = [key for store in kept.stores.made.values() for key, _ in store.scan(RECORDS, RECORDS_END)]
    assert len(held) == 2


def test_what_cannot_be_read_is_counted_and_hides_nothing() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(FIRST, garbage=True)
    kept = Kept(world)
    kept.follow()
    kept.begin()
    kept.follow()
    answer = kept.answers.as_of(Question())
    assert (len(answer.rows), answer.unreadable) == (1, 1)


def test_a_view_leaves_out_the_same_in_rows_and_in_columns() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(*({**one, "number": number} for number, one in enumerate(many(4))))
    kept = Kept(world)
    kept.follow()
    views: list[tuple[View, Callable[[Record], bool]]] = [
        (View(frozenset(["note"])), lambda row: True),
        (View(frozenset(["note"]), lambda record: record["number"] > 1), lambda row: row["number"] > 1),
    ]
    for view, keeps in views:
        answers = IndexAnswers(kept.index, world.product.output.topic, view=view)
        table, _ = answers.table(Question())
        rows = answers.as_of(Question()).rows
        assert "note" not in table.column_names and all("note" not in row for row in rows)
        assert table.column("number").to_pylist() == [row["number"] for row in rows]
        assert len(rows) == sum(keeps({"number": number}) for number in range(4))


def test_a_snapshot_of_a_moment_that_is_not_settled_is_refused() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(*many(3), marked=49)
    kept = Kept(world)
    kept.follow()
    with pytest.raises(CallerFault, match=r"is not settled at") as refused:
        kept.answers.bootstrap(Instant(50))
    assert refused.value.code == "HW-R021"


def test_a_topic_that_is_not_there_yet_holds_up_no_other() -> None:
    world, late = World(order_events(partitions=PARTITIONS)), stock_facts(partitions=PARTITIONS)
    world.write(FIRST)
    stores = MemoryStores()
    products = [world.product, late]
    index = Index(products, world.broker, world.registry, stores, tick=TICK, clock=world.clock)
    while index.step():
        pass
    assert len(IndexAnswers(index, world.product.output.topic).as_of(Question()).rows) == 1
    answers = IndexAnswers(index, late.output.topic)
    with pytest.raises(CallerFault) as missing:
        answers.as_of(Question())
    assert missing.value.code == "HW-R004"
    make_topics([late], world.broker, world.registry)
    world.clock.sleep(60_000_000)
    index.step()
    while index.step():
        pass
    assert answers.as_of(Question()).rows == ()
