"""A product with two outputs on a broker: both say what the memory runner says, in the same transactions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headwater import naming
from headwater.catalog.standards import asyncapi, backstage, odcs, odps
from headwater.errors import CallerFault, InvalidFiles
from headwater.hooks import Hooks
from headwater.mesh.load import load_mesh
from headwater.naming import ProductName
from headwater.plan.check import check
from headwater.plan.desired import desired
from headwater.ports.memory import MemoryBroker
from headwater.ports.progress import decode_mark
from headwater.ports.record import TopicDescription
from headwater.processing.checkpoint import Checkpoint
from headwater.processing.examples import ProductExamples
from headwater.processing.field_uses import field_uses
from headwater.processing.flow_file import load_flow, load_plan
from headwater.processing.infer import inferred_schema
from headwater.processing.preview import preview
from headwater.processing.reset import reset
from headwater.processing.stage_worker import StageWorker
from headwater.sdk.open import OpenProduct
from headwater.sdk.query import Bounds, run
from headwater.sdk.sql_text import read_query
from headwater.testing.broker_mesh import BrokerMesh, random_batches, registered
from headwater.testing.small_mesh import (
    BOARD,
    BOARD_TEXT,
    BUSY_SCHEMA,
    DEPARTURES,
    HOURLY,
    HOURLY_FLOW,
    add_busy_output,
    edit,
    release,
    write,
    write_small_mesh,
)
from headwater.timeline.bitemporal import KnownFacts
from headwater.timeline.clock import ManualClock

DAYS = 'departures.aggregate(by=["origin"], window=tumbling("1d"), departures=count()).filter'
HOURLY_NAME = ProductName("airports", "hourly")


@pytest.fixture
def small(tmp_path: Path) -> BrokerMesh:
    return BrokerMesh.made(MemoryBroker(ManualClock()), tmp_path / "mesh", "x", busy=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = write_small_mesh(tmp_path / "files")
    add_busy_output(place)
    return release(place)


def work(small: BrokerMesh, folder: Path, *, polls: int = 30, hooks: Hooks | None = None) -> None:
    for stage in small.plan.stages:
        left = [polls]

        def enough(left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] < 0

        StageWorker(small.plan, stage, small.surroundings(folder, hooks=hooks)).run(enough)


def marks_of(small: BrokerMesh, output: str) -> dict[int, int]:
    product = small.output(output)
    messages = small.written(naming.progress_topic(product.name, product.major))
    return {message.partition: int(decode_mark(message.value or b"")[0]) for message in messages}


def holds(small: BrokerMesh, batches: list[Any]) -> None:
    for output in ("", "busy"):
        assert small.decoded(output) == small.expected(batches, output)
    assert any(small.decoded("busy").values())
    assert marks_of(small, "") == marks_of(small, "busy") != {}


@pytest.mark.parametrize("seed", range(3))
def test_both_outputs_say_what_the_memory_runner_says_and_stand_at_the_same_mark(
    small: BrokerMesh, tmp_path: Path, seed: int
) -> None:
    batches = random_batches(seed, batches=30, size=6)
    small.feed(batches[:20], last=False)
    work(small, tmp_path / "state")
    assert marks_of(small, "") == marks_of(small, "busy")
    small.feed(batches[20:])
    work(small, tmp_path / "state")
    holds(small, batches)


@pytest.mark.parametrize("seed", range(2))
def test_made_anew_neither_output_says_anything_twice(small: BrokerMesh, tmp_path: Path, seed: int) -> None:
    batches = random_batches(seed, batches=30, size=6)
    small.feed(batches[:20], last=False)
    work(small, tmp_path / "state")
    before = [small.written(small.output(output).output.topic) for output in ("", "busy")]
    reset(small.plan, small.broker, clock=ManualClock())
    work(small, tmp_path / "other")
    assert [small.written(small.output(output).output.topic) for output in ("", "busy")] == before
    small.feed(batches[20:])
    work(small, tmp_path / "other")
    holds(small, batches)


READER = {
    "product.yaml": """product: airportsx.alarms
version: 1.0.0
type: aggregate
owner: {team: airport-operations, contact: airports@example.org}
purpose: How many busy hours an airport has had.
inputs:
  - {product: airportsx.hourly, output: busy, major: 1, reads: [origin, word]}
outputs:
  - {name: facts, schema: Alarms, key: [origin]}
""",
    "flow.py": """from headwater import Stream, col, count, whole


