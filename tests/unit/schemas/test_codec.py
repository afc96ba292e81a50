"""The codec agrees with fastavro on what is right, and refuses what is not: no bytes crash it, none pass by mistake."""

import io
import json
import random
from datetime import date
from decimal import Decimal

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import CallerFault, Misfit
from headwater.schemas.avro import parse
from headwater.schemas.codec import RowCodec, frame, open_single_object, single_object, unframe
from headwater.schemas.payload import from_json
from headwater.testing.schema_pairs import BodyGenerator, PairGenerator

RECORD = {
    "type": "record",
    "name": "a.R",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["assert", "correct", "retract"]}},
        {"name": "legs", "type": {"type": "array", "items": {"type": "record", "name": "Leg", "fields": [
            {"name": "to", "type": ["null", "string"], "default": None}]}}},
        {"name": "extra", "type": {"type": "map", "values": "double"}},
        {"name": "any", "type": ["null", "long", "string", "a.Leg"], "default": None},
    ],
}  # fmt: skip
VALUE = {
    "id": "é1",
    "at": 1_357_394_760_000_001,
    "price": Decimal("-12.30"),
    "day": date(2013, 1, 5),
    "kind": "retract",
    "legs": [{"to": "JFK"}, {"to": None}],
    "extra": {"x": 1.5},
    "any": {"to": "LAX"},
}
CODEC = RowCodec(parse(json.dumps(RECORD)))


def test_a_record_comes_back_as_it_went() -> None:
    body = CODEC.encode(VALUE)
    assert CODEC.decode(body) == VALUE
    assert CODEC.decode(b"\0\0" + body, 2) == VALUE


def test_defaults_stand_in_for_what_is_left_out() -> None:
    assert CODEC.decode(CODEC.encode({key: value for key, value in VALUE.items() if key != "any"}))["any"] is None


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.integers(0, 2**32))
def test_bodies_decode_as_fastavro_decodes_them_and_encode_to_the_same_bytes(seed: int) -> None:
    chance = random.Random(seed)
    value = PairGenerator(chance).pair().writer
    bare = json.loads(json.dumps(value, default=str).replace('"logicalType"', '"formerly"'))
    codec, theirs = RowCodec(parse(json.dumps(bare))), fastavro.parse_schema(bare)
    for body in BodyGenerator(chance, bare).bodies()[:6]:
        decoded = codec.decode(body)
        assert decoded == fastavro.schemaless_reader(io.BytesIO(body), theirs, None)
        again = codec.encode(decoded)
        assert codec.decode(again) == decoded


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.integers(0, 2**32), st.binary(max_size=60))
def test_random_and_damaged_bytes_are_a_misfit_or_a_value_of_the_schema(seed: int, noise: bytes) -> None:
    chance = random.Random(seed)
    value = PairGenerator(chance).pair().writer
    codec = RowCodec(parse(json.dumps(value)))
    bodies = [noise]
    for body in BodyGenerator(chance, value).bodies()[:3]:
        damaged = bytearray(body or b"\0")
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        bodies += [body[:-1], body + b"\0", bytes(damaged)]
    for body in bodies:
        try:
            decoded = codec.decode(body)
        except Misfit:
            continue
        codec.encode(decoded)


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_body_that_lost_its_end_is_refused(cut: int) -> None:
    with pytest.raises(Misfit):
        CODEC.decode(CODEC.encode(VALUE)[:-cut])


def codec(schema: object) -> RowCodec:
    return RowCodec(parse(json.dumps(schema)))


def one(avro_type: object) -> RowCodec:
    return codec({"type": "record", "name": "R", "fields": [{"name": "x", "type": avro_type}]})


ENUM = {"type": "enum", "name": "E", "symbols": ["a", "b"]}


@pytest.mark.parametrize(
    ("avro_type", "body", "what"),
    [
        (ENUM, b"\x01", "out of range"),
        (ENUM, b"\x04", "out of range"),
        (ENUM, b"\x80\x00", "out of range"),
        (["null", "string"], b"\x01\x02a", "out of range"),
        (["null", "string"], b"\x04", "out of range"),
        ("boolean", b"\x02", "out of range"),
        ("long", b"\x80\x00", "longer than it needs"),
        ("long", b"\xff" * 10 + b"\x01", "longer than ten bytes"),
        ("long", b"\xff" * 9 + b"\x7f", "64 bits"),
        ("int", b"\x80\x80\x80\x80\x10", "32 bits"),
        ("string", b"\x01", "length"),
        ("string", b"\x0aab", "bytes are missing"),
        ("string", b"\x02\xff", "UTF-8"),
        ("string", b"\xfe\xff\xff\xff\x0f", "length"),
        ("double", b"\0\0\0", "bytes are missing"),
        ("long", b"\x02\x02", "left over"),
        ({"type": "array", "items": "int"}, b"\xfe\xff\xff\xff\x0f\x02\x00", "more items than"),
        ({"type": "array", "items": "int"}, b"\x01\x08\x02\x00", "length|as long as it says"),
        ({"type": "map", "values": "int"}, b"\x04\x02a\x02\x02a\x04\x00", "twice"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, b"\x06\x7f\xff\xff", "digits"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, b"\x00", "no bytes"),
        ({"type": "string", "logicalType": "uuid"}, b"\x02a", "UUID"),
        ({"type": "int", "logicalType": "date"}, b"\xfe\xff\xff\xff\x0f", "years"),
        ({"type": "fixed", "name": "F", "size": 4}, b"abc", "missing"),
    ],
)
def test_what_fastavro_lets_through_or_crashes_on_is_a_misfit(avro_type: object, body: bytes, what: str) -> None:
    with pytest.raises(Misfit, match=what) as caught:
        one(avro_type).decode(body)
    assert caught.value.field in ("x", "")


