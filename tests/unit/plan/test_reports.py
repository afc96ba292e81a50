"""Each form of a check is what its host reads."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from headwater.errors import Finding
from headwater.plan.check import Report, check
from headwater.plan.report_ci import as_azure, as_github, as_gitlab, as_junit, as_sarif
from headwater.plan.report_text import as_json, as_markdown, as_text, check_schema
from headwater.testing.small_mesh import BOARD, BOARD_TEXT, DEPARTURE_SCHEMA, edit, release, write, write_small_mesh

AWKWARD = Finding(
    "HW-C001",
    "error",
    "a,b:c%;] d.yaml",
    3,
    7,
    "x",
    'it is 100 %\nof <it> & "more" | ::error:: \x00\ud800',
    "so",
    "mend",
)
PLACELESS = Finding("HW-C002", "warning", "mesh.yaml", 0, 0, "", "no place")
NOTE = Finding("HW-C003", "info", "mesh.yaml", 1, 1, "", "a note")


@pytest.fixture
def report(tmp_path: Path) -> Report:
    write_small_mesh(tmp_path)
    write(tmp_path, BOARD, BOARD_TEXT)
    release(tmp_path)
    edit(tmp_path, DEPARTURE_SCHEMA, '    {"name": "origin", "type": "string"},\n', "")
    return check(tmp_path)


@pytest.fixture
def awkward() -> Report:
    found = (AWKWARD, AWKWARD, PLACELESS, NOTE)
    return Report(None, found, found)


def fits(value: object, schema: dict[str, object]) -> bool:
    """Just what our published schema uses of JSON Schema."""
    if "const" in schema:
        return value == schema["const"]
    if "enum" in schema:
        return value in schema["enum"]  # type: ignore[operator]
    kinds = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict, "null": type(None)}
    named = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not isinstance(value, tuple(kinds[str(name)] for name in named)):
        return False
    if isinstance(value, list):
        return all(fits(item, schema["items"]) for item in value)  # type: ignore[arg-type]
    if isinstance(value, dict):
        known: dict[str, dict[str, object]] = schema["properties"]  # type: ignore[assignment]
        return set(value) == set(known) and all(fits(value[name], known[name]) for name in known)
    return True


def test_the_json_form_fits_its_published_schema_and_names_the_readers(report: Report, awkward: Report) -> None:
    for one in (report, awkward):
        assert fits(json.loads(as_json(one)), check_schema())
    said = json.loads(as_json(report))
    (change,) = said["changes"]
    (removed,) = [impact for impact in change["impacts"] if impact["severity"] == "breaks readers"]
    assert (change["product"], change["due"]) == ("flights.departures", "major")
    assert removed["readers"] == [{"kind": "product", "name": "airports.hourly", "contact": "airports@example.org"}]
    assert removed["further"] == ["board"]


def test_the_text_form_ends_with_one_line_that_sums_up(report: Report) -> None:
    lines = as_text(report).splitlines()
    assert lines[-1].startswith("2 products: ")
    assert "flights.departures 1.0.0 -> 1.0.0, a major version is due:" in lines


def test_github_commands_cannot_be_broken_out_of(awkward: Report) -> None:
    lines = as_github(awkward).split("\n")
    assert len(lines) == 5
    assert lines[0].startswith("::error file=a%2Cb%3Ac%25;] d.yaml,line=3,col=7,title=HW-C001::it is 100 %25%0Aof ")
    assert [line.split(" ")[0] for line in lines[2:4]] == ["::warning", "::notice"]
    assert lines[2].startswith("::warning file=mesh.yaml,title=")


def test_azure_commands_cannot_be_broken_out_of(awkward: Report) -> None:
    lines = as_azure(awkward).split("\n")
    place = "sourcepath=a,b:c%AZP25%3B%5D d.yaml;linenumber=3;columnnumber=7"
    assert lines[0].startswith(f"##vso[task.logissue type=error;{place};code=HW-C001;]it is 100 %AZP25%0Aof ")
    assert lines[2] == "##vso[task.logissue type=warning;sourcepath=mesh.yaml;code=HW-C002;]no place"
    assert lines[3].startswith("info: ")


def test_the_junit_form_parses_and_only_errors_fail(report: Report, awkward: Report) -> None:
    root = ElementTree.fromstring(as_junit(awkward))
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "4", "2")
    assert [len(case.findall("failure")) for case in root.iter("testcase")] == [1, 1, 0, 0]
    root = ElementTree.fromstring(as_junit(report))
    assert int(root.get("tests", "0")) == len(root.findall("testsuite/testcase")) == len(report.shown)


def test_the_sarif_form_has_what_version_2_1_0_asks_for(report: Report, awkward: Report) -> None:
    for one in (report, awkward):
        said = json.loads(as_sarif(one))
        assert said["version"] == "2.1.0"
        (run,) = said["runs"]
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        assert run["tool"]["driver"]["name"] == "headwater" and len(set(rules)) == len(rules)
        for result in run["results"]:
            assert result["ruleId"] == rules[result["ruleIndex"]]
            assert result["level"] in ("error", "warning", "note") and result["message"]["text"]
            place = result["locations"][0]["physicalLocation"]
            assert not unquote(place["artifactLocation"]["uri"]).startswith(("/", "file:"))
            region = place.get("region", {"startLine": 1, "startColumn": 1})
            assert region["startLine"] >= 1 and region["startColumn"] >= 1
        prints = [result["partialFingerprints"]["headwaterFinding/v1"] for result in run["results"]]
        assert len(set(prints)) == len(prints) == len(one.shown)


def test_gitlabs_fingerprints_are_unique_and_stay_when_lines_move(report: Report, awkward: Report) -> None:
    severities = {"info", "minor", "major", "critical", "blocker"}
    for one in (report, awkward):
        said = json.loads(as_gitlab(one))
        assert len({entry["fingerprint"] for entry in said}) == len(said) == len(one.shown)
        for entry in said:
            assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
            assert entry["severity"] in severities and entry["location"]["lines"]["begin"] >= 1
    moved = Finding("HW-C002", "warning", "mesh.yaml", 5, 1, "", "no place")
    one, other = (json.loads(as_gitlab(Report(None, (found,), (found,)))) for found in (PLACELESS, moved))
    assert one[0]["fingerprint"] == other[0]["fingerprint"]


def test_markdown_cells_hold_what_they_hold(report: Report, awkward: Report) -> None:
    text = as_markdown(awkward)
    row = next(line for line in text.splitlines() if "100 %" in line)
    assert row.count("|") - row.count("\\|") == 5 and "<it>" not in row
    assert "airports.hourly" in as_markdown(report) and "further down board" in as_markdown(report)


def test_a_mesh_without_findings_is_a_whole_answer_in_every_form(tmp_path: Path) -> None:
    fine = check(release(write_small_mesh(tmp_path)))
    assert json.loads(as_gitlab(fine)) == []
    assert json.loads(as_sarif(fine))["runs"][0]["results"] == []
    assert ElementTree.fromstring(as_junit(fine)).get("tests") == "2"
    assert as_github(fine) == as_azure(fine) == ""
    assert as_text(fine) == "2 products: no findings\n"
