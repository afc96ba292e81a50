"""The kafka runner on a real Kafka: the memory runner's records, whatever happens to its processes and its disk."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headwater.hooks import Hooks
from headwater.ports.kafka import KafkaBroker
from headwater.ports.protocol import GroupSource
from headwater.processing.checkpoint import Checkpoint
from headwater.processing.reset import reset
from headwater.processing.runners.kafka import KafkaRunner
from headwater.processing.standing import standing
from headwater.processing.steps import internal_topics
from headwater.processing.task import Work
from headwater.testing.broker_mesh import Batch, BrokerMesh, random_batches, wait_until
from headwater.testing.two_sources import as_in_memory, both_ways, two_sources
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack


@pytest.fixture(scope="module")
def kafka(stack: Stack) -> KafkaBroker:
    return KafkaBroker({"bootstrap.servers": stack.kafka})


@pytest.fixture
def small(kafka: KafkaBroker, tmp_path: Path) -> BrokerMesh:
    return BrokerMesh.made(kafka, tmp_path / "mesh", f"x{uuid.uuid4().hex[:8]}")


@contextmanager
def running(small: BrokerMesh, folder: Path, **changes: object) -> Iterator[KafkaRunner]:
    """A runner in threads of this process."""
    runner = KafkaRunner([small.plan], small.surroundings(folder, **changes))
    failed: list[BaseException] = []

    def run() -> None:
        try:
            runner.run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield runner
    runner.stop()
    thread.join(30)
    assert not thread.is_alive()
    if failed:
        raise failed[0]


def test_it_writes_the_records_that_the_memory_runner_writes(small: BrokerMesh, tmp_path: Path) -> None:
    batches = random_batches(11, batches=60, size=20)
    last = batches[-1][-1]["recorded_at"]
    with running(small, tmp_path / "state"):
        small.feed(batches)
        wait_until(lambda: small.settled() > last)
    assert small.decoded() == small.expected(batches)


def test_a_state_that_takes_longer_than_the_group_waits_for_a_poll(
    small: BrokerMesh, stack: Stack, tmp_path: Path
) -> None:
    """A member that restored within the group's callback would be put out, and begin again for ever."""
    batches = random_batches(13, batches=40, size=10)
    with running(small, tmp_path / "state"):
        small.feed(batches[:20], last=False)
        wait_until(lambda: small.settled() >= batches[19][-1]["recorded_at"] - 200_000)
    expected = small.expected(batches)
    busy = next(number for number, log in expected.items() if log)
    hanging = small.broker.sink(f"{small.source.name}-hanging", timeout_ms=60_000)
    hanging.open()
    hanging.begin()
    hanging.send(small.plan.stages[-1].changelog, b"never", b"committed", timestamp=0, partition=busy)
    hanging.flush()
    hasty = {"max.poll.interval.ms": "6000", "session.timeout.ms": "6000"}
    small.broker = KafkaBroker({"bootstrap.servers": stack.kafka, **hasty})
    heard: list[str] = []
    last, clock = batches[-1][-1]["recorded_at"], SystemClock()
    with running(small, tmp_path / "state", hooks=Hooks([lambda happening, fields: heard.append(happening)])):
        small.feed(batches[20:])
        began = clock.monotonic()
        others = [number for number in expected if number != busy]
        wait_until(lambda: all(small.decoded()[number] == expected[number] for number in others))
        clock.sleep(max(0, 8_000_000 - (clock.monotonic() - began)))
        assert small.decoded()[busy] != expected[busy]
        hanging.abort()
        wait_until(lambda: small.settled() > last)
    assert small.decoded() == expected
    assert "stage.rebuilt" not in heard


def test_made_anew_from_its_inputs_it_says_nothing_twice(small: BrokerMesh, stack: Stack, tmp_path: Path) -> None:
    batches = random_batches(14, batches=40, size=10)
    small.broker = KafkaBroker({"bootstrap.servers": stack.kafka, "session.timeout.ms": "6000"})
    with running(small, tmp_path / "state"):
        small.feed(batches[:20], last=False)
        wait_until(lambda: small.settled() >= batches[19][-1]["recorded_at"] - 200_000)
        assert not small.broker.forget_group(small.plan.stages[0].group)
    before = small.written()
    reset(small.plan, small.broker, clock=SystemClock())
    last = batches[-1][-1]["recorded_at"]
    with running(small, tmp_path / "state"):
        small.feed(batches[20:])
        wait_until(lambda: small.settled() > last)
    assert small.decoded() == small.expected(batches)
    after = small.written()
    assert len(after) > len(before) and {*map(repr, before)} <= {*map(repr, after)}


