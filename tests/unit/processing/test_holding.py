"""What a stage holds stays within its limit: the input that is ahead waits, and nothing is lost, repeated or stuck."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.ports.record import Fetched, Message, TopicPartition
from headwater.processing.holding import Holding
from headwater.testing.broker_mesh import BrokerMesh, random_batches
from headwater.testing.turns import Scene, Worker
from headwater.testing.two_sources import as_in_memory, both_ways, two_sources

FLOW = """from headwater import Stream, col, count_distinct, tumbling


def flow(departures: Stream, arrivals: Stream) -> Stream:
    both = departures.union(arrivals, named="way")
    counted = both.aggregate(by=["origin"], window=WINDOW, rows=count_distinct("event_id"))
    return counted.select(origin=col("origin"), departures=col("rows"))
"""
LIMIT, AT_ONCE = 3_000, 5


def most_held(scene: Scene, worker: Worker, turns: int) -> int:
    """The most that any stage held, in bytes, over so many turns."""
    most = 0
    for _ in range(turns):
        worker.turns(1)
        most = max(most, *(life._holding.bytes for life in worker.lives))
    return most


@pytest.mark.parametrize("limit", [LIMIT, 1_000_000])
def test_the_input_that_is_ahead_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr("headwater.processing.incarnation.POLL_MESSAGES", AT_ONCE)
    scene = Scene(tmp_path, lambda broker, folder: two_sources(broker, folder, "x", FLOW))
    small = scene.small
    ways, given_to = (
        both_ways(small, "x"),
        [random_batches(1, batches=60, size=8), random_batches(2, batches=60, size=8)],
    )
    worker = Worker(scene, held_bytes=limit)
    ways[0].feed(given_to[0])
    ways[1].feed(given_to[1][:2], last=False)
    most = most_held(scene, worker, 150)
    whole = sum(len(message.value or b"") for message in small.written(small.source.output.topic))
    # What the others wait for is read on: it may be held besides, for as long as its tick is open.
    assert (most <= 1.3 * LIMIT) == (limit == LIMIT) and whole > 3 * LIMIT
    if limit == LIMIT:
        assert max(fields["paused"] for name, fields in scene.heard if name == "stage.holding") > 0
    ways[1].feed(given_to[1][2:])
    worker.turns(300)
    assert small.decoded() == as_in_memory(small, ways, given_to)
    assert [(life._holding.paused, life._holding.bytes < LIMIT) for life in worker.lives] == [(set(), True)] * len(
        worker.lives
    )
    worker.close()


@settings(max_examples=8, deadline=None)
@given(
    order=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 6)), min_size=4, max_size=12),
    limit=st.integers(1, 4_000),
)
def test_in_any_order_of_arrival_and_for_any_limit_it_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, order: list[tuple[int, int]], limit: int
) -> None:
    scene = Scene(tmp_path_factory.mktemp("held"), lambda broker, folder: two_sources(broker, folder, "x", FLOW))
    ways, given_to = (
        both_ways(scene.small, "x"),
        [random_batches(3, batches=24, size=3), random_batches(4, batches=24, size=3)],
    )
    worker, at = Worker(scene, held_bytes=limit), [0, 0]
    for which, count in order:
        batches = given_to[which][at[which] : min(23, at[which] + count)]
        at[which] += len(batches)
        if batches:
            ways[which].feed(batches, last=False)
        worker.turns(3)
    for way, batches, start in zip(ways, given_to, at, strict=True):
        way.feed(batches[start:])
    worker.turns(60)
    assert scene.small.decoded() == as_in_memory(scene.small, ways, given_to)
    worker.close()


def test_the_account_is_of_what_is_not_committed(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    stage: BrokerMesh = scene.small
    topic = stage.source.output.topic
    holding = Holding(stage.plan.stages[0], 100)
    place = TopicPartition(topic, 0)
    for offset in (0, 1, 5):
        holding.take(Fetched.of([Message(topic, 0, offset, b"k", b"1234", 0)]))
    holding.take(Fetched.of([Message(f"{topic}.progress", 0, 0, b"0", b"mark", 0)]))
    holding.take(Fetched.of([Message(topic, 1, 0, b"k", None, 0)]))
    assert (holding.bytes, holding.records) == (12, 4)
    holding.release({place: 5})
    assert (holding.bytes, holding.records) == (4, 2)
    holding.forget(place)
    assert (holding.bytes, holding.records) == (0, 1)
