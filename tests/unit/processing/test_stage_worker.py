"""The kafka runner's stages over the broker in memory, one after another in this thread."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.errors import CallerFault
from headwater.hooks import Hooks
from headwater.naming import ProductName
from headwater.plan.desired import desired
from headwater.ports.memory import MemoryBroker
from headwater.ports.progress import decode_mark
from headwater.ports.quarantine import PREFIX
from headwater.ports.record import TopicDescription
from headwater.processing.flow_file import load_plan
from headwater.processing.reset import reset
from headwater.processing.runners.kafka import KafkaRunner
from headwater.processing.runners.memory import Entry, MemoryRunner
from headwater.processing.stage_worker import StageWorker
from headwater.processing.state_form import StateForm
from headwater.processing.steps import FORM_KEY
from headwater.schemas.codec import RowCodec, frame
from headwater.testing.broker_mesh import BrokerMesh, random_batches, write_renamed_mesh
from headwater.testing.small_mesh import DEPARTURE_SCHEMA, FILES, edit, write
from headwater.timeline.clock import ManualClock


@pytest.fixture
def small(tmp_path: Path) -> BrokerMesh:
    return BrokerMesh.made(MemoryBroker(ManualClock()), tmp_path / "mesh", "x")


def work(small: BrokerMesh, folder: Path, *, polls: int = 30, hooks: Hooks | None = None) -> None:
    """Run each stage for some polls, as often as there are stages: what one hands on, the next reads."""
    around = small.surroundings(folder, hooks=hooks)
    for stage in small.plan.stages:
        left = [polls]

        def enough(left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] < 0

        StageWorker(small.plan, stage, around).run(enough)


@pytest.mark.parametrize("seed", range(4))
def test_it_writes_the_records_that_the_memory_runner_writes(small: BrokerMesh, tmp_path: Path, seed: int) -> None:
    batches = random_batches(seed, batches=25, size=8)
    small.feed(batches)
    work(small, tmp_path / "state")
    assert small.decoded() == small.expected(batches)


def test_stopping_and_starting_anew_changes_nothing(small: BrokerMesh, tmp_path: Path) -> None:
    batches = random_batches(5, batches=40, size=5)
    for start in range(0, 40, 4):
        small.feed(batches[start : start + 4], last=start == 36)
        work(small, tmp_path / f"state{start // 12}", polls=12)
    assert small.decoded() == small.expected(batches)


def test_the_other_partitions_go_on_while_one_waits_for_its_state(small: BrokerMesh, tmp_path: Path) -> None:
    batches = random_batches(9, batches=20, size=6)
    expected = small.expected(batches)
    busy = next(number for number, log in expected.items() if log)
    small.feed(batches[:10], last=False)
    work(small, tmp_path / "state")
    changelog = small.plan.stages[-1].changelog
    hanging = small.broker.sink("hanging", timeout_ms=1_000_000_000)
    hanging.open()
    hanging.begin()
    hanging.send(changelog, b"never", b"committed", timestamp=0, partition=busy)
    small.feed(batches[10:])
    work(small, tmp_path / "state", polls=8)
    others = [number for number in expected if number != busy]
    now = small.decoded()
    assert [now[number] for number in others] == [expected[number] for number in others]
    assert now[busy] != expected[busy]
    hanging.abort()
    work(small, tmp_path / "state", polls=8)
    assert small.decoded() == expected


def test_marks_follow_in_every_partition(small: BrokerMesh, tmp_path: Path) -> None:
    batches = random_batches(1, batches=5, size=3)
    small.feed(batches)
    work(small, tmp_path / "state")
    marks = small.written(f"{small.product.output.topic}.progress")
    newest = {message.partition: decode_mark(message.value or b"") for message in marks}
    assert set(newest) == {0, 1, 2, 3}
    assert len({through for through, _ in newest.values()}) == 1
    for message in small.written():
        assert message.offset < newest[message.partition][1]


def test_what_cannot_be_read_goes_to_quarantine_whole(small: BrokerMesh, tmp_path: Path) -> None:
    batches = random_batches(2, batches=6, size=4)
    topic = small.source.output.topic
    small.feed(batches[:3], last=False)
    sink = small.broker.sink("stranger")
    sink.open()
    sink.begin()
    bad = [b"", b"\x01junk", b"\0\0\0\0\x63unknown", None, b"\0\0\0\0\x01\xff\xff"]
    for value in bad:
        sink.send(topic, b"k", value, timestamp=1, partition=1, headers=[("own", b"header")])
    sink.commit()
    small.feed(batches[3:])
    work(small, tmp_path / "state")
    assert small.decoded() == small.expected(batches)
    letters = small.written(f"{small.product.output.topic}.quarantine")
    assert [letter.value for letter in letters] == bad
    assert all(letter.key == b"k" and letter.headers[0] == ("own", b"header") for letter in letters)
    codes = [dict(letter.headers)[PREFIX + "error.code"] for letter in letters]
    assert codes[:3] == [b"HW-S021", b"HW-S021", b"HW-P022"]


def test_a_missing_topic_is_refused_by_name(small: BrokerMesh, tmp_path: Path) -> None:
    small.broker.delete_topic(small.plan.stages[0].changelog)
    with pytest.raises(CallerFault) as refused:
        KafkaRunner([small.plan], small.surroundings(tmp_path))
    assert refused.value.code == "HW-P020" and refused.value.hint == "headwater apply"
    assert small.plan.stages[0].changelog in refused.value.detail


def test_what_only_maps_and_filters_carries_the_trace_of_its_input_on_in_both_runners(tmp_path: Path) -> None:
    folder = write_renamed_mesh(tmp_path / "mesh", "x")
    schema = (
        FILES[DEPARTURE_SCHEMA].replace('"Departure"', '"Hourly"').replace("flights.departures", "airportsx.hourly")
    )
    write(folder, "schemas/avro/airportsx/hourly/Hourly.avsc", schema)
    contract = "streams/airportsx/hourly/product.yaml"
    edit(folder, contract, "key: [origin]", "key: [flight_id]")
    edit(folder, contract, "reads: [origin, occurred_at]", "reads: [flight_id, origin, occurred_at, delay_minutes]")
    flow = 'from headwater import Stream, col\n\n\ndef flow(d: Stream) -> Stream:\n    return d.filter(col("origin") != "LAX")\n'  # noqa: E501
    write(folder, "streams/airportsx/hourly/flow.py", flow)
    small = BrokerMesh.loaded(MemoryBroker(ManualClock()), folder, "x")
    for topic in desired(small.mesh, {small.plan.product: small.plan}).topics:
        small.broker.create_topic(TopicDescription(topic.name, topic.partitions, dict(topic.settings)))
    output, memory = small.source.output, MemoryRunner(small.plan)
    registered = small.registry.find(output.subject, output.schema)
    assert registered is not None
    encode, trace = RowCodec(output.schema).encode, [("id", b"1"), ("traceparent", b"00-a-b-01")]
    sink = small.broker.sink("feed")
    sink.open()
    sink.begin()
    for number, origin in enumerate(["JFK", "LAX", "EWR", "LGA"]):
        event = {"event_id": str(number), "flight_id": str(number), "origin": origin, "occurred_at": 1}
        event |= {"delay_minutes": None, "recorded_at": 10 + number, "kind": "assert", "revision": 1}
        headers = trace if number != 3 else [("id", b"2")]
        value, key = frame(registered.id, encode(event)), str(number).encode()
        sink.send(output.topic, key, value, timestamp=0, partition=0, headers=headers)
        memory.topics[output.topic][0].append(Entry(key, event, headers=tuple(headers)))
    sink.commit()
    work(small, tmp_path / "state")
    memory.run()
    carried = (("traceparent", b"00-a-b-01"),)
    expected = [(b"0", carried), (b"2", carried), (b"3", ())]
    assert [(one.key, tuple(one.headers)) for one in small.written()] == expected
    current = small.written(f"{small.product.output.topic}.current")
    assert [tuple(one.headers) for one in current] == [headers for _, headers in expected]
    log = memory.topics[small.product.output.topic][0]
    assert [(entry.key, entry.headers) for entry in log if entry.record is not None] == expected
    assert not reset(small.plan, small.broker, clock=ManualClock())  # what keeps no state has offsets alone to forget
    work(small, tmp_path / "state")
    assert [(one.key, tuple(one.headers)) for one in small.written()] == expected


def test_the_form_of_a_state_is_the_first_entry_of_its_changelog(small: BrokerMesh, tmp_path: Path) -> None:
    small.feed(random_batches(3, batches=10, size=10))
    work(small, tmp_path / "state")
    for stage in small.plan.stages:
        if stage.changelog:
            first = {message.partition: message for message in reversed(small.written(stage.changelog))}
            assert first
            form = StateForm(stage, small.mesh)
            written = form.recalling or form.plain
            assert {(one.key, one.value) for one in first.values()} == {(FORM_KEY, written.encode())}


def with_a_second_product(small: BrokerMesh, folder: Path) -> tuple[BrokerMesh, BrokerMesh]:
    """The mesh with `airportsx.daily` beside `airportsx.hourly`, which counts the same, and a view of each product."""
    for name, text in FILES.items():
        if "airports" in name:
            parts = (part.replace("airports", "airportsx").replace("flights", "flightsx") for part in (name, text))
            name, text = (part.replace("hourly", "daily").replace("Hourly", "Daily") for part in parts)
            write(folder, name, text)
    both = [BrokerMesh.loaded(small.broker, folder, "x") for _ in range(2)]
    both[1].plan = load_plan(both[1].mesh, ProductName("airportsx", "daily"))
    for topic in desired(both[0].mesh, {view.plan.product: view.plan for view in both}).topics:
        small.broker.create_topic(TopicDescription(topic.name, topic.partitions, dict(topic.settings)))
    return both[0], both[1]


def test_a_product_that_cannot_go_on_ends_and_the_others_go_on(small: BrokerMesh, tmp_path: Path) -> None:
    hourly, daily = with_a_second_product(small, tmp_path / "mesh")
    sink = small.broker.sink("another-flow")
    sink.open()
    sink.begin()
    sink.send(hourly.plan.stages[-1].changelog, FORM_KEY, b"of another flow", timestamp=1, partition=0)
    sink.commit()
    told: list[dict[str, object]] = []
    hooks = Hooks([lambda happening, fields: told.append(fields) if happening == "product.failed" else None])
    runner = KafkaRunner([hourly.plan, daily.plan], daily.surroundings(tmp_path / "state", hooks=hooks))
    batches = random_batches(4, batches=15, size=6)
    last = batches[-1][-1]["recorded_at"]
    small.feed(batches)
    with pytest.raises(CallerFault) as refused:
        runner.run(tick=lambda: runner.stop() if told and daily.settled() > last else None)
    assert refused.value.code == "HW-P034"
    assert [(fields["product"], fields["code"], fields["others"]) for fields in told] == [
        ("airportsx.hourly", "HW-P034", 1)
    ]
    assert daily.decoded() == daily.expected(batches)
    assert not hourly.written()


def test_the_last_product_that_ends_ends_the_run(small: BrokerMesh, tmp_path: Path) -> None:
    hourly, daily = with_a_second_product(small, tmp_path / "mesh")
    for view in (hourly, daily):
        sink = small.broker.sink("another-flow")
        sink.open()
        sink.begin()
        sink.send(view.plan.stages[-1].changelog, FORM_KEY, b"of another flow", timestamp=1, partition=0)
        sink.commit()
    said: list[str] = []

    def tell(happening: str, fields: dict[str, object]) -> None:
        if happening == "product.failed":
            said.append(str(fields["reason"]))

    runner = KafkaRunner([hourly.plan, daily.plan], daily.surroundings(tmp_path / "state", hooks=Hooks([tell])))
    with pytest.raises(CallerFault) as refused:
        runner.run()
    assert refused.value.code == "HW-P034"
    assert len(said) == 2 and refused.value.message == said[-1], "nobody has been told of the last one yet"
