"""The suite over runners holds what the page about them says: its cases are in a table there, and none is missing."""

from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

from tests.integration.reference_flights import DERIVED

from headwater.mesh.load import load_mesh
from headwater.processing.flow_file import load_flow
from headwater.processing.graph import Measure, Node
from headwater.processing.runners.flink import refusals
from headwater.testing.conformance.runner_flink import REFUSED
from headwater.testing.conformance.runner_table import operators_of, refused_on_flink, runner_table
from headwater.testing.conformance.runners import ALL, distinct

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "concepts" / "runners.md").read_text()
NOT_ON_FLINK = {
    *("explode", "join_as_of", "join_within", "latest"),
    *("calendar day", "calendar month", "session"),
    *("first", "last", "fold"),
}


def test_the_page_has_the_table_of_the_cases() -> None:
    table = "\n".join(runner_table(distinct(ALL)))
    assert table in PAGE, f"docs/concepts/runners.md is stale, for the table is\n{table}"


def test_every_step_window_and_measure_is_in_a_case() -> None:
    found = {part for file in distinct(ALL) for part in operators_of(file.case)}
    steps = {step.__name__ for step in get_args(Node)} - {"Source"}
    assert {step.lower().replace("join", "join_").replace("asof", "as_of") for step in steps} <= found
    assert {*get_args(get_type_hints(Measure)["function"])} <= found
    assert {"tumbling", "hopping", "whole", "calendar day", "calendar month", "session", "rekey"} <= found


def test_on_flink_is_compared_all_but_what_it_refuses() -> None:
    files = distinct(ALL)
    assert {file.name for file in files if refused_on_flink(file.case)} == REFUSED
    parts = {part for file in files for part in operators_of(file.case)}
    compared = {part for file in files if file.name not in REFUSED for part in operators_of(file.case)}
    assert parts - compared == NOT_ON_FLINK


def test_the_page_says_which_products_of_the_reference_mesh_are_compared_on_which_runner() -> None:
    mesh = load_mesh(ROOT)
    derived = [product.name for product in mesh.in_order() if product.product.inputs]
    assert {*map(str, derived)} == {*DERIVED}
    for name in derived:
        found = refusals(load_flow(mesh, name))
        on_flink = f"refused, {found[0].code}: {found[0].message.rpartition(' ')[2]}" if found else "compared"
        assert f"| `{name}` | compared | {on_flink} |" in PAGE
