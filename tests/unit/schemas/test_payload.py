"""Plain JSON to records and back."""

import json
from datetime import date
from decimal import Decimal

import pytest

from headwater.errors import Misfit
from headwater.schemas.avro import parse
from headwater.schemas.codec import RowCodec
from headwater.schemas.payload import check, from_json, to_json

SCHEMA = parse(
    json.dumps(
        {
            "type": "record",
            "name": "a.R",
            "fields": [
                {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
                {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
                {"name": "day", "type": {"type": "int", "logicalType": "date"}},
                {"name": "raw", "type": "bytes"},
                {"name": "ratio", "type": "double"},
                {"name": "count", "type": ["null", "int"], "default": None},
                {"name": "legs", "type": {"type": "array", "items": "string"}, "default": []},
                {
                    "name": "any",
                    "type": ["null", {"type": "record", "name": "L", "fields": [{"name": "to", "type": "string"}]}],
                    "default": None,
                },
                {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
            ],
        }
    )
)
PLAIN = {
    "at": "2013-01-05T14:06:00.000001Z",
    "price": "12.30",
    "day": "2013-01-05",
    "raw": "AAE=",
    "ratio": 1.5,
    "count": 3,
    "legs": ["JFK"],
    "any": {"to": "LAX"},
    "id": "6cb2e307-8afa-9838-9b9a-41427ef7df26",
}


def test_json_becomes_a_record_and_the_same_json_again() -> None:
    record = from_json(SCHEMA, PLAIN)
    assert record["at"] == 1_357_394_760_000_001
    assert (record["price"], record["day"], record["raw"]) == (Decimal("12.30"), date(2013, 1, 5), b"\0\1")
    codec = RowCodec(SCHEMA)
    assert to_json(SCHEMA, codec.decode(codec.encode(record))) == PLAIN


def test_instants_may_be_microseconds_or_have_another_zone() -> None:
    assert from_json(SCHEMA, {**PLAIN, "at": 5})["at"] == 5
    assert from_json(SCHEMA, {**PLAIN, "at": "1970-01-01T01:00:00+01:00"})["at"] == 0


def test_what_has_a_default_may_be_left_out_and_is_never_shared() -> None:
    short = {key: value for key, value in PLAIN.items() if key not in ("count", "legs", "any")}
    record = from_json(SCHEMA, short)
    assert (record["count"], record["legs"], record["any"]) == (None, [], None)
    record["legs"].append("x")
    assert from_json(SCHEMA, short)["legs"] == []


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("at", "2013-01-05T14:06:00", "at"),
        ("at", "soon", "at"),
        ("at", 2**63, "at"),
        ("at", True, "at"),
        ("price", 12.3, "price"),
        ("price", "1.234", "price"),
        ("price", "99999.00", "price"),
        ("price", "NaN", "price"),
        ("price", "1e999999999", "price"),
        ("day", 5, "day"),
        ("day", "2013-13-01", "day"),
        ("raw", "???", "raw"),
        ("ratio", "1.5", "ratio"),
        ("count", 2**31, "count"),
        ("count", 1.0, "count"),
        ("legs", [5], "legs"),
        ("any", {"to": 5}, "any.to"),
        ("any", {}, "any.to"),
        ("any", {"to": "x", "from": "y"}, "any"),
        ("id", "nope", "id"),
        ("gate", 1, ""),
    ],
)
def test_what_does_not_fit_names_its_field_and_not_its_value(name: str, value: object, field: str) -> None:
    with pytest.raises(Misfit) as caught:
        from_json(SCHEMA, {**PLAIN, name: value})
    assert caught.value.field == field
    assert caught.value.code == "HW-S040"


@pytest.mark.parametrize("value", [None, 5, [], "x"])
def test_what_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(Misfit):
        from_json(SCHEMA, value)


def test_nesting_without_end_is_a_misfit() -> None:
    nested = parse('{"type": "record", "name": "R", "fields": [{"name": "r", "type": ["null", "R"]}]}')
    value: object = None
    for _ in range(100_000):
        value = {"r": value}
    with pytest.raises(Misfit):
        from_json(nested, value)
    while isinstance(value, dict):  # or the interpreter takes it apart recursively
        value = value.pop("r")


def test_check_accepts_what_encodes_and_names_what_does_not() -> None:
    check(SCHEMA, from_json(SCHEMA, PLAIN))
    with pytest.raises(Misfit) as caught:
        check(SCHEMA, {**from_json(SCHEMA, PLAIN), "ratio": "x"})
    assert caught.value.field == "ratio"


def test_numbers_that_json_does_not_have_become_text() -> None:
    doubles = parse('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "double"}]}')
    assert to_json(doubles, {"x": float("nan")}) == {"x": "nan"}
    far = parse(doubles.text.replace('"double"', '{"type":"long","logicalType":"timestamp-micros"}'))
    assert to_json(far, {"x": 2**62}) == {"x": 2**62}
