"""A change is judged by whom it hits, and the version that is due for it is asked for."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from headwater.errors import Finding
from headwater.plan.check import Report, check, failing
from headwater.testing.small_mesh import (
    BOARD,
    BOARD_TEXT,
    DEPARTURE_SCHEMA,
    DEPARTURES,
    HOURLY,
    HOURLY_FLOW,
    HOURLY_SCHEMA,
    edit,
    release,
    write,
    write_small_mesh,
)

DELAY = '    {"name": "delay_minutes", "type": ["null", "int"], "default": null},\n'
ORIGIN = '    {"name": "origin", "type": "string"},\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_small_mesh(tmp_path)
    write(tmp_path, BOARD, BOARD_TEXT)
    return release(tmp_path)


def found(report: Report, code: str) -> Finding:
    findings = [finding for finding in report.findings if finding.code == code]
    assert len(findings) == 1, [finding.render() for finding in report.findings]
    return findings[0]


def codes(folder: Path) -> list[str]:
    return [finding.code for finding in check(folder).findings]


def test_a_mesh_as_it_was_released_has_no_findings(folder: Path) -> None:
    assert check(folder).findings == ()


def test_removing_a_field_names_who_reads_it_and_who_is_further_down_at_the_schemas_line(folder: Path) -> None:
    edit(folder, DEPARTURE_SCHEMA, ORIGIN, "")
    finding = found(check(folder), "HW-C084")
    assert (finding.file, finding.line, finding.severity) == (DEPARTURE_SCHEMA, 3, "error")
    assert finding.message == "removing 'origin' breaks 1 reader"
    assert finding.why.startswith("airports.hourly (airports@example.org) reads it; further down board; ")
    due = found(check(folder), "HW-C082")
    assert (due.file, due.line, due.fix) == (DEPARTURES, 2, "write version: 2.0.0, then headwater schema lock")


def test_removing_a_field_that_nobody_reads_breaks_nobody_today_and_a_minor_version_is_due(folder: Path) -> None:
    edit(folder, DEPARTURE_SCHEMA, DELAY, "")
    report = check(folder)
    assert found(report, "HW-C085").severity == "warning"
    assert "1.1.0 is due" in found(report, "HW-C082").message
    edit(folder, DEPARTURES, "version: 1.0.0", "version: 1.1.0")
    release(folder)
    assert not failing(check(folder).findings, "info")


def test_a_flow_that_reads_more_makes_the_same_change_a_break(folder: Path) -> None:
    edit(folder, HOURLY_FLOW, "departures=count()", 'departures=count(), worst=maximum("delay_minutes")')
    edit(folder, HOURLY_FLOW, "count, tumbling", "count, maximum, tumbling")
    edit(folder, HOURLY, "reads: [origin, occurred_at]", "reads: [origin, occurred_at, delay_minutes]")
    count = '{"name": "departures", "type": "long"}'
    worst = '{"name": "worst", "type": ["null", "int"], "default": null}'
    edit(folder, HOURLY_SCHEMA, count, f"{count}, {worst}")
    for lock in folder.rglob("*.lock"):  # as if the product had been so from the first release on
        lock.unlink()
    release(folder)
    assert check(folder).findings == ()
    edit(folder, DEPARTURE_SCHEMA, DELAY, "")
    assert found(check(folder), "HW-C084").message == "removing 'delay_minutes' breaks 1 reader"


def test_renaming_with_an_alias_breaks_readers_of_the_old_name_and_says_the_new_one(folder: Path) -> None:
    edit(folder, HOURLY_SCHEMA, '{"name": "departures"', '{"name": "flights", "aliases": ["departures"]')
    edit(folder, HOURLY_FLOW, "departures=count()", "flights=count()")
    report = check(folder)
    assert found(report, "HW-C084").message == "renaming 'departures' to 'flights' breaks 1 reader"
    renamed = found(report, "HW-C068")
    assert (renamed.file, renamed.fix) == (BOARD, "write flights, and read that")


def test_a_wider_type_breaks_readers_outside_and_not_flows_which_are_compiled_anew(folder: Path) -> None:
    edit(folder, DEPARTURE_SCHEMA, '["null", "int"]', '["null", "long"]')
    assert found(check(folder), "HW-C085").message.startswith("'delay_minutes': union of null, int -> ")
    write(folder, "consumers/model.yaml", BOARD_TEXT.replace("board", "model").replace(
        "airports.hourly, major: 1, reads: [origin, departures]", "flights.departures, major: 1, reads: [delay_minutes]"
    ))  # fmt: skip
    finding = found(check(folder), "HW-C084")
    assert "model (terminal@example.org) reads it" in finding.why


def test_a_new_major_is_the_mend_and_readers_of_the_old_one_are_told(folder: Path) -> None:
    edit(folder, HOURLY_SCHEMA, '"departures", "type": "long"', '"flights", "type": "long"')
    edit(folder, HOURLY_FLOW, "departures=count()", "flights=count()")
    edit(folder, HOURLY, "version: 1.0.0", "version: 2.0.0")
    release(folder)
    report = check(folder)
    assert [(finding.code, finding.severity, finding.file) for finding in report.findings] == [
        ("HW-C067", "warning", BOARD)
    ]


@pytest.mark.parametrize(
    ("old", "new", "due"),
    [
        ("key: [flight_id]", "key: [origin]", "2.0.0"),
        ("key: [flight_id]", "key: [flight_id]\n    partitions: 8", "2.0.0"),
        ("key: [flight_id]", "key: [flight_id]\n    compatibility: NONE", "2.0.0"),
        ("retention: 30d", "retention: 7d", "1.1.0"),
        ("retention: 30d", "retention: forever", "1.0.1"),
        ("Each departure, as it happened.", "Each departure, when it happened.", "1.0.1"),
    ],
)
def test_the_version_that_is_due_for_a_change_of_the_contract(folder: Path, old: str, new: str, due: str) -> None:
    edit(folder, DEPARTURES, old, new)
    finding = found(check(folder), "HW-C082")
    assert f"{due} is due" in finding.message
    assert finding.severity == ("info" if due == "1.0.1" else "error")
    edit(folder, DEPARTURES, "version: 1.0.0", f"version: {due}")
    if due == "2.0.0":
        edit(folder, HOURLY, "major: 1", "major: 2")
        edit(folder, HOURLY, "version: 1.0.0", "version: 1.1.0")
    release(folder)
    assert not failing(check(folder).findings, "error"), [finding.render() for finding in check(folder).findings]


def test_locking_without_raising_the_version_does_not_hide_what_changed(folder: Path) -> None:
    edit(folder, DEPARTURE_SCHEMA, ORIGIN, "")
    release(folder)
    assert {"HW-C082", "HW-C084"} <= set(codes(folder))


def test_a_version_that_was_not_released_and_one_that_goes_back_are_found(folder: Path) -> None:
    edit(folder, DEPARTURES, "version: 1.0.0", "version: 1.0.1")
    assert codes(folder) == ["HW-C081"]
    edit(folder, DEPARTURES, "version: 1.0.1", "version: 0.9.0")
    assert {"HW-C081", "HW-C083"} <= set(codes(folder))


def test_a_releases_lock_changed_by_hand_is_found_at_its_line(folder: Path) -> None:
    edit(folder, "connectors/flights/departures/releases.lock", '"retention": "30d"', '"retention": "31d"')
    finding = found(check(folder), "HW-C080")
    assert (finding.file, finding.line) == ("connectors/flights/departures/releases.lock", 1)


def test_a_field_that_is_declared_and_not_read_is_told_and_does_not_fail(folder: Path) -> None:
    edit(folder, HOURLY, "reads: [origin, occurred_at]", "reads: [origin, occurred_at, delay_minutes]")
    finding = next(finding for finding in check(folder).findings if finding.code == "HW-P007")
    assert (finding.severity, finding.file, finding.line, finding.column) == ("info", HOURLY, 7, 74)


def test_one_broken_product_hides_nothing_of_the_others(folder: Path) -> None:
    edit(folder, HOURLY, "type: aggregate", "type: agregate")
    edit(folder, DEPARTURE_SCHEMA, ORIGIN, "")
    report = check(folder)
    assert {finding.file for finding in report.findings} >= {HOURLY, DEPARTURE_SCHEMA}


def test_a_consumer_is_read_strictly(folder: Path) -> None:
    write(folder, BOARD, BOARD_TEXT.replace("reads: [origin, departures]", "reads: [origin, departure]"))
    assert found(check(folder), "HW-C053").fix == "write departures"
    write(folder, BOARD, BOARD_TEXT.replace("purpose:", "porpose:"))
    assert found(check(folder), "HW-C025").fix == "write purpose"
    write(folder, BOARD, BOARD_TEXT.replace("consumer: board", "consumer: panel"))
    assert found(check(folder), "HW-C065").line == 1
    write(folder, BOARD, BOARD_TEXT.replace("airports.hourly,", "airports.hourl,"))
    assert found(check(folder), "HW-C051").fix == "write airports.hourly"
    write(folder, BOARD, BOARD_TEXT)
    write(folder, "consumers/other.yml", BOARD_TEXT)
    assert found(check(folder), "HW-C066").file == "consumers/other.yml"


@pytest.mark.parametrize(
    "path", ["connectors/flights/departures/releases.lock", "schemas/avro/flights/departures/versions.lock"]
)
def test_a_lock_made_by_hand_with_a_right_digest_is_a_finding_and_no_fault(folder: Path, path: str) -> None:
    """Whatever stands in the line: the check says what is wrong, or that nothing is."""
    edit(folder, DEPARTURE_SCHEMA, ORIGIN, "")
    lock = (folder / path).read_text()
    body = lock[: lock.rindex(', "digest"')]
    key = '"promises": ' if "releases" in path else '"text": '
    head = body[: body.index(key) + len(key)]
    for value in ("{}", "[]", "1", "{", "null", '{"outputs": []}', '{"outputs": [1]}', '{"type": "record"}', "[" * 9000,
                  '{"type": "record", "name": "flights.departures.Departure", "fields": [1]}'):  # fmt: skip
        digest = hashlib.sha256((head + value).encode()).hexdigest()[:16]
        write(folder, path, f'{head}{value}, "digest": "{digest}"}}\n')
        assert failing(check(folder).findings, "error")


def test_hostile_consumers_are_findings(folder: Path) -> None:
    for text in ("", "[", "- a", "&a [*a]", "\x00", "consumer: [" * 200, "a: " * 100_000, BOARD_TEXT * 2):
        write(folder, BOARD, text)
        assert all(finding.file == BOARD for finding in check(folder).findings)
        assert failing(check(folder).findings, "error")
