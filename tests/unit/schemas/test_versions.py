"""The lock knows every released version, and a folder of schemas is read whole."""

import json
from pathlib import Path

import pytest

from headwater.errors import InvalidFiles
from headwater.schemas.annotations import envelope_findings, payload_schema, shape_of, tags
from headwater.schemas.avro import parse
from headwater.schemas.tree import read_tree
from headwater.schemas.versions import VersionsLock, lock_findings, parse_lock, read_lock

INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
PLATFORM = [
    {"name": "recorded_at", "type": INSTANT},
    {"name": "kind", "type": {"type": "enum", "name": "headwater.Kind", "symbols": ["assert", "correct", "retract"]}},
    {"name": "revision", "type": "long"},
]
EVENT = {
    "type": "record",
    "name": "flights.departures.Departure",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "occurred_at", "type": INSTANT},
        {"name": "gate", "type": "string", "confluent:tags": ["PII"]},
        *PLATFORM,
    ],
}
FACT = {
    "type": "record",
    "name": "flights.gates.Gate",
    "fields": [
        {"name": "gate", "type": "string"},
        {"name": "valid_from", "type": INSTANT},
        {"name": "valid_to", "type": ["null", INSTANT], "default": None},
        *PLATFORM,
    ],
}


def put(folder: Path, name: str, value: object) -> None:
    path = folder.joinpath(*name.split(".")).with_suffix(".avsc")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def test_a_schema_is_locked_once_and_found_by_its_payloads_fingerprint() -> None:
    schema = parse(json.dumps(EVENT))
    lock = VersionsLock(()).added(schema)
    assert lock.added(schema) == lock
    assert lock.holds(schema)
    payload = payload_schema(schema)
    assert [field.name for field in payload.fields] == ["occurred_at", "gate"]
    found = lock.payload(payload.fingerprint)
    assert found is not None and found.version == 1
    assert lock.payload(0) is None


def test_adding_a_version_adds_one_line_and_leaves_the_others() -> None:
    first = VersionsLock(()).added(parse(json.dumps(EVENT)))
    note = {"name": "note", "type": "string", "default": ""}
    changed = {**EVENT, "fields": [*EVENT["fields"], note]}  # type: ignore[misc]
    second = first.added(parse(json.dumps(changed)))
    assert second.render().splitlines()[0] == first.render().splitlines()[0]
    assert [locked.version for locked in second.history("flights.departures.Departure")] == [1, 2]
    assert parse_lock(second.render()).render() == second.render()


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"gate"', '"door"', "was changed"),
        ('"version": 1', '"version": 2', "was changed"),
        ('"major": 1', '"major": 2', "was changed"),
        ('"flights.departures.Departure", "version"', '"a.b.C", "version"', "was changed"),
        ('"fields"', '"feilds"', "was changed"),
        ('"digest": "', '"digest": "0', "digest"),
        ("{", "", "no version"),
    ],
)
def test_a_lock_that_was_changed_by_hand_is_refused_at_its_line(old: str, new: str, what: str) -> None:
    text = VersionsLock(()).added(parse(json.dumps(EVENT))).render()
    with pytest.raises(InvalidFiles, match="finding") as caught:
        parse_lock("\n" + text.replace(old, new, 1), "versions.lock")
    (finding,) = caught.value.findings
    assert (finding.code, finding.line) == ("HW-S070", 2)
    assert what in finding.message


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"gate"', '"door"', "was changed"),
        ('"version": 1', '"version": 2', "out of order"),
        ('"flights.departures.Departure", "version"', '"a.b.C", "version"', "name, numbers"),
        ('"fields"', '"feilds"', "cannot be read"),
    ],
)
def test_a_line_from_before_digests_is_read_whole(old: str, new: str, what: str) -> None:
    line = json.loads(VersionsLock(()).added(parse(json.dumps(EVENT))).render())
    del line["digest"], line["major"]
    text = json.dumps(line)
    assert [locked.major for locked in parse_lock(text).versions] == [1]
    with pytest.raises(InvalidFiles, match="finding") as caught:
        parse_lock(text.replace(old, new, 1), "versions.lock")
    assert what in caught.value.findings[0].message