def test_a_state_that_was_deleted_is_rebuilt_from_its_changelog(small: BrokerMesh, tmp_path: Path) -> None:
    batches = random_batches(12, batches=40, size=10)
    restored: list[dict[str, object]] = []
    hooks = Hooks([lambda happening, fields: restored.append(fields) if happening == "stage.restored" else None])
    with running(small, tmp_path / "state"):
        small.feed(batches[:20], last=False)
        wait_until(lambda: small.settled() >= batches[19][-1]["recorded_at"] - 200_000)
    shutil.rmtree(tmp_path / "state")
    last = batches[-1][-1]["recorded_at"]
    with running(small, tmp_path / "state", hooks=hooks):
        small.feed(batches[20:])
        wait_until(lambda: small.settled() > last)
    assert small.decoded() == small.expected(batches)
    assert sum(int(str(fields["entries"])) for fields in restored) > 0


FOLDS = """from headwater import Stream, col, count_distinct, first, fold, hopping, last


def enter(state, minutes):
    return state if minutes is None else {"all": sorted([*state["all"], minutes])}


def leave(state, minutes):
    if minutes is not None:
        state["all"].remove(minutes)
    return state


def middle(state):
    return state["all"][len(state["all"]) // 2] if state["all"] else 0


def flow(departures: Stream) -> Stream:
    minutes, ordered = ["delay_minutes"], {"all": {"type": "array", "items": "long"}}
    folded = departures.aggregate(
        by=["origin"],
        window=hopping("3h", every="1h"),
        planes=count_distinct("flight_id"),
        opening=first("delay_minutes"),
        closing=last("delay_minutes"),
        middle=fold({"all": []}, enter, leave, middle, of=minutes, state=ordered, type="long"),
    )
    ends = col("opening").coalesce(0) * 100 + col("closing").coalesce(0)
    return folded.map(departures=col("planes") * 1_000_000 + col("middle") * 10_000 + ends)
"""


STATES = """from headwater import Stream, col


def flow(departures: Stream) -> Stream:
    states = departures.latest(by=["origin"])
    return states.map(departures=col("delay_minutes").coalesce(0)).filter(col("departures") >= 0)
"""


def rewritten(kafka: KafkaBroker, folder: Path, flow: str, kind: str = "aggregate") -> BrokerMesh:
    """The mesh with another flow for its product, which is of another type where that is said."""
    nonce = f"x{uuid.uuid4().hex[:8]}"
    BrokerMesh.made(kafka, folder, nonce)
    hourly = folder / "streams" / f"airports{nonce}" / "hourly"
    (hourly / "flow.py").write_text(flow)
    contract = hourly / "product.yaml"
    contract.write_text(contract.read_text().replace("type: aggregate", f"type: {kind}"))
    small = BrokerMesh.loaded(kafka, folder, nonce)
    for topic in internal_topics(small.plan):
        kafka.create_topic(topic)
    return small


def lose_the_state_in_the_middle(small: BrokerMesh, folder: Path, batches: list[Batch]) -> None:
    half = len(batches) // 2
    with running(small, folder):
        small.feed(batches[:half], last=False)
        wait_until(lambda: small.settled() >= batches[half - 1][-1]["recorded_at"] - 200_000)
    shutil.rmtree(folder)
    last = batches[-1][-1]["recorded_at"]
    with running(small, folder):
        small.feed(batches[half:])
        wait_until(lambda: small.settled() > last)


def test_what_folds_keep_beside_their_sums_comes_back_from_the_changelog(kafka: KafkaBroker, tmp_path: Path) -> None:
    """Hopping intervals, multisets and a state of the author's own, over a state folder that is lost in the middle."""
    small = rewritten(kafka, tmp_path / "mesh", FOLDS)
    batches = random_batches(13, batches=40, size=10)
    lose_the_state_in_the_middle(small, tmp_path / "state", batches)
    written = small.decoded()
    assert written == small.expected(batches)
    kinds = {record["kind"] for log in written.values() for _, record in log}
    assert kinds == {"assert", "correct", "retract"}


def test_states_that_events_make_come_back_from_the_changelog(kafka: KafkaBroker, tmp_path: Path) -> None:
    """`latest` through a rekey, with the events of each key in order kept over a lost state folder."""
    small = rewritten(kafka, tmp_path / "mesh", STATES, "consumer-aligned")
    batches = random_batches(14, batches=40, size=10)
    lose_the_state_in_the_middle(small, tmp_path / "state", batches)
    written = small.decoded()
    assert written == small.expected(batches)
    records = [record for log in written.values() for _, record in log]
    assert {record["kind"] for record in records} == {"assert", "correct", "retract"}
    assert any(record["valid_to"] is None for record in records)