def test_a_block_with_its_size_and_several_blocks_are_read() -> None:
    assert one({"type": "array", "items": "int"}).decode(b"\x01\x02\x02\x02\x04\x00") == {"x": [1, 2]}


def test_a_depth_bomb_of_five_kilobytes_is_a_misfit() -> None:
    nested = codec({"type": "record", "name": "R", "fields": [{"name": "next", "type": ["null", "R"]}]})
    assert nested.decode(b"\x02\x02\x00") == {"next": {"next": {"next": None}}}
    with pytest.raises(Misfit, match="too deeply"):
        nested.decode(b"\x02" * 5_000 + b"\x00")


def test_a_record_that_requires_itself_has_no_bytes() -> None:
    endless = codec({"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]})
    with pytest.raises(Misfit, match="too deeply"):
        endless.decode(b"")
    circle: dict[str, object] = {}
    circle["r"] = circle
    with pytest.raises(Misfit, match="too deeply"):
        endless.encode(circle)


@pytest.mark.parametrize("items", ["null", {"type": "record", "name": "Empty", "fields": []}])
def test_items_that_take_no_bytes_are_refused_before_any_record(items: object) -> None:
    with pytest.raises(CallerFault, match="take no bytes") as caught:
        one({"type": "array", "items": items})
    assert caught.value.code == "HW-S016"


def test_wide_schemas_of_records_within_records_stay_small_when_compiled() -> None:
    inner: dict[str, object] = {"type": "record", "name": "R0", "fields": [{"name": "x", "type": "int"}]}
    for level in range(1, 12):
        fields = [{"name": "a", "type": inner}, *({"name": f"b{i}", "type": f"R{level - 1}"} for i in range(6))]
        inner = {"type": "record", "name": f"R{level}", "fields": fields}
    with pytest.raises(Misfit):
        codec(inner).decode(b"\x02")


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("id", 5, "not text"),
        ("id", None, "not text"),
        ("id", "\ud800", "UTF-8"),
        ("at", True, "whole number"),
        ("at", 1.0, "whole number"),
        ("at", 2**63, "64 bits"),
        ("price", 12.3, "not a decimal"),
        ("price", Decimal("1.234"), "precision"),
        ("price", Decimal("123456.7"), "precision"),
        ("price", Decimal("NaN"), "finite"),
        ("day", 5, "not a date"),
        ("kind", "deny", "symbols"),
        ("legs", {"to": 1}, "not a list"),
        ("extra", {"x": "1"}, "not a number"),
        ("extra", {1: 1.0}, "not text"),
        ("any", 1.5, "no branch"),
        ("any", {"from": "x"}, "no branch"),
    ],
)
def test_a_value_that_does_not_fit_names_its_field_and_not_itself(name: str, value: object, what: str) -> None:
    with pytest.raises(Misfit, match=what) as caught:
        CODEC.encode({**VALUE, name: value})
    assert caught.value.field == name
    assert not isinstance(value, float | int) or str(value) not in caught.value.render()


def test_missing_and_unknown_fields_are_named() -> None:
    with pytest.raises(Misfit, match="missing") as caught:
        CODEC.encode({key: value for key, value in VALUE.items() if key != "kind"})
    assert caught.value.field == "kind"
    with pytest.raises(Misfit, match="does not have: 'gate'"):
        CODEC.encode({**VALUE, "gate": 1})
    with pytest.raises(Misfit) as caught:
        CODEC.encode({**VALUE, "legs": [{"to": "JFK"}, {"to": 5}]})
    assert caught.value.field == "legs.to"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-9999, max_value=9999))
@settings(max_examples=100, derandomize=True)
def test_decimals_keep_their_value(number: Decimal) -> None:
    assert CODEC.decode(CODEC.encode({**VALUE, "price": number}))["price"] == number


@given(st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=300, derandomize=True)
def test_whole_numbers_of_64_bits_are_written_as_fastavro_writes_them(number: int) -> None:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, "long", number)
    numbers = codec("long")
    assert numbers.encode(number) == stream.getvalue()
    assert numbers.decode(stream.getvalue()) == number


def test_timestamp_millis_are_microseconds_outside() -> None:
    millis = one({"type": "long", "logicalType": "timestamp-millis"})
    assert millis.decode(millis.encode({"x": 5_000})) == {"x": 5_000}
    with pytest.raises(Misfit, match="microseconds"):
        millis.encode({"x": 5_001})


def test_frames() -> None:
    assert unframe(frame(2**31, b"")) == (2**31, b"")
    for bad in (None, b"", b"\0\0\0\0", b"\1\0\0\0\1ab"):
        with pytest.raises(Misfit, match="frame"):
            unframe(bad)
    assert open_single_object(single_object(2**63, b"x")) == (2**63, b"x")
    with pytest.raises(Misfit):
        open_single_object(b"\xc3\x01short")


def test_a_whole_number_in_a_union_with_a_float_keeps_all_its_digits() -> None:
    field = {"name": "x", "type": ["double", "long"]}
    schema = parse(json.dumps({"type": "record", "name": "R", "fields": [field]}))
    codec = RowCodec(schema)
    for value in (2**60 + 1, 0.5):
        assert codec.decode(codec.encode({"x": value})) == {"x": value}
        assert type(codec.decode(codec.encode({"x": value}))["x"]) is type(value)
    assert from_json(schema, {"x": 2**60 + 1}) == {"x": 2**60 + 1}