def test_a_schema_is_released_again_in_a_new_major() -> None:
    schema = parse(json.dumps(EVENT))
    lock = VersionsLock(()).added(schema).added(schema, major=2)
    assert [(locked.version, locked.major) for locked in lock.history(schema.name)] == [(1, 1), (2, 2)]
    assert [locked.version for locked in lock.history(schema.name, major=2)] == [2]
    assert (lock.holds(schema, 2), lock.holds(schema, 1), lock.holds(schema)) == (True, False, True)


def test_a_folder_is_read_with_references_between_files(tmp_path: Path) -> None:
    put(tmp_path, "flights.departures.Departure", {**EVENT, "fields": [
        {"name": "gate", "type": "flights.gates.Gate"}]})  # fmt: skip
    put(tmp_path, "flights.gates.Gate", FACT)
    tree = read_tree(tmp_path)
    assert list(tree) == ["flights.departures.Departure", "flights.gates.Gate"]
    assert tree["flights.departures.Departure"].references == ("flights.gates.Gate",)
    lock = VersionsLock(()).added(tree["flights.departures.Departure"].schema)
    assert parse_lock(lock.render()).history("flights.departures.Departure")[0].fingerprint
    assert [finding.code for finding in lock_findings(tree.values(), lock, "versions.lock")] == ["HW-S071"]
    assert read_lock(tmp_path / "versions.lock") == VersionsLock(())


def test_all_findings_of_all_files_come_at_once(tmp_path: Path) -> None:
    put(tmp_path, "a.b.Wrong", '{"type": "record",\n"name": "a.b.Wrong", "fields": [{"name": "x", "type": "lnog"}]}')
    put(tmp_path, "a.b.Other", {"type": "record", "name": "a.b.Another", "fields": []})
    put(tmp_path, "a.b.Broken", "{")
    put(tmp_path, "a.b.Ring", {"type": "record", "name": "a.b.Ring", "fields": [{"name": "x", "type": "a.b.Rung"}]})
    put(tmp_path, "a.b.Rung", {"type": "record", "name": "a.b.Rung", "fields": [{"name": "x", "type": "a.b.Ring"}]})
    (tmp_path / "a/b/Binary.avsc").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidFiles) as caught:
        read_tree(tmp_path)
    assert {(f.code, f.file, f.line) for f in caught.value.findings} == {
        ("HW-S005", "a/b/Wrong.avsc", 2),
        ("HW-S061", "a/b/Other.avsc", 1),
        ("HW-S001", "a/b/Broken.avsc", 1),
        ("HW-S062", "a/b/Ring.avsc", 1),
        ("HW-S060", "a/b/Binary.avsc", 0),
    }


def test_events_and_facts_are_told_apart_and_held_to_their_envelope() -> None:
    event, fact = parse(json.dumps(EVENT)), parse(json.dumps(FACT))
    assert (shape_of(event), shape_of(fact)) == ("event", "fact")
    assert envelope_findings(event, "x") == envelope_findings(fact, "x") == []
    assert tags(event.field("gate")) == ("PII",)


@pytest.mark.parametrize(
    ("name", "avro_type", "code"),
    [
        ("recorded_at", "long", "HW-S052"),
        ("kind", "string", "HW-S052"),
        ("revision", "int", "HW-S052"),
        ("event_id", {"type": "string", "logicalType": "uuid"}, "HW-S052"),
        ("occurred_at", ["null", INSTANT], "HW-S052"),
        ("occurred_at", None, "HW-S051"),
        ("kind", None, "HW-S051"),
    ],
)
def test_an_envelope_that_is_not_as_it_must_be_is_found(name: str, avro_type: object, code: str) -> None:
    fields = [dict(item) for item in EVENT["fields"]]  # type: ignore[call-overload]
    fields = [{**item, "type": avro_type} if item["name"] == name else item for item in fields]
    fields = [item for item in fields if item["type"] is not None]
    found = envelope_findings(parse(json.dumps({**EVENT, "fields": fields})), "Departure.avsc")
    assert [finding.code for finding in found] == [code]
    assert found[0].fix


def test_a_record_is_an_event_or_a_fact_and_not_both() -> None:
    both = {**EVENT, "fields": [*EVENT["fields"], {"name": "valid_from", "type": INSTANT}]}  # type: ignore[misc]
    assert [finding.code for finding in envelope_findings(parse(json.dumps(both)), "x")] == ["HW-S053"]
    assert [finding.code for finding in envelope_findings(parse('"int"'), "x")] == ["HW-S050"]
