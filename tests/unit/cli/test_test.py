"""`headwater test` on a small mesh and on the reference mesh: what is printed, in each form, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from headwater.cli.test import command
from headwater.errors import CallerFault, InvalidFiles
from headwater.processing.operators.aggregate import Fold
from headwater.testing.small_mesh import write, write_small_mesh

EXAMPLES = "streams/airports/hourly/tests.yaml"
GOOD = """examples:
  - name: two in an hour
    given:
      flights.departures:
        - {flight_id: UA1, origin: JFK, occurred_at: "2013-01-05T14:05:00Z"}
        - {flight_id: UA2, origin: JFK, occurred_at: "2013-01-05T14:06:00Z"}
        - {flight_id: UA3, origin: LGA, occurred_at: "2013-01-05T15:06:00Z"}
        - {flight_id: UA2, origin: JFK, occurred_at: "2013-01-05T16:06:00Z", recorded_at: "2013-01-05T20:00:00Z"}
    expect:
      - {recorded: "2013-01-05T18:00:00Z", valid: "2013-01-05T14:00:00Z", rows: [{origin: JFK, departures: 2}]}
      - {valid: "2013-01-05T14:00:00Z", rows: [{origin: JFK, departures: 1}]}
"""

UNCORRECTED = """examples:
  - name: nothing is corrected
    given:
      flights.departures:
        - {flight_id: UA1, origin: JFK, occurred_at: "2013-01-05T14:05:00Z"}
        - {flight_id: UA2, origin: JFK, occurred_at: "2013-01-05T14:06:00Z"}
        - {flight_id: UA3, origin: LGA, occurred_at: "2013-01-05T15:06:00Z"}
    expect: [{rows: [{origin: JFK, departures: 2}, {origin: LGA, departures: 1}]}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADWATER_MESH", str(tmp_path))
    return write_small_mesh(tmp_path)


def run(*args: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(args))


def test_examples_that_hold_are_a_line_each(folder: Path) -> None:
    write(folder, EXAMPLES, GOOD)
    result = run("airports.hourly", "--orders", "5")
    assert (result.exit_code, result.stdout) == (0, "ok  airports.hourly: two in an hour\n")
    assert result.stderr == "1 example, 0 failed; 5 other orders of arrival\n"


def test_a_failure_shows_both_sides_at_its_line(folder: Path) -> None:
    write(folder, EXAMPLES, GOOD.replace("departures: 2}]", "departures: 3}]"))
    result = run()
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "FAILED  airports.hourly: two in an hour",
        f"  {EXAMPLES}:10:9 something else is true at 2013-01-05T14:00:00Z, as known at 2013-01-05T18:00:00Z [HW-P148]",
        "    expected                | found",
        "    origin=JFK departures=3 | origin=JFK departures=2",
    ]
    (line,) = run("--output", "json").stdout.splitlines()
    told = json.loads(line)
    assert (told["ok"], told["failures"][0]["line"]) == (False, 10)
    assert told["failures"][0]["expected"] == [{"origin": "JFK", "departures": 3}]
    assert told["failures"][0]["found"] == [{"origin": "JFK", "departures": 2}]


def test_an_engine_that_forgets_what_was_corrected_is_caught_by_other_orders(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The given order corrects nothing, so that only a mistaken revision before a true one shows the fault."""
    whole = Fold.tick
    monkeypatch.setattr(
        Fold, "tick", lambda self, changes: whole(self, [(key, None, after) for key, _, after in changes])
    )
    write(folder, EXAMPLES, UNCORRECTED)
    assert run("--orders", "0").exit_code == 0
    result = run()
    assert result.exit_code == 1
    assert "in another order of arrival something else is true [HW-P150]" in result.stdout
    again = next(line.strip() for line in result.stdout.splitlines() if "again: " in line)
    seed = again.rsplit(" ", 1)[1]
    named = "airports.hourly --example 'nothing is corrected'"
    assert again == f"again: headwater test {named} --orders 1 --seed {seed}"
    same = run("airports.hourly", "--example", "nothing is corrected", "--orders", "1", "--seed", seed)
    assert same.stdout == result.stdout


def test_nothing_to_run_is_said(folder: Path) -> None:
    for product, why in (("airports.hourly", "there is no file"), ("flights.departures", "it has no flow")):
        raised = run(product).exception
        assert isinstance(raised, CallerFault) and raised.code == "HW-P147" and why in raised.detail
    assert run().exit_code == 0
    write(folder, EXAMPLES, GOOD)
    raised = run("--example", "two in an hours").exception
    assert isinstance(raised, CallerFault) and raised.code == "HW-K100" and "two in an hour" in raised.hint


def test_a_file_that_is_wrong_is_a_finding_at_its_place(folder: Path) -> None:
    write(folder, EXAMPLES, GOOD.replace("expect:", "expects:"))
    raised = run().exception
    assert isinstance(raised, InvalidFiles)
    assert [(one.code, one.line, one.fix) for one in raised.findings] == [("HW-C025", 9, "write expect")]


def test_every_example_of_the_reference_mesh_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_MESH", str(Path(__file__).parents[3]))
    result = run("--output", "json", "--orders", "40")
    assert result.exit_code == 0, result.stdout
    products = {json.loads(line)["product"] for line in result.stdout.splitlines()}
    assert products == {"airports.hourly_punctuality", "routes.daily_performance", "planning.delay_features"}
