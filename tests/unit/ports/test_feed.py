"""Feeds and snapshots over a broker in memory: together they give each record once, wherever a reader is cut off."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.ports.test_answers import FIRST, PARTITIONS, World, order

from headwater.errors import CallerFault
from headwater.ports.feed import Feeds, Place, encode_cursor
from headwater.schemas.arrow import plain
from headwater.schemas.payload import writer
from headwater.testing.oracles import events_as_of
from headwater.testing.source_products import order_events, stock_facts
from headwater.testing.strategies import event_histories
from headwater.timeline.instant import Instant

Record = dict[str, Any]
PROFILE = settings(max_examples=60, derandomize=True, deadline=None)


def feeds(world: World) -> Feeds:
    return Feeds(world.broker, world.registry, world.product)


def rest(world: World, cursor: str, limit: int = 1_000) -> tuple[list[Record], str]:
    """What follows a cursor, up to so many records, and the cursor behind them."""
    with feeds(world).tail(cursor) as feed:
        found = []
        while len(found) < limit and (record := feed.poll()) is not None:
            found.append(dict(record))
        return found, feed.cursor


@PROFILE
@given(event_histories({"n": st.integers(0, 9)}, key="k", length=30), st.lists(st.integers(0, 4), max_size=10))
def test_columns_and_records_of_one_feed_are_taken_in_turns(history: list[Record], turns: list[int]) -> None:
    world = World(order_events(partitions=PARTITIONS))
    written = [order(one) for one in history]
    world.write(*written, garbage=True)
    convert, found = writer(world.product.output.schema), []
    with feeds(world).tail("start") as feed:
        for turn in turns:
            if turn == 4:
                found += map(json.loads, feed.texts(turn))
            elif turn:
                found += [plain(row) for row in feed.table(turn).to_pylist()]
            elif (record := feed.poll()) is not None:
                found.append(convert(record))
        cursor, unreadable = feed.cursor, feed.unreadable
    with feeds(world).tail(cursor) as feed:
        found += [plain(row) for row in feed.table(1_000).to_pylist()]
        assert unreadable + feed.unreadable == 1
    assert sorted_records(found) == sorted_records([convert(one) for one in written])


def sorted_records(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: json.dumps(record, sort_keys=True))


def transactions(history: list[Record], cuts: set[int]) -> list[list[Record]]:
    """The history in pieces, none of which ends within one recorded moment: a mark may lie behind each."""
    pieces: list[list[Record]] = [[]]
    for number, record in enumerate(history):
        if number in cuts and pieces[-1] and record["recorded_at"] > pieces[-1][-1]["recorded_at"]:
            pieces.append([])
        pieces[-1].append(record)
    return pieces


@PROFILE
@given(
    event_histories({"n": st.integers(0, 9)}, key="k", length=30),
    st.sets(st.integers(1, 30), max_size=6),
    st.lists(st.integers(1, 5), max_size=10),
    st.data(),
)
def test_a_snapshot_and_its_tail_hold_each_record_once(
    history: list[Record], cuts: set[int], lives: list[int], data: st.DataObject
) -> None:
    world = World(order_events(partitions=PARTITIONS))
    written = [order(record) for record in history]
    pieces = transactions(written, cuts)
    late = data.draw(st.integers(0, len(pieces)))  # what is written only after the snapshot was taken
    settled = -1
    for piece in pieces[: len(pieces) - late]:
        settled = piece[-1]["recorded_at"] if piece else settled
        world.write(*piece, marked=settled if piece else None)
    moment = data.draw(st.none() | st.integers(-1, settled))
    answer, feed = feeds(world).bootstrap(None if moment is None else Instant(moment))
    known = settled if moment is None else moment
    expected = {event["event_id"]: event for event in events_as_of(written, known)}
    assert {row["event_id"]: dict(row) for row in answer.rows} == expected
    assert (answer.settled, answer.settled_to) == (True, settled)
    for piece in pieces[len(pieces) - late :]:
        world.write(*piece)
    cursor, tail = feed.cursor, []
    for life in lives:  # a reader that is cut off again and again, with its cursor kept
        some, cursor = rest(world, cursor, life)
        tail += some
    tail += rest(world, cursor)[0]
    assert sorted_records(tail) == sorted_records([one for one in written if one["recorded_at"] > known])


def test_a_tail_starts_at_the_end_or_at_the_start_and_goes_on_with_what_comes() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(FIRST)
    with world.opened.tail() as new, world.opened.tail("start") as all_:
        assert new.poll() is None
        world.write({**FIRST, "number": 2, "revision": 2, "kind": "correct"})
        assert [record["number"] for record in (new.poll(), new.poll()) if record] == [2]
        assert [record["number"] for record in (all_.poll(), all_.poll()) if record] == [1, 2]
    assert new.poll() is None, "a closed feed has ended"
    assert list(new) == []


def test_a_snapshot_is_taken_as_of_settled_moments_only() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(FIRST, marked=49)
    with pytest.raises(CallerFault, match="not settled at") as refused:
        world.opened.bootstrap(recorded=Instant(50))
    assert refused.value.code == "HW-R021"
    answer, feed = world.opened.bootstrap(recorded=Instant(49))
    assert len(answer.rows) == 1
    assert feed.poll() is None


def test_without_marks_nothing_is_known_and_all_comes_by_the_feed() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(FIRST)
    answer, feed = world.opened.bootstrap()
    record = feed.poll()
    assert (answer.rows, record and record["number"]) == ((), 1)


def test_what_cannot_be_read_is_passed_over_and_counted() -> None:
    world = World(order_events(partitions=PARTITIONS))
    world.write(FIRST, garbage=True)
    with world.opened.tail("start") as feed:
        found = [feed.poll(), feed.poll()]
    assert (sum(record is not None for record in found), feed.unreadable) == (1, 1)


@pytest.mark.parametrize(
    "cursor",
    [
        "", "x", "beginning", "é", "W10=", base64.urlsafe_b64encode(b"[" * 60_000).decode(),
        base64.urlsafe_b64encode(b'["orders.placed.v1", -1, 0, 0]').decode(),
        base64.urlsafe_b64encode(b'["orders.placed.v1", -1, 0, 0, -1]').decode(),
        base64.urlsafe_b64encode(b'["orders.placed.v1", -1, 0, 0, true]').decode(),
        base64.urlsafe_b64encode(b'["stock.levels.v1", -1, 0, 0, 0]').decode(),
    ],
)  # fmt: skip
def test_what_is_no_cursor_of_the_topic_is_refused(cursor: str) -> None:
    world = World(order_events(partitions=PARTITIONS))
    with pytest.raises(CallerFault, match=r"no cursor of orders\.placed\.v1") as refused:
        world.opened.tail(cursor)
    assert refused.value.code == "HW-R022"


def test_the_same_beside_an_event_loop() -> None:
    world = World(stock_facts(partitions=PARTITIONS))
    fact = {
        "place": "a", "article": "x", "count": 1, "valid_from": 0, "valid_to": None,
        "recorded_at": 5, "kind": "assert", "revision": 1,
    }  # fmt: skip
    world.write(fact, marked=9)

    async def read() -> list[Any]:
        answer, feed = await world.opened.bootstrap_async()
        world.write({**fact, "count": 2, "recorded_at": 12, "revision": 2})
        new = []
        async for record in feed:
            new.append(record["count"])
            feed.close()
        now = await world.opened.as_of_async(key={"place": "a", "article": "x"})
        every = await world.opened.history_async()
        return [[row["count"] for row in answer.rows], new, [row["count"] for row in now.rows], len(every.rows)]

    assert asyncio.run(read()) == [[1], [2], [2], 2]


def test_a_piece_is_empty_only_where_nothing_is_left() -> None:
    """Not where ends of partitions came first, nor where the first records are known to the reader already."""
    world = World(order_events(partitions=PARTITIONS))
    for number in range(4):
        world.write({**FIRST, "event_id": f"e{number}", "recorded_at": 20 + number})
    place = Place(dict.fromkeys(range(PARTITIONS), 0), Instant(22))
    for columns in (True, False):
        with feeds(world).tail(encode_cursor(world.product.output.topic, place)) as feed:
            found = feed.table(1).to_pylist() if columns else list(map(json.loads, feed.texts(1)))
            assert [record["event_id"] for record in found] == ["e3"]
