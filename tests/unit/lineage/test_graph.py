"""Lineage: what goes into what, and by which way, inside a mesh and out of it."""

from __future__ import annotations

from pathlib import Path

from headwater.catalog.mesh_lineage import mesh_lineage, readers_of
from headwater.lineage.fields import Edge, consumer, field, product
from headwater.lineage.graph import Lineage
from headwater.mesh.load import load_mesh
from headwater.processing.flow_file import judge_flow
from headwater.testing.small_mesh import BOARD, BOARD_TEXT, write, write_small_mesh

ROOT = Path(__file__).resolve().parents[3]


def texts(nodes: object) -> list[str]:
    return [node.text() for node in nodes]  # type: ignore[attr-defined]


def test_a_field_that_decides_which_rows_there_are_is_upstream_of_every_field(tmp_path: Path) -> None:
    folder = write_small_mesh(tmp_path)
    write(folder, BOARD, BOARD_TEXT)
    mesh = load_mesh(folder)
    flows = {p.name: judge_flow(mesh, p.name) for p in mesh.in_order() if p.product.inputs}
    lineage = mesh_lineage(mesh, flows)
    assert "flights.departures.origin" in texts(lineage.upstream(field("airports.hourly", "departures")))
    assert texts(lineage.downstream(field("flights.departures", "origin")))[-1] == "board"
    assert lineage.downstream(field("flights.departures", "delay_minutes")) == ()
    uses = {edge.use for edge in lineage.readers(field("flights.departures", "origin"))}
    assert uses == {"value", "group"}
    readers = {(reader.kind, reader.name, str(reader.source)): reader for reader in readers_of(mesh, flows)}
    assert not readers["product", "airports.hourly", "flights.departures"].reads("delay_minutes")
    assert readers["consumer", "board", "airports.hourly"].reads("departures")


def test_a_flow_that_cannot_run_counts_by_what_its_contract_declares(tmp_path: Path) -> None:
    mesh = load_mesh(write_small_mesh(tmp_path))
    lineage = mesh_lineage(mesh, {})
    assert texts(lineage.downstream(field("flights.departures", "origin"))) == ["airports.hourly"]
    assert lineage.downstream(field("flights.departures", "delay_minutes")) == ()


def test_the_reference_meshs_temperature_reaches_the_features_by_one_way() -> None:
    mesh = load_mesh(ROOT)
    flows = {p.name: judge_flow(mesh, p.name) for p in mesh.in_order() if p.product.inputs}
    lineage = mesh_lineage(mesh, flows)
    source = field("weather.observations", "temperature_fahrenheit")
    (path,) = lineage.paths(source, field("planning.delay_features", "temperature_fahrenheit"))
    assert len(path) == 2
    assert lineage.circles() == ()
    assert len(lineage.upstream(product("planning.delay_features"))) > 10


def test_ways_through_a_circle_end() -> None:
    ring = [
        Edge(field("a.a", "x"), field("b.b", "x"), "value"),
        Edge(field("b.b", "x"), field("a.a", "x"), "value"),
        Edge(field("b.b", "x"), consumer("board"), "read"),
    ]
    lineage = Lineage(ring)
    assert texts(lineage.downstream(field("a.a", "x"))) == ["b.b.x", "board"]
    assert len(lineage.paths(field("a.a", "x"), consumer("board"))) == 1
    assert texts(lineage.circles()) == ["a.a", "b.b"]
