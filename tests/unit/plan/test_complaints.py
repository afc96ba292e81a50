"""What users of other tools complained about: each test is named after a complaint, with the thread below."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headwater.errors import Finding
from headwater.plan.check import check, failing
from headwater.plan.report_text import as_json
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.small_mesh import (
    BOARD,
    BOARD_TEXT,
    DEPARTURE_SCHEMA,
    DEPARTURES,
    HOURLY,
    edit,
    release,
    write,
    write_small_mesh,
)

GATE_SCHEMA = "schemas/avro/flights/common/Gate.avsc"
GATE = '{"type": "record", "name": "flights.common.Gate", "fields": [{"name": "number", "type": "int"}]}'
USED = '{"name": "gate", "type": "flights.common.Gate", "default": {"number": 0}},'
LAST = '{"name": "kind"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return release(write_small_mesh(tmp_path))


def errors(folder: Path) -> list[Finding]:
    return [finding for finding in check(folder).findings if finding.severity == "error"]


def retype(folder: Path, old: str, new: str, *, version: str, before: str) -> None:
    """A change of a field's type that its author releases under a version."""
    edit(folder, DEPARTURE_SCHEMA, old, new)
    edit(folder, DEPARTURES, f"version: {before}", f"version: {version}")
    release(folder)


def test_dry_run_does_not_catch_incompatible_schema_changes(folder: Path) -> None:
    """streamthoughts/jikkou#786, kafka-ops/julie#223: apply fails where the dry run saw nothing."""
    registry = MemoryRegistry()
    report = check(folder)
    assert report.mesh is not None and not report.findings
    output = report.mesh.product("flights.departures").output
    registry.register(output.subject, output.schema)
    registry.set_level(output.subject, "BACKWARD_TRANSITIVE")
    edit(folder, DEPARTURE_SCHEMA, '"name": "origin"', '"name": "departed_from"')  # renamed, as in the report
    mesh = check(folder).mesh
    assert mesh is not None
    refused = registry.incompatibilities(output.subject, mesh.product("flights.departures").output.schema)
    assert refused and any(finding.code == "HW-S102" for finding in errors(folder))


def test_dry_run_shows_an_action_where_nothing_changed(folder: Path) -> None:
    """kafka-ops/julie#450: the schema is applied already, and is shown as a change again."""
    assert check(folder).changes == ()
    assert release(folder) and check(folder).changes == ()


def test_dry_run_only_checks_that_the_schema_is_valid_and_shows_no_difference(folder: Path) -> None:
    """bakdata/kpops#454: a difference against the latest version is wanted before it is registered."""
    edit(folder, DEPARTURE_SCHEMA, LAST, '{"name": "gate", "type": "string", "default": ""}, ' + LAST)
    (change,) = check(folder).changes
    assert change.pending and [impact.text for impact in change.impacts] == ["adding 'gate'"]


def test_maven_plugin_ignores_transitive_compatibility_settings(folder: Path) -> None:
    """confluentinc/schema-registry#2747: only the latest version is looked at although the level is transitive."""
    optional = '{"name": "gate", "type": "string", "default": ""}, '
    retype(folder, LAST, optional + LAST, version="1.1.0", before="1.0.0")
    retype(folder, ', "default": ""}, ' + LAST, "}, " + LAST, version="1.2.0", before="1.1.0")
    assert [finding.message for finding in errors(folder) if finding.code == "HW-S102"] == [
        "version 1 cannot be read any more: "
        "the reader's field 'gate' is not in flights.departures.Departure, and has no default"
    ]


