"""The quick look never says yes where the checker has anything to say."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.schemas.avro import parse
from headwater.schemas.evolution import LEVELS, judge
from headwater.schemas.unchanged import Plain
from headwater.schemas.versions import VersionsLock

PLACE = {"type": "record", "name": "Place", "fields": [{"name": "city", "type": "string"}]}
OTHER_PLACE = {"type": "record", "name": "Place", "fields": [{"name": "city", "type": "int"}]}
TYPES = [
    "int", "long", "string", ["null", "string"], ["null", "int"], ["long", "int"], ["float", "int"],
    {"type": "array", "items": "int"}, {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "map", "values": "Place"}, PLACE, OTHER_PLACE, "Place",
    {"type": "enum", "name": "Kind", "symbols": ["A"]}, {"type": "enum", "name": "Kind", "symbols": ["A", "B"]},
]  # fmt: skip
DEFAULTS = {"int": 0, "long": 0, "string": ""}

FIELDS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(TYPES), st.booleans(), st.sampled_from([None, "a", "b"])),
    max_size=4,
    unique_by=lambda one: one[0],
)


def schema(fields: list[tuple[str, object, bool, str | None]], name: str) -> str:
    written = []
    for field, type_, optional, alias in fields:
        item: dict[str, object] = {"name": field, "type": type_}
        if optional and isinstance(type_, str) and type_ in DEFAULTS:
            item["default"] = DEFAULTS[type_]
        if alias is not None and alias != field:
            item["aliases"] = [alias]
        written.append(item)
    return json.dumps({"type": "record", "name": name, "fields": written})


@settings(max_examples=600, derandomize=True, deadline=None)
@given(FIELDS, FIELDS, st.sampled_from(LEVELS), st.sampled_from(["R", "R", "R", "S"]))
def test_plain_means_that_the_checker_finds_nothing(old, new, level, name) -> None:  # type: ignore[no-untyped-def]
    try:
        earlier, candidate = parse(schema(old, name)), parse(schema(new, "R"))
    except Exception:
        return  # a name used before it is defined
    (locked,) = VersionsLock(()).added(earlier).versions
    if Plain(level, candidate).follows(locked):
        assert judge(level, [earlier], candidate) == []


@pytest.mark.parametrize("level", ["BACKWARD", "FULL"])
def test_an_added_field_with_a_default_is_plain(level: str) -> None:
    old = [("a", "int", False, None), ("b", PLACE, False, None), ("c", "Place", False, None)]
    new = [*old, ("d", "string", True, None)]
    (locked,) = VersionsLock(()).added(parse(schema(old, "R"))).versions  # type: ignore[arg-type]
    assert Plain(level, parse(schema(new, "R"))).follows(locked)  # type: ignore[arg-type]