def flow(hours: Stream) -> Stream:
    return hours.filter(col("word") == "busy").aggregate(by=["origin"], window=whole(), departures=count())
""",
}


def test_a_product_reads_a_further_output_of_another(tmp_path: Path) -> None:
    broker, folder = MemoryBroker(ManualClock()), tmp_path / "mesh"
    small = BrokerMesh.made(broker, folder, "x", busy=True)
    for name, text in READER.items():
        write(folder, f"streams/airportsx/alarms/{name}", text)
    hourly = (folder / "schemas/avro/airportsx/hourly/Hourly.avsc").read_text(encoding="utf-8")
    schema = hourly.replace('"Hourly"', '"Alarms"').replace("airportsx.hourly", "airportsx.alarms")
    write(folder, "schemas/avro/airportsx/alarms/Alarms.avsc", schema)
    mesh = load_mesh(folder)
    plan = load_plan(mesh, ProductName("airportsx", "alarms"))
    for topic in desired(mesh, {plan.product: plan}, [plan.product]).topics:
        broker.create_topic(TopicDescription(topic.name, topic.partitions, dict(topic.settings)))
    reader = replace(small, mesh=mesh, plan=plan, registry=registered(mesh))
    batches = random_batches(3, batches=30, size=6)
    small.feed(batches)
    work(replace(small, registry=reader.registry), tmp_path / "state")
    work(reader, tmp_path / "state")
    busy = [record for log in small.decoded("busy").values() for _, record in log]
    known = KnownFacts(("origin",))
    for record in busy:
        known.take(record)
    expected = Counter(row["origin"] for row in known.rows() if row["word"] == "busy")
    counted = KnownFacts(("origin",))
    for log in reader.decoded().values():
        for _, record in log:
            counted.take(record)
    assert expected and {row["origin"]: row["departures"] for row in counted.rows()} == expected


def test_an_output_is_opened_and_queried_by_its_name(small: BrokerMesh, tmp_path: Path) -> None:
    batches = random_batches(1, batches=30, size=6)
    small.feed(batches)
    work(small, tmp_path / "state")
    product = OpenProduct(small.mesh.product("airportsx.hourly/busy"), small.broker, small.registry, tick=100_000)
    known = KnownFacts(("origin",))
    for log in small.expected(batches, "busy").values():
        for _, record in log:
            known.take(record)
    answer = product.as_of()
    assert answer.rows and sorted(map(repr, answer.rows)) == sorted(map(repr, known.rows()))
    assert answer.settled_to > batches[-1][-1]["recorded_at"]
    assert {record["word"] for record in product.history().rows} <= {"busy", "very busy"}
    for text in (
        'SELECT count(*) AS hours FROM airportsx."hourly/busy"',
        "SELECT count(*) AS hours FROM as_of('airportsx.hourly/busy')",
    ):
        asked = read_query(text)
        assert asked.asked[0].product == "airportsx.hourly/busy"
        found = run(asked, lambda one: (product.as_of(), product.product.output.schema), Bounds())
        assert found.to_arrow()["hours"].to_pylist() == [len(answer.rows)]


def forget_the_marks_of_the_second(patch: pytest.MonkeyPatch) -> None:
    whole = Checkpoint._marks

    def marks(self: Checkpoint, works: Any, ends: Any) -> None:
        send = self._sink.send

        def sending(topic: str, *rest: Any, **named: Any) -> None:
            if ".busy." not in topic:
                send(topic, *rest, **named)

        patch.setattr(self._sink, "send", sending)
        whole(self, works, ends)
        patch.setattr(self._sink, "send", send)

    patch.setattr(Checkpoint, "_marks", marks)


def write_the_second_after_the_commit(patch: pytest.MonkeyPatch) -> None:
    """Outside the transaction: what a crash after the commit leaves, every second time."""
    whole, count = Checkpoint._outputs, [0]

    def outputs(self: Checkpoint, work: Any) -> int:
        count[0] += 1
        if count[0] % 2:
            for said in work.commit.said[1:]:
                said.records.clear()
                said.blocks.clear()
        return whole(self, work)

    patch.setattr(Checkpoint, "_outputs", outputs)


@pytest.mark.parametrize("break_it", [forget_the_marks_of_the_second, write_the_second_after_the_commit])
def test_a_broken_transaction_turns_it_red(
    small: BrokerMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[pytest.MonkeyPatch], None]
) -> None:
    batches = random_batches(0, batches=30, size=6)
    break_it(monkeypatch)
    small.feed(batches)
    work(small, tmp_path / "state")
    with pytest.raises(AssertionError):
        holds(small, batches)


def test_names_of_one_output_are_those_they_were_and_further_ones_carry_their_name(folder: Path) -> None:
    mesh = load_mesh(folder)
    topics = [topic.name for topic in desired(mesh, {HOURLY_NAME: load_plan(mesh, HOURLY_NAME)}).topics]
    assert sorted(name for name in topics if name.startswith("airports.")) == [
        "airports.hourly.busy.v1",
        "airports.hourly.busy.v1.progress",
        "airports.hourly.v1",
        "airports.hourly.v1.aggregate.changelog",
        "airports.hourly.v1.changes.changelog",
        "airports.hourly.v1.changes.rekey",
        "airports.hourly.v1.control",
        "airports.hourly.v1.current",
        "airports.hourly.v1.progress",
        "airports.hourly.v1.quarantine",
    ]
    subjects = [subject.name for subject in desired(mesh, {}).subjects]
    assert "airports.hourly.v1-value" in subjects and "airports.hourly.busy.v1-value" in subjects


def test_a_mesh_with_several_outputs_is_in_order(folder: Path) -> None:
    write(
        folder, BOARD, BOARD_TEXT.replace("hourly, major", "hourly, output: busy, major").replace("departures", "word")
    )
    report = check(folder)
    assert not report.findings, report.findings


def found(folder: Path) -> dict[str, tuple[str, int]]:
    return {one.code: (one.file, one.line) for one in check(folder).findings}


@pytest.mark.parametrize(
    ("file", "old", "new", "code", "line"),
    [
        (HOURLY, "name: busy", "name: facts", "HW-C118", 13),
        (HOURLY, "name: busy", "name: bu__sy", "HW-C118", 13),
        (DEPARTURES, "    retention: 30d\n", "  - {name: more, schema: Departure, key: [flight_id]}\n", "HW-C119", 11),
        (HOURLY, "    schema: Busy\n", "    schema: Busy\n    partitions: 3\n", "HW-C120", 15),
        (HOURLY_FLOW, '"busy": ', '"bus": ', "HW-P177", 4),
        (HOURLY_FLOW, 'return {"facts": hours, "busy": ', "return hours if True else {0: ", "HW-P177", 4),
        (HOURLY_FLOW, "hours.filter", DAYS, "HW-P175", 7),
    ],
)  # fmt: skip
def test_what_is_wrong_with_several_outputs_is_said_at_its_place(
    folder: Path, file: str, old: str, new: str, code: str, line: int
) -> None:
    edit(folder, file, old, new)
    assert found(folder)[code] == (file, line)


@pytest.mark.parametrize(("output", "code", "line"), [("bus", "HW-C122", 5), ("facts", "HW-C123", 5), ("busy", "", 0)])
def test_an_input_names_a_further_output(folder: Path, output: str, code: str, line: int) -> None:
    write(
        folder,
        BOARD,
        BOARD_TEXT.replace("hourly, major", f"hourly, output: {output}, major").replace("departures", "word"),
    )
    assert found(folder) == ({code: (BOARD, line)} if code else {})


def test_a_statement_of_sql_has_one_output(folder: Path) -> None:
    (folder / HOURLY_FLOW).unlink()
    write(folder, HOURLY_FLOW.replace(".py", ".sql"), "SELECT * FROM flights.departures")
    assert "HW-P178" in found(folder)


def test_a_new_output_of_a_released_product_is_a_new_major(folder: Path, tmp_path: Path) -> None:
    before = release(write_small_mesh(tmp_path / "before"))
    add_busy_output(before)
    release(before)
    report = check(before)
    assert [one.message for one in report.findings if one.code == "HW-C082"] == [
        "the version is 1.0.0, and 2.0.0 is due"
    ]


def test_a_change_of_a_further_schema_is_judged_by_its_own_readers(folder: Path) -> None:
    write(
        folder, BOARD, BOARD_TEXT.replace("hourly, major", "hourly, output: busy, major").replace("departures", "word")
    )
    edit(
        folder, BUSY_SCHEMA, '{"name": "word", "type": "string"}', '{"name": "words", "type": "string", "default": ""}'
    )
    edit(folder, HOURLY_FLOW, "map(word=word)", "map(words=word)")
    messages = [one for one in check(folder).findings if one.code == "HW-C084"]
    assert [(one.file, one.message) for one in messages] == [(BUSY_SCHEMA, "removing 'word' breaks 1 reader")]


def test_what_is_done_for_a_whole_product_is_refused_for_an_output(folder: Path) -> None:
    mesh = load_mesh(folder)
    assert mesh.product("airports.hourly/busy").output.topic == "airports.hourly.busy.v1"
    assert mesh.product("airports.hourly/facts") is mesh.product("airports.hourly")
    with pytest.raises(CallerFault, match="is an output of"):
        mesh.whole("airports.hourly/busy")
    with pytest.raises(CallerFault, match="no product"):
        mesh.product("airports.hourly/none")
    with pytest.raises(InvalidFiles):
        edit(folder, HOURLY, "name: busy", "name: facts")
        load_mesh(folder)


EXAMPLES = """examples:
  - name: two departures make an hour busy
    given:
      flights.departures:
        - {flight_id: A, origin: JFK, occurred_at: "2013-01-05T14:05:00Z"}
        - {flight_id: B, origin: JFK, occurred_at: "2013-01-05T14:06:00Z"}
    expect:
      - {rows: [{origin: JFK, departures: 2}]}
      - {output: busy, rows: [{origin: JFK, word: busy}]}
