"""Schemas are read strictly, with every finding at its place, and hostile ones are refused at once."""

import contextlib
import json
import random

import fastavro
import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import CallerFault, InvalidFiles
from headwater.schemas.avro import normalized, parse, without
from headwater.testing.schema_pairs import PairGenerator

KIND = {"type": "enum", "name": "headwater.Kind", "symbols": ["assert", "correct", "retract"]}
INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
DEPARTURE = {
    "type": "record",
    "name": "Departure",
    "namespace": "flights.departures",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "occurred_at", "type": INSTANT},
        {"name": "delay", "type": ["null", "int"], "default": None, "confluent:tags": ["PII"]},
        {"name": "kind", "type": KIND},
        {"name": "was", "type": "headwater.Kind"},
    ],
}


def codes(text: str) -> list[str]:
    with pytest.raises(InvalidFiles) as caught:
        parse(text, file="x.avsc")
    return [finding.code for finding in caught.value.findings]


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.integers(0, 2**32))
def test_canonical_form_and_fingerprint_are_those_of_fastavro(seed: int) -> None:
    value = PairGenerator(random.Random(seed)).pair().writer
    schema = parse(json.dumps(value))
    theirs = to_parsing_canonical_form(fastavro.parse_schema(value))
    assert schema.canonical == theirs
    assert schema.fingerprint.to_bytes(8, "little").hex() == fingerprint(theirs, "CRC-64-AVRO")


def test_dropping_the_field_that_defines_a_type_moves_the_definition() -> None:
    reduced = without(parse(json.dumps(DEPARTURE)), ["kind"])
    assert [field.name for field in reduced.fields] == ["event_id", "occurred_at", "delay", "was"]
    assert reduced.json["fields"][3]["type"]["symbols"] == KIND["symbols"]
    assert reduced.json["fields"][2]["confluent:tags"] == ["PII"]


def test_inlined_json_needs_no_references() -> None:
    inner = '{"type": "record", "name": "a.Inner", "fields": [{"name": "x", "type": "int"}]}'
    outer = '{"type": "record", "name": "b.Outer", "fields": [{"name": "i", "type": "a.Inner"}]}'
    schema = parse(outer, {"a.Inner": inner})
    assert parse(json.dumps(schema.inlined)).canonical == schema.canonical
    assert '"a.Inner"' in schema.text and "int" not in schema.text


def test_order_of_keys_and_needless_objects_do_not_count_when_normalized() -> None:
    one = parse('{"name": "R", "fields": [{"type": {"type": "int"}, "name": "x"}], "type": "record"}')
    other = parse('{"type": "record", "fields": [{"name": "x", "type": "int"}], "name": "R"}')
    assert one.text != other.text
    assert normalized(one) == normalized(other)


def test_an_unknown_field_names_those_that_are() -> None:
    with pytest.raises(CallerFault, match="no field 'gate'") as caught:
        parse(json.dumps(DEPARTURE)).field("gate")
    assert "occurred_at" in caught.value.hint


def test_each_finding_stands_at_its_line_and_column() -> None:
    text = '{"type": "record", "name": "R", "fields": [\n  {"name": "x", "type": "lnog"},\n  {"name": "y"}\n]}'
    with pytest.raises(InvalidFiles) as caught:
        parse(text, file="R.avsc")
    places = [(finding.file, finding.line, finding.column) for finding in caught.value.findings]
    assert places == [("R.avsc", 2, 17), ("R.avsc", 3, 3)]


RECORD = '{{"type": "record", "name": "R", "fields": [{}]}}'


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "HW-S001"),
        ("NaN", "HW-S001"),
        ('{"type": "int", "type": "long"}', "HW-S001"),
        ("[" * 100_000, "HW-S001"),
        ('{"type":' * 50_000, "HW-S001"),
        ("5", "HW-S002"),
        ('{"type": "array"}', "HW-S002"),
        ('{"type": "record", "name": "9", "fields": []}', "HW-S003"),
        ('{"type": "record", "name": "int", "fields": []}', "HW-S003"),
        (RECORD.format('{"name": "x", "type": {"type": "fixed", "name": "R", "size": 1}}'), "HW-S004"),
        ('"nowhere"', "HW-S005"),
        ('["int", "int"]', "HW-S006"),
        ('["int", ["long"]]', "HW-S006"),
        ("[]", "HW-S006"),
        (RECORD.format('{"name": "x", "type": "int", "default": "1"}'), "HW-S007"),
        (RECORD.format('{"name": "x", "type": "int", "default": 2147483648}'), "HW-S007"),
        (RECORD.format('{"name": "x", "type": ["string", "null"], "default": null}'), "HW-S007"),
        (RECORD.format('{"name": "x", "type": "R", "default": {}}'), "HW-S007"),
        ('{"type": "enum", "name": "E", "symbols": ["a", "a"]}', "HW-S008"),
        ('{"type": "enum", "name": "E", "symbols": ["a"], "default": "b"}', "HW-S008"),
        ('{"type": "fixed", "name": "F", "size": -1}', "HW-S009"),
        ('{"type": "string", "logicalType": "date"}', "HW-S010"),
        ('{"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3}', "HW-S010"),
        ('{"type": "record", "name": "R"}', "HW-S011"),
        (RECORD.format('{"name": "x", "type": "int"}, {"name": "x", "type": "int"}'), "HW-S011"),
        ('"' + "x" * 2_000_000 + '"', "HW-S012"),
        (RECORD.format(",".join(f'{{"name": "f{i}", "type": "int"}}' for i in range(10_000))), "HW-S012"),
        ('{"type": "array", "items": ' * 60 + '"int"' + "}" * 60, "HW-S013"),
        ('{"type": "record", "name": "R", "aliases": 5, "fields": []}', "HW-S014"),
    ],
)
def test_what_is_no_schema_is_refused_with_its_code(text: str, code: str) -> None:
    assert code in codes(text)


def test_defaults_that_stand_for_more_values_than_there_is_memory_are_refused() -> None:
    inner = {"type": "record", "name": "R0", "fields": [{"name": "x", "type": "int", "default": 1}]}
    for level in range(1, 20):
        name = f"R{level - 1}"
        fields = [{"name": "a", "type": inner, "default": {}}, {"name": "b", "type": name, "default": {}}]
        inner = {"type": "record", "name": f"R{level}", "fields": fields}
    assert "HW-S007" in codes(json.dumps(inner)) or "HW-S013" in codes(json.dumps(inner))


_LEAVES = st.none() | st.booleans() | st.integers() | st.text()
_KEYS = st.sampled_from(["type", "name", "fields", "items", "symbols", "size", "default"])


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner), max_leaves=12))
def test_no_json_value_ends_in_another_error(value: object) -> None:
    with contextlib.suppress(InvalidFiles):
        parse(json.dumps(value))
