"""Schemas that would endanger readers with stock decoders are findings at their place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headwater.errors import InvalidFiles
from headwater.mesh.envelope import SchemaFile
from headwater.mesh.guardable import guard_findings
from headwater.mesh.load import load_mesh
from headwater.schemas.avro import parse

ROOT = Path(__file__).parents[3]


def findings(schema: object) -> list[tuple[str, str]]:
    text = json.dumps(schema, indent=2)
    return [(f.code, f.path) for f in guard_findings(SchemaFile("a.avsc", text, parse(text)))]


def test_a_record_that_contains_itself_through_an_array_is_refused_where_it_does() -> None:
    node = {
        "type": "record",
        "name": "Node",
        "fields": [
            {"name": "label", "type": "string"},
            {"name": "children", "type": {"type": "array", "items": "Node"}},
        ],
    }
    assert findings(node) == [("HW-C070", ".fields[1].children.type")]


def test_two_records_that_contain_each_other_are_one_finding() -> None:
    inner = {"type": "record", "name": "B", "fields": [{"name": "a", "type": ["null", "A"]}]}
    outer = {"type": "record", "name": "A", "fields": [{"name": "b", "type": ["null", inner]}]}
    assert [code for code, _ in findings(outer)] == ["HW-C070"]


def test_the_same_record_used_twice_side_by_side_is_fine() -> None:
    point = {"type": "record", "name": "P", "fields": [{"name": "x", "type": "int"}]}
    line = {"type": "record", "name": "L", "fields": [{"name": "from", "type": point}, {"name": "to", "type": "P"}]}
    assert findings(line) == []


@pytest.mark.parametrize(("count", "codes"), [(500, []), (501, ["HW-C071"])])
def test_more_than_five_hundred_fields_are_too_many(count: int, codes: list[str]) -> None:
    fields = [{"name": f"f{number}", "type": "int"} for number in range(count)]
    assert [code for code, _ in findings({"type": "record", "name": "R", "fields": fields})] == codes


def test_the_reference_mesh_has_none() -> None:
    try:
        load_mesh(ROOT)
    except InvalidFiles as error:
        pytest.fail(error.detail)
