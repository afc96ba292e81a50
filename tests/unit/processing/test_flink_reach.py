"""What a bounded job reads and leaves out, and what is settled after it; the job is one in memory that is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.errors import CallerFault
from headwater.plan.desired import desired
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import TopicDescription, TopicPartition
from headwater.processing.flow_file import load_flow
from headwater.processing.graph import Graph
from headwater.processing.records import RecordWriter
from headwater.processing.runners.flink_reach import held, reach_of, schemas_of, settle
from headwater.processing.runners.flink_tables import Reach
from headwater.testing.broker_mesh import Batch, BrokerMesh, random_batches, registered, write_renamed_mesh
from headwater.testing.small_mesh import HOURLY, edit

TICK = 100_000


@pytest.fixture
def small(tmp_path: Path) -> BrokerMesh:
    broker = MemoryBroker()
    write_renamed_mesh(tmp_path, "x")
    edit(tmp_path, HOURLY.replace("airports/", "airportsx/"), "ports: [topic, current]", "ports: [topic]")
    made = BrokerMesh.loaded(broker, tmp_path, "x")
    for topic in desired(made.mesh, {made.plan.product: made.plan}).topics:
        broker.create_topic(TopicDescription(topic.name, topic.partitions, dict(topic.settings)))
    return made


def graph_of(small: BrokerMesh) -> Graph:
    return load_flow(small.mesh, small.product.name)


def reach(small: BrokerMesh) -> Reach | None:
    known = held(small.product, small.broker, small.registry)
    return reach_of(graph_of(small), small.mesh, small.broker, known, tick=TICK)


def job(small: BrokerMesh, batches: list[Batch], reach: Reach, *, leaves_out: bool = True) -> None:
    """What a job does that ends: one transaction with what is recorded up to the reach and not written."""
    writer = RecordWriter(small.registry, small.product)
    sink = small.broker.sink("job")
    sink.open()
    sink.begin()
    for number, log in small.expected(batches).items():
        for key, record in log:
            recorded = record["recorded_at"]
            if recorded <= reach.through and (recorded > reach.written[number] or not leaves_out):
                value = writer.encode(dict(record))
                sink.send(writer.topic, key, value, timestamp=recorded // 1_000, partition=number)
    sink.commit()
    sink.close()


def in_parts(small: BrokerMesh, *, settles: Callable[[int], bool], leaves_out: bool = True) -> bool:
    """A history in five parts, a job after each; whether the log is the one of a single run."""
    batches = random_batches(5, batches=50, size=10)
    for part in range(5):
        small.feed(batches[part * 10 : part * 10 + 10], last=part == 4)
        found = reach(small)
        assert found is not None
        job(small, batches, found, leaves_out=leaves_out)
        if settles(part):
            settle(small.product, small.broker, small.registry, found.through)
    return small.decoded() == small.expected(batches)


def test_jobs_one_after_another_say_what_one_would(small: BrokerMesh) -> None:
    assert in_parts(small, settles=lambda part: True)
    assert reach(small) is None
    assert small.settled() > 0


def test_a_job_whose_marks_were_lost_is_not_said_twice(small: BrokerMesh) -> None:
    assert in_parts(small, settles=lambda part: part in (1, 4))


def test_a_job_that_leaves_nothing_out_is_found_out(small: BrokerMesh) -> None:
    assert not in_parts(small, settles=lambda part: True, leaves_out=False)


def test_a_tick_is_never_cut_in_two(small: BrokerMesh) -> None:
    batches = random_batches(6, batches=10, size=10)
    small.feed(batches, last=False)
    found = reach(small)
    assert found is not None
    assert (found.through + 1) % TICK == 0
    assert found.through < batches[-1][-1]["recorded_at"]


def test_an_input_without_marks_settles_nothing(small: BrokerMesh) -> None:
    with pytest.raises(CallerFault) as refused:
        reach(small)
    assert refused.value.code == "HW-P246"


def test_an_input_whose_beginning_is_gone_is_refused(small: BrokerMesh) -> None:
    small.feed(random_batches(7, batches=20, size=10))
    small.broker.delete_before({TopicPartition(small.source.output.topic, 0): 1})
    with pytest.raises(CallerFault) as refused:
        reach(small)
    assert refused.value.code == "HW-P245"


def test_the_schema_must_be_registered_and_the_contract_ask_for_a_topic_alone(tmp_path: Path) -> None:
    write_renamed_mesh(tmp_path, "y")
    made = BrokerMesh.loaded(MemoryBroker(), tmp_path, "y")
    with pytest.raises(CallerFault) as refused:
        schemas_of(graph_of(made), made.mesh, registered(made.mesh))
    assert refused.value.code == "HW-P240"
