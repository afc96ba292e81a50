"""`headwater schema generate`: modules that can be imported, the same each time, and told when they are stale."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headwater.cli.schema import app
from headwater.errors import CallerFault

RUNNER = CliRunner()
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _reference_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_MESH", str(ROOT))


def test_one_product_goes_to_stdout_with_its_record_and_its_payload() -> None:
    done = RUNNER.invoke(app, ["generate", "flights.departures"])
    classes = {node.name for node in ast.parse(done.stdout).body if isinstance(node, ast.ClassDef)}
    assert done.exit_code == 0 and classes == {"Departure", "DeparturePayload", "Kind"}


def test_a_derived_product_has_no_payload() -> None:
    done = RUNNER.invoke(app, ["generate", "airports.hourly_punctuality", "--style", "pydantic"])
    assert "class HourlyPunctuality(_Model):" in done.stdout and "Payload" not in done.stdout


def test_all_products_go_to_a_folder_and_check_says_what_is_stale(tmp_path: Path) -> None:
    folder = str(tmp_path / "types")
    assert RUNNER.invoke(app, ["generate", "--folder", folder, "--check"]).exit_code == 1
    first = RUNNER.invoke(app, ["generate", "--folder", folder, "--output", "json"])
    assert len(json.loads(first.stdout)["written"]) == 7
    assert "all as their schemas are" in RUNNER.invoke(app, ["generate", "--folder", folder, "--check"]).stdout
    path = tmp_path / "types" / "flights_departures.py"
    path.write_text(path.read_text() + "\n")
    stale = RUNNER.invoke(app, ["generate", "--folder", folder, "--check", "--output", "json"])
    assert stale.exit_code == 1 and [entry["product"] for entry in json.loads(stale.stdout)["stale"]] == [
        "flights.departures"
    ]


def test_several_modules_need_a_folder() -> None:
    done = RUNNER.invoke(app, ["generate"])
    assert isinstance(done.exception, CallerFault) and "--folder" in done.exception.hint
