"""`headwater check` on a small mesh: what is printed, in each form, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from headwater.cli.check import command
from headwater.errors import Finding
from headwater.plan.report_ci import github_command
from headwater.testing.small_mesh import (
    DEPARTURE_SCHEMA,
    DEPARTURES,
    HOURLY,
    HOURLY_FLOW,
    HOURLY_SCHEMA,
    edit,
    write,
    write_small_mesh,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADWATER_MESH", str(tmp_path))
    return lock(write_small_mesh(tmp_path))


def lock(folder: Path) -> Path:
    from headwater.cli.schema import app

    assert CliRunner().invoke(app, ["lock"]).exit_code == 0
    return folder


def check(*args: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(args))


def test_a_mesh_in_order_has_no_findings(folder: Path) -> None:
    result = check()
    assert (result.exit_code, result.stdout) == (0, "2 products: no findings\n")


def test_a_finding_is_one_line_with_its_place_and_the_command_fails(folder: Path) -> None:
    edit(folder, HOURLY, "key: [origin]", "key: [origim]")
    result = check()
    assert result.exit_code == 1
    assert result.stdout.startswith("streams/airports/hourly/product.yaml:11:11 the key field 'origim' is not in ")
    assert result.stdout.endswith(": 1 finding\n")


def test_the_json_form_has_a_summary_and_the_findings(folder: Path) -> None:
    edit(folder, HOURLY, "key: [origin]", "key: [origim]")
    said = json.loads(check("--output", "json").stdout)
    assert set(said) == {"schemaVersion", "tool", "command", "summary", "findings", "changes"}
    counts = {"info": 0, "warning": 0, "error": 1, "hidden": 0}
    assert said["summary"] == {"products": 1, **counts, "base": "", "note": ""}
    finding = said["findings"][0]
    assert set(finding) == {
        "code", "severity", "file", "line", "column", "path", "message", "why", "fix", "docs"
    }  # fmt: skip
    assert (finding["code"], finding["line"], finding["column"]) == ("HW-C046", 11, 11)


def test_the_github_form_stands_beside_the_line(folder: Path) -> None:
    edit(folder, HOURLY, "key: [origin]", "key: [origim]")
    assert check("--output", "github").stdout.startswith(
        "::error file=streams/airports/hourly/product.yaml,line=11,col=11,title=HW-C046::the key field 'origim'"
    )
    awkward = Finding("HW-C001", "warning", "a,b:c%.yaml", 0, 0, "", "100 %\nof it")
    assert github_command(awkward) == "::warning file=a%2Cb%3Ac%25.yaml,title=HW-C001::100 %25%0Aof it"


def test_a_flow_that_does_not_fit_its_output_is_found_before_anything_runs(folder: Path) -> None:
    write(folder, HOURLY_FLOW, (folder / HOURLY_FLOW).read_text().replace("departures=count()", "flights=count()"))
    result = check()
    assert result.exit_code == 1
    assert HOURLY_FLOW in result.stdout


def test_a_flow_that_is_no_python_is_found(folder: Path) -> None:
    write(folder, HOURLY_FLOW, "def flow(:\n")
    result = check()
    assert (result.exit_code, f"{HOURLY_FLOW}:1" in result.stdout) == (1, True)


def test_a_schema_that_was_never_locked_is_found(folder: Path) -> None:
    for path in folder.rglob("versions.lock"):
        path.unlink()
    result = check()
    assert (result.exit_code, result.stdout.count("HW-S071")) == (1, 2)


def test_a_released_schema_changed_so_that_old_records_cannot_be_read_is_found_at_the_field(folder: Path) -> None:
    edit(folder, DEPARTURE_SCHEMA, '["null", "int"]', '["null", "string"]')
    lock(folder)
    result = check()
    assert result.exit_code == 1
    assert f"\n{DEPARTURE_SCHEMA}:8:" in result.stdout
    assert "version 1 cannot be read any more" in result.stdout
    assert "the level of flights.departures is BACKWARD_TRANSITIVE" in result.stdout


def test_the_level_none_allows_it(folder: Path) -> None:
    edit(folder, DEPARTURES, "retention: 30d", "compatibility: NONE")
    release_anew(folder)
    edit(folder, DEPARTURE_SCHEMA, '["null", "int"]', '["null", "string"]')
    edit(folder, DEPARTURES, "version: 1.0.0", "version: 1.1.0")
    lock(folder)
    assert check().exit_code == 0, check().stdout


def test_a_new_major_may_break_with_the_old(folder: Path) -> None:
    old = '{"name": "departures", "type": "long"}'
    edit(folder, HOURLY_SCHEMA, old, f'{old}, {{"name": "worst", "type": "long"}}')
    flow = (folder / HOURLY_FLOW).read_text().replace("departures=count()", "departures=count(), worst=count()")
    write(folder, HOURLY_FLOW, flow)
    assert "the version is 1.0.0, and 2.0.0 is due" in check().stdout
    edit(folder, HOURLY, "version: 1.0.0", "version: 2.0.0")
    lock(folder)
    assert check().stdout == "2 products: no findings\n"


def test_within_a_later_major_a_break_is_held_against_the_versions_of_that_major(folder: Path) -> None:
    edit(folder, DEPARTURES, "version: 1.0.0", "version: 2.0.0")
    edit(folder, HOURLY, "major: 1", "major: 2")
    edit(folder, HOURLY, "version: 1.0.0", "version: 1.1.0")
    edit(folder, DEPARTURE_SCHEMA, '["null", "int"]', '["null", "string"]')
    lock(folder)
    assert check().stdout == "2 products: no findings\n"
    edit(folder, DEPARTURE_SCHEMA, '["null", "string"]', '["null", "boolean"]')
    edit(folder, DEPARTURES, "version: 2.0.0", "version: 2.1.0")
    lock(folder)
    result = check()
    assert result.exit_code == 1
    assert "version 2 cannot be read any more" in result.stdout
    assert "version 1 cannot be read" not in result.stdout


def release_anew(folder: Path) -> None:
    for path in [*folder.rglob("versions.lock"), *folder.rglob("releases.lock")]:
        path.unlink()
    lock(folder)


def test_a_lock_changed_by_hand_is_found(folder: Path) -> None:
    path = next(folder.rglob("versions.lock"))
    path.write_text(path.read_text().replace('"long"', '"int"', 1))
    assert "versions.lock:1" in check().stdout


def test_park_key_is_kept_where_a_relay_publishes_and_refused_elsewhere(folder: Path) -> None:
    edit(folder, DEPARTURES, "key: [flight_id]", "key: [flight_id]\n    on_invalid: park-key")
    release_anew(folder)
    assert check().exit_code == 0
    edit(folder, HOURLY, "key: [origin]", "key: [origin]\n    on_invalid: park-key")
    release_anew(folder)
    result = check()
    assert result.exit_code == 1
    assert (
        "streams/airports/hourly/product.yaml:12:17 on_invalid: park-key is kept for products of an outbox alone"
        in result.stdout
    )
    assert "[HW-O106]" in result.stdout


def test_a_promise_that_this_version_does_not_keep_is_a_warning_at_its_place(folder: Path) -> None:
    edit(folder, HOURLY, "ports: [topic, current]", "ports: [topic, sql]\n    accept_late: 30d")  # sql is kept
    release_anew(folder)
    result = check()
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:1] == [
        "warning: streams/airports/hourly/product.yaml:13:18 accept_late: 30d is not kept by this version of "
        "Headwater. whoever reads the contract would rely on it. fix: remove it until a version keeps it [HW-D016]",
    ]