def test_check_compatibility_without_a_registry_available(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """confluentinc/schema-registry#1501: the history is in git, and the registry cannot be reached."""
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a check asked the network")

    monkeypatch.setattr(socket, "socket", refuse)
    edit(folder, DEPARTURE_SCHEMA, '["null", "int"]', '["null", "string"]')
    assert any(finding.code == "HW-S106" for finding in errors(folder))


def test_local_compatibility_does_not_work_with_references(folder: Path) -> None:
    """confluentinc/schema-registry#2397, #1755: a schema refers to another file, which no registry has yet."""
    write(folder, GATE_SCHEMA, GATE)
    retype(folder, LAST, f"{USED} {LAST}", version="1.1.0", before="1.0.0")
    assert check(folder).findings == ()


def test_a_change_in_a_referenced_schema_is_not_noticed_where_it_is_used(folder: Path) -> None:
    """The other half of #2397: the schema that refers is unchanged, and what it refers to is not."""
    write(folder, GATE_SCHEMA, GATE)
    write(folder, "consumers/gates.yaml", BOARD_TEXT.replace("board", "gates").replace(
        "airports.hourly, major: 1, reads: [origin, departures]", "flights.departures, major: 1, reads: [gate]"
    ))  # fmt: skip
    retype(folder, LAST, f"{USED} {LAST}", version="1.1.0", before="1.0.0")
    edit(folder, GATE_SCHEMA, '"int"', '"string"')
    edit(folder, DEPARTURE_SCHEMA, '{"number": 0}', '{"number": "0"}')
    found = {finding.code: finding for finding in errors(folder)}
    assert found["HW-S101"].file == DEPARTURE_SCHEMA
    assert "'gate'" in found["HW-C084"].message and "int -> string" in found["HW-C084"].message
    assert "gates (terminal@example.org)" in found["HW-C084"].why


def test_a_subject_that_is_not_deployed_yet_is_an_exception(tmp_path: Path) -> None:
    """confluentinc/schema-registry#2778: a new schema has no history, and the check fails."""
    folder = release(write_small_mesh(tmp_path))
    write(folder, "connectors/flights/arrivals/product.yaml", (folder / DEPARTURES).read_text().replace(
        "flights.departures", "flights.arrivals"
    ))  # fmt: skip
    schema = (folder / DEPARTURE_SCHEMA).read_text().replace("flights.departures", "flights.arrivals")
    write(folder, "schemas/avro/flights/arrivals/Departure.avsc", schema)
    assert {finding.code for finding in errors(folder)} == {"HW-S071", "HW-C081"}  # say so, with the command
    assert all(finding.fix == "headwater schema lock" for finding in errors(release(folder)) or errors(folder))
    assert check(release(folder)).findings == ()


def test_a_list_of_differences_and_no_verdict(folder: Path) -> None:
    """datacontract/datacontract-cli#1016, #1129: CI wants to know whether it breaks, and whom."""
    edit(folder, DEPARTURE_SCHEMA, '    {"name": "origin", "type": "string"},\n', "")
    said = json.loads(as_json(check(folder)))
    assert said["summary"]["error"] > 0 and said["changes"][0]["due"] == "major"


def test_a_warning_fails_the_build(folder: Path) -> None:
    """datacontract/datacontract-cli#1190."""
    edit(folder, HOURLY, "ports: [topic, current]", "ports: [topic, current]\n    accept_late: 30d")
    edit(folder, HOURLY, "version: 1.0.0", "version: 2.0.0")
    release(folder)
    findings = check(folder).findings
    assert {finding.severity for finding in findings} == {"warning"}
    assert not failing(findings, "error") and failing(findings, "warning")


def test_a_change_of_words_or_layout_is_called_breaking(folder: Path) -> None:
    """TobikoData/sqlmesh#5625, #4357: the bot cries at what changes nothing."""
    text = (folder / DEPARTURE_SCHEMA).read_text()
    write(folder, DEPARTURE_SCHEMA, json.dumps(json.loads(text), indent=4))
    product = (folder / DEPARTURES).read_text()
    write(folder, DEPARTURES, "# a comment\n" + product.replace("purpose: Each", "purpose:   Each"))
    assert check(folder).findings == ()
    edit(folder, DEPARTURE_SCHEMA, '"name": "origin",', '"name": "origin", "doc": "IATA code.",')
    assert not failing(check(release(folder)).findings, "warning")


def test_any_removal_is_called_breaking_though_nobody_reads_the_column(folder: Path) -> None:
    """slothflowlabs/duckle#302, sqlmesh#3245: judge a change by the columns that readers really use."""
    edit(folder, DEPARTURE_SCHEMA, '    {"name": "delay_minutes", "type": ["null", "int"], "default": null},\n', "")
    edit(folder, DEPARTURES, "version: 1.0.0", "version: 1.1.0")
    assert check(release(folder)).findings == ()


def test_nobody_knows_who_consumes_a_schema(folder: Path) -> None:
    """confluentinc/schema-registry#178, Apicurio/apicurio-registry#7000: which consumers does a change reach."""
    write(folder, BOARD, BOARD_TEXT)
    edit(folder, DEPARTURE_SCHEMA, '    {"name": "origin", "type": "string"},\n', "")
    why = next(finding.why for finding in errors(folder) if finding.code == "HW-C084")
    assert "airports.hourly (airports@example.org)" in why and "further down board" in why


def test_incompatible_without_subject_field_or_reason(folder: Path) -> None:
    """confluentinc/schema-registry#443, #1435, #2166: what, where, why and how to mend it."""
    edit(folder, DEPARTURE_SCHEMA, '["null", "int"]', '["null", "string"]')
    for finding in errors(folder):
        assert finding.file and finding.message and finding.why and finding.fix and finding.code
        assert finding.line or finding.code == "HW-S071"
