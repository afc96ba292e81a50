"""The application as a file: what is written, what the example adds to it, and what a check says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.mesh.load import load_mesh
from headwater.naming import ProductName
from headwater.plan.check import check
from headwater.processing.flow_file import load_plan
from headwater.processing.runners.faust_eject import APP_FILE, app_text, check_app
from headwater.processing.steps import topics_of
from headwater.testing.small_mesh import write, write_small_mesh

ROOT = Path(__file__).resolve().parents[3]
PUNCTUALITY = ProductName("airports", "hourly_punctuality")


def test_it_has_an_agent_for_each_topic_that_a_stage_reads() -> None:
    plan = load_plan(load_mesh(ROOT), PUNCTUALITY)
    text = app_text(plan)
    compile(text, APP_FILE, "exec")
    topics = {topic for stage in plan.stages for topic in topics_of(stage)}
    assert text.count("@app.agent(products.topic(app, ") == len(topics)
    assert all(f'"{topic}"' in text for topic in topics)


def test_the_example_is_what_is_written_and_agents_of_its_own() -> None:
    """Up to its own part it differs in what it imports, and in how it is run."""
    example = (ROOT / "examples" / "faust_app.py").read_text()
    plain = app_text(load_plan(load_mesh(ROOT), PUNCTUALITY), Path("examples/faust_app.py"))
    generated = plain.partition("# Agents, timers and web views")[0]
    lines = [line for line in generated.splitlines() if line]
    shown = example.partition("# Agents, timers and web views")[0].splitlines()
    assert [line for line in shown if line in set(lines) and line] == lines


@pytest.mark.parametrize(
    "line",
    ['app = faust.App("a", processing_guarantee="exactly_once")', "app.conf.processing_guarantee = EXACTLY_ONCE"],
)
def test_exactly_once_is_a_finding_at_its_place(line: str) -> None:
    (found,) = check_app(f"import faust\n{line}\n".encode(), "streams/a/b")
    assert (found.code, found.severity, found.file, found.line) == ("HW-P210", "error", f"streams/a/b/{APP_FILE}", 2)


def test_what_is_right_is_passed_over() -> None:
    assert check_app(b'app = faust.App("a", processing_guarantee="at_least_once")', "a") == []
    assert check_app(b"not python (", "a") == []


def test_the_check_of_a_mesh_finds_it(tmp_path: Path) -> None:
    folder = write_small_mesh(tmp_path)
    write(folder, f"streams/airports/hourly/{APP_FILE}", 'app = App(processing_guarantee="exactly_once")\n')
    assert [found.file for found in check(folder).findings if found.code == "HW-P210"] == [
        f"streams/airports/hourly/{APP_FILE}"
    ]