"""


def judged(folder: Path) -> list[str]:
    mesh = load_mesh(folder)
    examples = ProductExamples(mesh, mesh.whole(HOURLY_NAME))
    (example,) = examples.file.require()
    return [failure.place.code for failure in examples.judge(example, orders=3, seed=1).failures]


def test_an_example_expects_something_of_each_output(folder: Path) -> None:
    write(folder, "streams/airports/hourly/tests.yaml", EXAMPLES)
    assert judged(folder) == [] and found(folder) == {}
    write(folder, "streams/airports/hourly/tests.yaml", EXAMPLES.replace("word: busy", 'word: "very busy"'))
    assert judged(folder) == ["HW-P148"]
    write(folder, "streams/airports/hourly/tests.yaml", EXAMPLES.replace("output: busy", "output: bus"))
    assert found(folder) == {"HW-P179": ("streams/airports/hourly/tests.yaml", 9)}


def test_the_schema_of_a_further_output_is_inferred(folder: Path) -> None:
    (folder / BUSY_SCHEMA).unlink()
    schema = inferred_schema(folder, HOURLY_NAME.of_output("busy"))
    assert (schema["name"], schema["namespace"]) == ("Busy", "airports.hourly")
    assert "word" in [field["name"] for field in schema["fields"]]


def test_a_preview_shows_the_output_that_is_asked_for(folder: Path) -> None:
    graph = load_flow(load_mesh(folder), HOURLY_NAME)
    events = [
        {"event_id": f"e{number}", "flight_id": f"f{number}", "origin": "JFK", "occurred_at": 0}
        | {"delay_minutes": None, "recorded_at": 1_000_000 * number, "kind": "assert", "revision": 1}
        for number in range(3)
    ]
    words = [one["word"] for one in preview(graph, [events], tick=100_000, topic="airports.hourly.busy.v1").records]
    assert words == ["busy"] and len(preview(graph, [events], tick=100_000).records) == 3


def test_documents_of_standards_list_every_output(folder: Path) -> None:
    mesh = load_mesh(folder)
    product = mesh.product(HOURLY_NAME)
    ports = [port["name"] for port in odps.document(product, mesh)["outputPorts"]]
    assert ports == ["facts-topic", "facts-current", "busy-topic"]
    channels = asyncapi.document(product, mesh)["channels"]
    assert {"airports.hourly.v1", "airports.hourly.v1.current", "airports.hourly.busy.v1"} <= set(channels)
    objects = odcs.document(product, mesh.file)["schema"]
    assert [one["physicalName"] for one in objects] == ["airports.hourly.v1", "airports.hourly.busy.v1"]
    names = [one["metadata"]["name"] for one in backstage.documents([product], mesh) if one["kind"] == "Resource"]
    assert names == ["airports.hourly.v1", "airports.hourly.busy.v1"]


def test_lineage_tells_the_outputs_apart(folder: Path) -> None:
    edges = field_uses(load_flow(load_mesh(folder), HOURLY_NAME))
    targets = {(edge.target.name, edge.target.field) for edge in edges}
    assert {("airports.hourly", "origin"), ("airports.hourly/busy", "origin")} <= targets
    filters = {edge.target.name for edge in edges if edge.use == "group"}
    assert filters == {"airports.hourly", "airports.hourly/busy"}
