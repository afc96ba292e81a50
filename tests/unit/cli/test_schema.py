"""`headwater schema`: verdicts with exit codes, differences for people, and the lock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headwater.cli.schema import app
from headwater.errors import CallerFault, InvalidFiles

RUNNER = CliRunner()
OLD = '{"type": "record", "name": "a.b.R", "fields": [\n  {"name": "x", "type": "long"}\n]}'
WIDER = OLD.replace('"long"}', '"long"},\n  {"name": "y", "type": "string", "default": ""}')
OTHER = OLD.replace('"long"', '"string"')


@pytest.fixture
def mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADWATER_MESH", str(tmp_path))
    (tmp_path / "mesh.yaml").write_text("mesh: test\n")
    (tmp_path / "schemas/avro/a/b").mkdir(parents=True)
    (tmp_path / "schemas/avro/a/b/R.avsc").write_text(OLD)
    return tmp_path


def put(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_compatible_change_is_exit_code_0_and_says_so(tmp_path: Path) -> None:
    files = [put(tmp_path, "old.avsc", OLD), put(tmp_path, "new.avsc", WIDER)]
    result = RUNNER.invoke(app, ["check", *files, "--level", "FULL_TRANSITIVE", "--output", "json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"compatible": True, "findings": []}


def test_an_incompatible_change_is_exit_code_1_with_each_reason_at_its_place(tmp_path: Path) -> None:
    files = [put(tmp_path, "old.avsc", OLD), put(tmp_path, "new.avsc", OTHER)]
    result = RUNNER.invoke(app, ["check", *files, "--output", "json"])
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert not answer["compatible"]
    (finding,) = answer["findings"]
    assert finding["code"] == "HW-S101" and finding["place"].endswith("new.avsc:2:17")
    assert {"severity", "reader_path", "writer_path", "reader", "writer", "why", "fix", "direction"} <= finding.keys()
    text = RUNNER.invoke(app, ["check", *files])
    assert text.exit_code == 1 and "fix:" in text.stdout and "not compatible under BACKWARD" in text.stdout


def test_several_old_files_are_a_history_oldest_first(tmp_path: Path) -> None:
    first = put(tmp_path, "1.avsc", OLD.replace("long", "string"))
    second = put(tmp_path, "2.avsc", '{"type": "record", "name": "a.b.R", "fields": []}')
    new = put(tmp_path, "3.avsc", OLD.replace('"long"', '"long", "default": 0'))
    assert RUNNER.invoke(app, ["check", first, second, new]).exit_code == 0
    assert RUNNER.invoke(app, ["check", first, second, new, "--level", "BACKWARD_TRANSITIVE"]).exit_code == 1


def test_references_are_given_by_files(tmp_path: Path) -> None:
    leg = put(tmp_path, "Leg.avsc", '{"type": "record", "name": "a.Leg", "fields": []}')
    flight = put(tmp_path, "F.avsc", '{"type": "record", "name": "a.F", "fields": [{"name": "leg", "type": "a.Leg"}]}')
    assert RUNNER.invoke(app, ["check", flight, flight, "--reference", leg]).exit_code == 0
    assert isinstance(RUNNER.invoke(app, ["check", flight, flight]).exception, InvalidFiles)


def test_a_wrong_call_is_told(tmp_path: Path) -> None:
    old = put(tmp_path, "old.avsc", OLD)
    for arguments in (["check", old], ["check", old, old, "--level", "SOMEHOW"]):
        assert isinstance(RUNNER.invoke(app, arguments).exception, CallerFault)
    assert isinstance(RUNNER.invoke(app, ["check", old, str(tmp_path / "none.avsc")]).exception, InvalidFiles)


def test_a_difference_is_shown_field_by_field(tmp_path: Path) -> None:
    files = [put(tmp_path, "old.avsc", OLD), put(tmp_path, "new.avsc", WIDER.replace("long", "double"))]
    result = RUNNER.invoke(app, ["diff", *files])
    assert result.exit_code == 0
    assert "~ x: long -> double" in result.stdout and '+ y: string, default ""' in result.stdout
    assert "new readers, old records: fine" in result.stdout and "old readers, new records: broken" in result.stdout


def test_locking_adds_what_is_new_once(mesh: Path) -> None:
    missing = RUNNER.invoke(app, ["lock", "--check", "--output", "json"])
    assert missing.exit_code == 1 and json.loads(missing.stdout)["findings"][0]["code"] == "HW-S071"
    assert not (mesh / "schemas/avro/a/b/versions.lock").exists()
    first = RUNNER.invoke(app, ["lock", "--output", "json"])
    assert json.loads(first.stdout)["added"] == [
        {"file": "schemas/avro/a/b/versions.lock", "schema": "a.b.R", "version": 1}
    ]
    assert RUNNER.invoke(app, ["lock", "--check"]).exit_code == 0
    assert json.loads(RUNNER.invoke(app, ["lock", "--output", "json"]).stdout)["added"] == []
    (mesh / "schemas/avro/a/b/R.avsc").write_text(WIDER)
    assert RUNNER.invoke(app, ["lock"]).stdout == "schemas/avro/a/b/versions.lock: a.b.R version 2\n"
    assert len((mesh / "schemas/avro/a/b/versions.lock").read_text().splitlines()) == 2


def test_a_schema_is_shown_by_its_name_or_file(mesh: Path) -> None:
    RUNNER.invoke(app, ["lock"])
    shown = json.loads(RUNNER.invoke(app, ["show", "a.b.R", "--output", "json"]).stdout)
    assert (shown["name"], shown["versions"], len(shown["fingerprint"])) == ("a.b.R", [1], 16)
    assert "a.b.R" in RUNNER.invoke(app, ["show", str(mesh / "schemas/avro/a/b/R.avsc")]).stdout
    assert isinstance(RUNNER.invoke(app, ["show", "a.b.Nope"]).exception, CallerFault)
