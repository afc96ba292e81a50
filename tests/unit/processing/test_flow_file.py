"""flow.py of the reference mesh, whole and broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from headwater.mesh.load import load_mesh
from headwater.naming import ProductName
from headwater.processing.flow_file import check_flow, load_plan
from headwater.processing.steps import internal_topics
from headwater.testing.small_mesh import DEPARTURE_SCHEMA, edit, write_small_mesh
from headwater.testing.small_mesh import HOURLY_FLOW as SMALL_FLOW

ROOT = Path(__file__).parents[3]
HOURLY = ProductName("airports", "hourly_punctuality")
FLOW = "streams/airports/hourly_punctuality/flow.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "mesh.yaml", tmp_path)
    for name in ("connectors", "streams", "schemas"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_flow_of_the_reference_mesh_is_right(folder: Path) -> None:
    mesh = load_mesh(folder)
    for resolved in mesh.products.values():
        if resolved.product.inputs:
            assert check_flow(mesh, resolved.name) == []


def test_a_plan_names_the_topics_that_apply_must_create(folder: Path) -> None:
    plan = load_plan(load_mesh(folder), HOURLY)
    assert [(topic.name, topic.partitions) for topic in internal_topics(plan)] == [
        ("airports.hourly_punctuality.v1.aggregate.changelog", 4),
        ("airports.hourly_punctuality.v1.changes.changelog", 4),
        ("airports.hourly_punctuality.v1.changes.rekey", 4),
    ]


OWN_FOLD = """from headwater import calendar, count, fold
def add(state, n): return {"n": state["n"] + (n or 0)}
def flow(departures):
    most = fold({"n": 0}, add, lambda state, n: state, lambda state: state["n"], of=["delay_minutes"],
                state={"n": "STATE"}, type="long")

    return departures.aggregate(by=["origin"], window=calendar("hour"), departures=count(), most=most)
"""


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("def flow(departures:\n", "HW-P001", 1),
        ("x = 1\n", "HW-P002", 1),
        ("def flow(departures, weather):\n    return departures\n", "HW-P003", 1),
        ("import nowhere_to_be_found\n", "HW-P004", 1),
        ("x = 1\nraise SystemExit(0)\n", "HW-P004", 2),
        ("import sys\ndef flow(departures):\n    sys.exit()\n", "HW-P004", 3),
        ("def flow(departures):\n    return departures.windowed()\n", "HW-P004", 2),
        ("def flow(departures):\n    return 5\n", "HW-P005", 1),
        ("def flow(departures):\n\n    return departures.filter('late')\n", "HW-P016", 3),
        (OWN_FOLD.replace("STATE", "double"), "HW-P123", 4),
        ("from headwater import col\ndef flow(s):\n    return s.filter(col('dely') > 1)\n", "HW-P010", 3),
    ],
)
def test_a_broken_flow_is_named_with_its_line(folder: Path, text: str, code: str, line: int) -> None:
    (folder / FLOW).write_text(text)
    (finding,) = check_flow(load_mesh(folder), HOURLY)
    assert (finding.code, finding.line, finding.file) == (code, line, FLOW)


def test_a_fold_of_ones_own_that_breaks_a_law_is_named_with_the_line_of_its_aggregate(folder: Path) -> None:
    (folder / FLOW).write_text(OWN_FOLD.replace("STATE", "long"))
    findings = check_flow(load_mesh(folder), HOURLY)
    assert ("HW-P124", 7, FLOW) in [(finding.code, finding.line, finding.file) for finding in findings]


def test_a_flow_that_cannot_be_read_is_a_finding_with_why_and_fix(folder: Path) -> None:
    (folder / FLOW).write_bytes(b"\xff\xfe\n")
    (finding,) = check_flow(load_mesh(folder), HOURLY)
    assert (finding.code, finding.file) == ("HW-P001", FLOW)
    assert finding.why
    assert finding.fix
    mesh = load_mesh(folder)
    (folder / FLOW).unlink()
    (folder / FLOW).mkdir()
    (finding,) = check_flow(mesh, HOURLY)
    assert "Is a directory" in finding.message


def test_a_field_that_is_read_but_not_declared_is_found(folder: Path) -> None:
    text = (
        (folder / FLOW)
        .read_text()
        .replace("departures.aggregate(", 'departures.filter(col("carrier") == "UA").aggregate(')
    )
    (folder / FLOW).write_text(text.replace("import Stream", "import Stream, col"))
    (finding,) = check_flow(load_mesh(folder), HOURLY)
    assert finding.code == "HW-P006" and "'carrier'" in finding.message


def test_a_field_that_state_cannot_hold_is_found_before_anything_runs(tmp_path: Path) -> None:
    write_small_mesh(tmp_path)
    extra = '{"name": "seal", "type": {"type": "fixed", "name": "Seal", "size": 16}},'
    edit(tmp_path, DEPARTURE_SCHEMA, '{"name": "delay_minutes"', extra + ' {"name": "delay_minutes"')
    edit(tmp_path, SMALL_FLOW, "departures=count()", 'departures=count("seal")')
    (finding,) = check_flow(load_mesh(tmp_path), ProductName("airports", "hourly"))
    assert (finding.code, finding.file, finding.line) == ("HW-P165", SMALL_FLOW, 5)