STOPS = """from headwater import Stream, col, count_distinct, total, tumbling


def flow(departures: Stream, arrivals: Stream) -> Stream:
    stops = departures.union(arrivals, named="way").explode("stops", into="stop", position="place")
    hours = stops.aggregate(by=["stop"], window=WINDOW, rows=count_distinct("event_id"), places=total("place"))
    return hours.select(origin=col("stop"), departures=col("rows") * 1000 + col("places"))
"""


NEAR = """from headwater import Stream, col, count_distinct, total, tumbling


def flow(departures: Stream, arrivals: Stream) -> Stream:
    pairs = departures.join_within(
        arrivals.filter(col("delay_minutes").coalesce(0) >= 0),
        within="24h",
        on={"flight_id": "flight_id"},
        take={"to": "origin", "delayed": "delay_minutes"},
    )
    counted = pairs.aggregate(by=["to"], window=WINDOW, rows=count_distinct("event_id"), minutes=total("delayed"))
    return counted.select(origin=col("to"), departures=col("rows") * 1000 + col("minutes").coalesce(0))
"""


@pytest.mark.parametrize("flow", [STOPS, NEAR], ids=["united and exploded", "paired by distance"])
def test_flows_of_two_inputs_are_as_in_memory(kafka: KafkaBroker, tmp_path: Path, flow: str) -> None:
    """Both inputs have the same ids, corrections make arrays shorter and longer; little of what is ahead is held."""
    nonce = f"x{uuid.uuid4().hex[:8]}"
    small = two_sources(kafka, tmp_path / "mesh", nonce, flow)
    ways = both_ways(small, nonce)
    places = ["JFK", "LGA", "JFK", "EWR"]
    given = []
    for seed, size in ((15, 10), (16, 9)):
        batches = random_batches(seed, batches=30, size=size)
        given.append([[event | {"stops": places[: hash_of(event) % 5]} for event in batch] for batch in batches])
    last = max(batches[-1][-1]["recorded_at"] for batches in given)
    with running(small, tmp_path / "state", held_bytes=2_000):
        for way, batches in zip(ways, given, strict=True):
            way.feed(batches)
        wait_until(lambda: small.settled() > last)
    expected = as_in_memory(small, ways, given)
    written = small.decoded()
    assert written == expected
    assert {record["kind"] for log in written.values() for _, record in log} == {"assert", "correct", "retract"}


def hash_of(event: dict[str, object]) -> int:
    """A number that is the same in every run, and another one for each revision."""
    return sum(f"{event['event_id']}/{event['revision']}".encode())


def test_a_transaction_that_takes_too_long_is_tried_again_with_fewer_inputs(small: BrokerMesh, tmp_path: Path) -> None:
    """A transaction may be open for two seconds here, and more than thirteen records take longer."""
    clock = SystemClock()

    class Slow(Checkpoint):
        def send_offsets(self, offsets: Any, source: GroupSource) -> None:
            clock.sleep(self.took * 150_000)
            super().send_offsets(offsets, source)

        def commit(self, works: Sequence[Work], source: GroupSource) -> int:
            self.took = sum(work.folded for work in works)
            return super().commit(works, source)

    batches = random_batches(17, batches=12, size=4)
    last = batches[-1][-1]["recorded_at"]
    small.feed(batches)
    heard: list[dict[str, Any]] = []
    hooks = Hooks([lambda happening, fields: heard.append(fields) if happening == "stage.too_slow" else None])
    with running(small, tmp_path / "state", hooks=hooks, checkpoint=Slow, transaction_ms=2_000):
        wait_until(lambda: small.settled() > last, seconds=120)
    assert small.decoded() == small.expected(batches)
    assert heard and all(1 <= fields["limit"] < 10_000 for fields in heard)


def test_who_joins_with_copies_restores_nothing(small: BrokerMesh, tmp_path: Path) -> None:
    batches = random_batches(18, batches=40, size=10)
    heard: list[tuple[str, dict[str, Any]]] = []
    hooks = Hooks([lambda *told: heard.append(told)])

    def places() -> dict[tuple[str, int], int | None]:
        found = standing(small.product, small.plan, small.broker, clock=SystemClock())
        return {(place.stage, place.partition): place.slot for place in found.places}

    with running(small, tmp_path / "first"):
        small.feed(batches[:20], last=False)
        wait_until(lambda: small.settled() >= batches[19][-1]["recorded_at"] - 200_000)
        wait_until(lambda: set(places().values()) == {0})
        with running(small, tmp_path / "second", slot=1, standby=True, hooks=hooks):
            wait_until(lambda: set(places().values()) == {0, 1})
            restored = [fields["entries"] for name, fields in heard if name == "stage.restored"]
            assert restored and not any(restored)
            assert [fields["entries"] for name, fields in heard if name == "stage.copied"]
            small.feed(batches[20:])
            wait_until(lambda: small.settled() > batches[-1][-1]["recorded_at"])
    assert small.decoded() == small.expected(batches)
