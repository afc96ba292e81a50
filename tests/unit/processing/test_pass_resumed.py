"""A product that only maps and filters keeps its group's offsets alone: without them its log says how far it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.processing.test_reset import work

from headwater.errors import CallerFault
from headwater.plan.desired import desired
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import TopicDescription, TopicPartition
from headwater.processing.replay import Replay
from headwater.testing.broker_mesh import Batch, BrokerMesh, random_batches, write_renamed_mesh
from headwater.testing.small_mesh import DEPARTURE_SCHEMA, FILES, write
from headwater.timeline.clock import ManualClock

PRODUCT = """product: airportsx.hourly
version: 1.0.0
type: consumer-aligned
owner: {team: airport-operations, contact: airports@example.org}
purpose: Departures of some airports.
inputs:
  - {product: flightsx.departures, major: 1, reads: [event_id, flight_id, origin, occurred_at, delay_minutes]}
outputs:
  - {name: events, schema: Hourly, key: [flight_id], retention: forever}
"""
FLOW = """from headwater import Stream, col


def flow(departures: Stream) -> Stream:
    return departures.filter(col("origin") != "LGA")
"""


@pytest.fixture
def passing(tmp_path: Path) -> BrokerMesh:
    folder, broker = write_renamed_mesh(tmp_path / "mesh", "x"), MemoryBroker(ManualClock())
    schema = (
        FILES[DEPARTURE_SCHEMA].replace("flights.departures", "airportsx.hourly").replace('"Departure"', '"Hourly"')
    )
    write(folder, "streams/airportsx/hourly/product.yaml", PRODUCT)
    write(folder, "streams/airportsx/hourly/flow.py", FLOW)
    write(folder, "schemas/avro/airportsx/hourly/Hourly.avsc", schema)
    made = BrokerMesh.loaded(broker, folder, "x")
    for topic in desired(made.mesh, {made.plan.product: made.plan}).topics:
        broker.create_topic(TopicDescription(topic.name, topic.partitions, dict(topic.settings)))
    return made


def forget(passing: BrokerMesh) -> None:
    """As a broker does with the offsets of a group that nobody was in for a week."""
    assert passing.broker.forget_group(passing.plan.stages[0].group)


def stopped_often(passing: BrokerMesh, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Forget, feed on, and begin again and again in small steps; all that was fed."""
    batches = random_batches(7, batches=40, size=5)
    passing.feed(batches[:30], last=False)
    work(passing, folder)
    forget(passing)
    passing.feed(batches[30:])
    monkeypatch.setattr("headwater.processing.incarnation.POLL_MESSAGES", 3)
    monkeypatch.setattr("headwater.processing.stage_worker.COMMIT_MESSAGES", 3)
    for turn in range(12):
        work(passing, folder, polls=2 + turn)
    return batches


@pytest.mark.parametrize("seed", range(3))
def test_what_was_said_is_not_said_again_and_what_is_new_is(passing: BrokerMesh, tmp_path: Path, seed: int) -> None:
    batches = random_batches(seed, batches=30, size=6)
    passing.feed(batches[:20], last=False)
    work(passing, tmp_path / "state")
    before = passing.written()
    assert before
    forget(passing)
    passing.feed(batches[20:])
    work(passing, tmp_path / "state")
    assert passing.decoded() == passing.expected(batches)


def test_it_may_be_stopped_at_any_time_before_it_has_caught_up(
    passing: BrokerMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = stopped_often(passing, tmp_path / "state", monkeypatch)
    monkeypatch.undo()
    work(passing, tmp_path / "state")
    assert passing.decoded() == passing.expected(batches)


def test_a_log_whose_beginning_is_gone_is_no_ground_to_go_on_from(passing: BrokerMesh, tmp_path: Path) -> None:
    passing.feed(random_batches(5, batches=10, size=6), last=False)
    work(passing, tmp_path / "state")
    forget(passing)
    assert isinstance(passing.broker, MemoryBroker)
    numbers = range(passing.product.output.output.partitions)
    places = [TopicPartition(passing.product.output.topic, number) for number in numbers]
    filled = next(place for place, end in passing.broker.ends(places).items() if end > 2)
    passing.broker.truncate(filled, 1)
    with pytest.raises(CallerFault) as refused:
        work(passing, tmp_path / "state")
    assert refused.value.code == "HW-P173"


def test_without_the_comparison_records_would_be_said_twice(
    passing: BrokerMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The saboteur: what the tests above would find."""
    batches = random_batches(6, batches=10, size=6)
    passing.feed(batches)
    work(passing, tmp_path / "state")
    forget(passing)
    monkeypatch.setattr(Replay, "covers", lambda self, key, value: False)
    work(passing, tmp_path / "state")
    assert passing.decoded() != passing.expected(batches)


def test_progress_that_is_kept_too_early_is_found_out(
    passing: BrokerMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The saboteur: what lies between the progress and the end of the log would be said again."""
    monkeypatch.setattr("headwater.processing.checkpoint.Checkpoint._may_pass", lambda self, work: True)
    batches = stopped_often(passing, tmp_path / "state", monkeypatch)
    work(passing, tmp_path / "state", polls=300)
    assert passing.decoded() != passing.expected(batches)
