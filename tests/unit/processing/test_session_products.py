"""A product of sessions as its author has it: examples, the schema that is inferred, what a change of the gap is."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.mesh.load import load_mesh
from headwater.plan.check import check
from headwater.processing.examples import ProductExamples
from headwater.processing.flow_file import port_of
from headwater.processing.infer import inferred_schema
from headwater.testing.small_mesh import HOURLY_FLOW, edit, release, write, write_small_mesh

SESSION_FLOW = """from headwater import Stream, count, session


def flow(departures: Stream) -> Stream:
    return departures.aggregate(by=["origin"], window=session("30min"), departures=count())
"""
EXAMPLE = """examples:
  - name: a late report makes one rush of two
    given:
      flights.departures:
        - {flight_id: UA1, origin: JFK, occurred_at: "2013-01-05T14:00:00Z"}
        - {flight_id: UA2, origin: JFK, occurred_at: "2013-01-05T14:50:00Z"}
        - {flight_id: UA3, origin: JFK, occurred_at: "2013-01-05T14:25:00Z"}
        - {flight_id: UA4, origin: JFK, occurred_at: "2013-01-05T15:20:00Z"}
    expect:
      - rows:
          - {origin: JFK, departures: 3, valid_from: "2013-01-05T14:00:00Z", valid_to: "2013-01-05T15:20:00Z"}
          - {origin: JFK, departures: 1, valid_from: "2013-01-05T15:20:00Z", valid_to: "2013-01-05T15:50:00Z"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small mesh, its derived product over sessions."""
    write_small_mesh(tmp_path)
    write(tmp_path, HOURLY_FLOW, SESSION_FLOW)
    return tmp_path


def test_examples_of_sessions_hold_in_other_orders_of_arrival(folder: Path) -> None:
    write(folder, "streams/airports/hourly/tests.yaml", EXAMPLE)
    mesh = load_mesh(folder)
    examples = ProductExamples(mesh, mesh.product("airports.hourly"))
    (example,) = examples.file.require()
    assert examples.judge(example, orders=40, seed=1).failures == ()
    write(folder, "streams/airports/hourly/tests.yaml", EXAMPLE.replace("departures: 3", "departures: 2"))
    wrong = ProductExamples(mesh, mesh.product("airports.hourly"))
    assert [one.place.code for one in wrong.judge(wrong.file.require()[0], orders=2, seed=1).failures] == ["HW-P148"]


def test_the_schema_of_sessions_is_that_of_any_facts(folder: Path) -> None:
    name = load_mesh(folder).product("airports.hourly").name
    fields = {field["name"]: field["type"] for field in inferred_schema(folder, name)["fields"]}
    assert fields["valid_to"] == ["null", fields["valid_from"]]
    assert [*fields][:3] == ["origin", "valid_from", "valid_to"] and fields["departures"] == "long"


def test_another_gap_breaks_as_another_window_does(folder: Path) -> None:
    release(folder)
    assert not [found for found in check(folder).findings if found.severity == "error"]
    edit(folder, HOURLY_FLOW, "30min", "45min")
    assert [found.code for found in check(folder).findings if found.code == "HW-C082"] == ["HW-C082"]
    changes = [change for change in check(folder).changes if change.pending]
    assert {impact.due for change in changes for impact in change.impacts if impact.place == "flow"} == {"major"}


def test_facts_of_a_derived_product_may_give_way_to_others_and_those_of_a_source_do_not(folder: Path) -> None:
    mesh = load_mesh(folder)
    assert port_of(mesh.product("airports.hourly")).moving
    assert not port_of(mesh.product("flights.departures")).moving
