"""Events as states: which pieces a change says, what is refused, where a state comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from headwater.errors import CallerFault
from headwater.processing.field_uses import field_uses
from headwater.processing.flow import Stream, count, source
from headwater.processing.graph import Graph, Port
from headwater.processing.operators.latest import Latest
from headwater.processing.state import MemoryStore, Overlay
from headwater.processing.validation import lineage, validate
from headwater.processing.windows import whole
from headwater.testing.harness import Harness, plan_of, product

SEEN = product(
    "fleet.seen",
    shape="event",
    key=["report"],
    fields={"report": "string", "plane": "string", "airport": "string", "fuel": "double"},
)
RENAMED = product("fleet.stays", shape="event", key=["plane"], fields={"plane": "string", "valid_to": "string"})
PLACES = product("fleet.places", shape="fact", key=["plane"], fields={"plane": "string", "airport": "string"})


def places(seen: Stream) -> Stream:
    return seen.latest(by=["plane"])


def give(harness: Harness, report: str, occurred_at: int, airport: str, **more: object) -> None:
    fields = {"event_id": report, "report": report, "plane": "N1", "fuel": 0.0, **more}
    harness.at(harness._now + 1_000_000).give(SEEN, occurred_at=occurred_at, airport=airport, **fields)


def test_a_late_moved_or_retracted_event_alters_the_piece_up_to_the_next_one() -> None:
    harness = Harness(places, inputs=[SEEN], output=PLACES)
    give(harness, "a", 10, "JFK")
    give(harness, "c", 30, "LGA")
    give(harness, "b", 20, "EWR")
    give(harness, "b", 25, "EWR", revision=2, kind="correct")
    give(harness, "b", 25, "EWR", revision=3, kind="retract")
    give(harness, "a", 10, "JFK", revision=2, kind="retract")
    said = [(r["valid_from"], r["valid_to"], r["airport"], r["kind"], r["revision"]) for r in harness.records()]
    assert said == [
        (10, None, "JFK", "assert", 1),
        (30, None, "LGA", "assert", 1),
        (20, 30, "EWR", "assert", 1),
        (20, 25, "JFK", "assert", 1),
        (25, 30, "JFK", "assert", 1),
        (10, 30, "JFK", "retract", 1),
    ]


def test_what_a_tick_writes_and_deletes_does_not_follow_from_the_order_of_its_changes() -> None:
    """The newest goes, and another comes behind it: either may be told first."""
    [stage] = plan_of(places, [replace(SEEN, key=("plane",))], PLACES, tick=10).stages
    spec = stage.logic.operations[0].spec

    def row(report: str, at: int) -> tuple[Any, ...]:
        said = {"plane": "N1", "airport": "JFK", "event_id": report, "occurred_at": at}
        return tuple(said[name] for name in spec.columns)

    written = []
    for changes in permutations([(b"N1", row("b", 20), None), (b"N1", None, row("c", 30))]):
        overlay = Overlay(MemoryStore())
        latest = Latest(spec, overlay)
        latest.tick([(b"N1", None, row("a", 10)), (b"N1", None, row("b", 20))])
        overlay.store.apply(overlay.changes())
        overlay.committed()
        latest.tick(list(changes))
        written.append(dict(overlay.changes()))
    assert written[0] == written[1]


def test_an_event_that_says_what_already_held_says_nothing() -> None:
    harness = Harness(places, inputs=[SEEN], output=PLACES)
    give(harness, "a", 10, "JFK")
    give(harness, "b", 20, "JFK")
    assert [(record["valid_from"], record["valid_to"]) for record in harness.records()] == [(10, None)]


def test_of_one_instant_the_greater_id_speaks_and_of_one_id_the_greater_key() -> None:
    harness = Harness(places, inputs=[SEEN], output=PLACES)
    give(harness, "b", 10, "EWR")
    give(harness, "a", 10, "JFK")
    give(harness, "c", 10, "LGA", event_id="b")
    assert [record["airport"] for record in harness.records()] == ["EWR", "LGA"]


@pytest.mark.parametrize(
    ("flow", "code"),
    [
        (lambda seen, stays: seen.latest(by=["pilot"]), "HW-P010"),
        (lambda seen, stays: seen.latest(by=["fuel"]), "HW-P074"),
        (lambda seen, stays: seen.select("plane", "airport").latest(by=["plane"]), "HW-P077"),
        (lambda seen, stays: stays.latest(by=["plane"]), "HW-P072"),
        (lambda seen, stays: seen.latest(by=["plane"]).latest(by=["plane"]), "HW-P115"),
        (lambda seen, stays: seen.latest(by=["plane"]).aggregate(by=["plane"], window=whole(), n=count()), "HW-P115"),
    ],
)
def test_what_cannot_be_a_state_is_refused(flow: Callable[..., Stream], code: str) -> None:
    stream = flow(source(0), source(1))
    assert [finding.code for finding in validate(Graph(stream.node, (SEEN, RENAMED), PLACES))] == [code]


def test_facts_are_no_events_and_states_are_no_grid() -> None:
    def codes(stream: Stream, source_port: Port, output: Port) -> list[str]:
        return [finding.code for finding in validate(Graph(stream.node, (source_port,), output))]

    assert codes(places(source(0)), PLACES, PLACES) == ["HW-P114"]
    assert codes(places(source(0)), SEEN, replace(PLACES, grid=True)) == ["HW-P116"]
    assert codes(places(source(0)), SEEN, PLACES) == []


def test_a_state_comes_from_its_field_and_its_interval_from_the_instants() -> None:
    graph = Graph(places(source(0)).node, (SEEN,), PLACES)
    edges = lineage(graph)
    assert edges["airport"] == {("fleet.seen", "airport")}
    assert edges["valid_from"] == edges["valid_to"] == {("fleet.seen", "occurred_at")}
    uses = {(edge.source.text(), edge.use) for edge in field_uses(graph) if edge.use != "value"}
    assert uses == {("fleet.seen.plane", "group"), ("fleet.seen.occurred_at", "time")}


@pytest.mark.parametrize("by", ["plane", []])
def test_a_call_that_names_no_key_is_refused_at_once(by: list[str]) -> None:
    with pytest.raises(CallerFault) as fault:
        source(0).latest(by=by)
    assert fault.value.code == "HW-P016"
