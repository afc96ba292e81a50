"""Bodies read and written as columns: wherever the columnar road answers, the row road says the same."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import Misfit
from headwater.schemas.avro import parse
from headwater.schemas.codec import RowCodec
from headwater.schemas.column_bodies import BodyColumns, RecordColumns, readable, writable
from headwater.schemas.unsure import Unsure

LINE = '{"type": "record", "name": "Line", "fields": [{"name": "s", "type": "string"}, {"name": "q", "type": "int"}]}'
INSTANT = '{"type": "long", "logicalType": "timestamp-micros"}'
PRICE = '{"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}'
RATE = '{"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 9}'
SUM = '{"type": "bytes", "logicalType": "decimal", "precision": 21, "scale": 2}'
WIDE = parse(
    f"""{{"type": "record", "name": "Wide", "fields": [
        {{"name": "text", "type": "string"}}, {{"name": "small", "type": "int"}}, {{"name": "large", "type": "long"}},
        {{"name": "real", "type": "double"}}, {{"name": "truth", "type": "boolean"}},
        {{"name": "at", "type": {INSTANT}}},
        {{"name": "kind", "type": {{"type": "enum", "name": "Kind", "symbols": ["assert", "correct", "retract"]}}}},
        {{"name": "lines", "type": {{"type": "array", "items": {LINE}}}}},
        {{"name": "tags", "type": ["null", {{"type": "array", "items": "string"}}]}},
        {{"name": "more", "type": [{{"type": "array", "items": "Line"}}, "null"]}},
        {{"name": "codes", "type": ["null", {{"type": "array", "items": ["null", "long"]}}]}},
        {{"name": "maybe", "type": ["null", "long"]}}, {{"name": "perhaps", "type": ["string", "null"]}},
        {{"name": "price", "type": {PRICE}}}, {{"name": "rate", "type": ["null", {RATE}]}}]}}"""
)
FLAT = parse(
    f"""{{"type": "record", "name": "Flat", "fields": [
        {{"name": "text", "type": "string"}}, {{"name": "small", "type": "int"}}, {{"name": "large", "type": "long"}},
        {{"name": "truth", "type": "boolean"}}, {{"name": "at", "type": {INSTANT}}},
        {{"name": "kind", "type": {{"type": "enum", "name": "Kind", "symbols": ["assert", "correct", "retract"]}}}},
        {{"name": "maybe", "type": ["null", "long"]}}, {{"name": "perhaps", "type": ["null", "string"]}},
        {{"name": "price", "type": {PRICE}}}, {{"name": "sum", "type": ["null", {SUM}]}}]}}"""
)
LONGS = st.integers(-(1 << 63), (1 << 63) - 1) | st.sampled_from([63, 64, -64, -65, 1 << 62, -(1 << 62), (1 << 62) - 1])
INTS = st.integers(-(1 << 31), (1 << 31) - 1)
KINDS = st.sampled_from(["assert", "correct", "retract"])
LINES = st.lists(st.fixed_dictionaries({"s": st.text(max_size=3), "q": INTS}), max_size=3)
PRICES = st.integers(-(10**9) + 1, 10**9 - 1).map(lambda cents: Decimal(cents).scaleb(-2))
RATES = st.integers(-(10**18) + 1, 10**18 - 1).map(lambda number: Decimal(number).scaleb(-9))
SUMS = LONGS.map(lambda cents: Decimal(cents).scaleb(-2))
WIDES = st.fixed_dictionaries(
    {
        "text": st.text(max_size=70), "small": INTS, "large": LONGS, "real": st.floats(allow_nan=False),
        "truth": st.booleans(), "at": LONGS, "kind": KINDS, "lines": LINES, "more": st.none() | LINES,
        "tags": st.none() | st.lists(st.text(max_size=3), max_size=3),
        "codes": st.none() | st.lists(st.none() | LONGS, max_size=3), "maybe": st.none() | LONGS,
        "perhaps": st.none() | st.text(max_size=3), "price": PRICES, "rate": st.none() | RATES,
    }
)  # fmt: skip


def rows(batch: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = batch.to_pylist()
    return found


@given(st.lists(WIDES, min_size=1, max_size=8))
def test_what_is_read_as_columns_is_what_is_read_row_by_row(records: list[dict[str, Any]]) -> None:
    codec = RowCodec(WIDE)
    bodies = [codec.encode(record) for record in records]
    try:
        found = rows(BodyColumns(WIDE).read(bodies))
    except Unsure:
        numbers = [record[name] for record in records for name in ("large", "at", "maybe")]
        numbers += [code for record in records for code in record["codes"] or ()]
        assert any(number is not None and not -(1 << 62) <= number < 1 << 62 for number in numbers)
    else:
        assert found == [codec.decode(body) for body in bodies]


@settings(max_examples=400)
@given(st.lists(WIDES, min_size=1, max_size=4), st.data())
def test_damaged_bodies_are_never_read_otherwise(records: list[dict[str, Any]], data: st.DataObject) -> None:
    codec = RowCodec(WIDE)
    bodies = [codec.encode(record) for record in records]
    number = data.draw(st.integers(0, len(bodies) - 1))
    body = bytearray(bodies[number])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        action = data.draw(st.sampled_from(["set", "insert", "cut", "append"]))
        piece = data.draw(st.binary(min_size=1, max_size=3) | st.sampled_from([b"\x80\x00", b"\xff\xff\xff\xff\x7f"]))
        if action == "set":
            body[at : at + len(piece)] = piece
        elif action == "insert":
            body[at:at] = piece
        elif action == "append":
            body += piece
        else:
            del body[at : at + len(piece)]
    bodies[number] = bytes(body)
    if data.draw(st.booleans()) and len(bodies) > 1:  # what one has too many, its neighbour lacks
        other = (number + 1) % len(bodies)
        bodies[other] = bodies[other][: len(bodies[other]) - 1]
    try:
        found = rows(BodyColumns(WIDE).read(bodies))
    except Unsure:
        return
    expected = [codec.decode(body) for body in bodies]  # where a row is a misfit, this raises, and so fails
    assert repr(found) == repr(expected)  # damaged doubles may be no numbers


@pytest.mark.parametrize(
    "body",
    [
        b"\x02\x00",  # one byte too many
        b"\x82\x00",  # longer than it need be
        b"\xff" * 9 + b"\x03",  # 65 bits, whose lower 64 are a number of ten bytes
        b"\xff" * 9 + b"\x01",  # the least number of all is left to the row road with them
    ],
)
def test_numbers_that_are_no_shortest_form_are_left_to_the_row_road(body: bytes) -> None:
    schema = parse('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}')
    with pytest.raises(Unsure):
        BodyColumns(schema).read([body, b"\x02"])


def test_an_int_beyond_32_bits_is_left_to_the_row_road() -> None:
    schema = parse('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "int"}]}')
    body = bytes([0x80, 0x80, 0x80, 0x80, 0x44])  # five bytes, and so is what its lower 32 bits take
    with pytest.raises(Misfit):
        RowCodec(schema).decode(body)
    with pytest.raises(Unsure):
        BodyColumns(schema).read([body])


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "text": st.text(max_size=70), "small": INTS | LONGS, "large": LONGS, "truth": st.booleans(),
                "at": LONGS, "kind": KINDS | st.just("other"), "maybe": st.none() | LONGS,
                "perhaps": st.none() | st.text(max_size=3), "price": SUMS | PRICES, "sum": st.none() | SUMS,
            }
        ),
        min_size=1,
        max_size=6,
    )
)  # fmt: skip
def test_what_is_written_as_columns_is_what_is_written_row_by_row(records: list[dict[str, Any]]) -> None:
    types = {"text": pa.string(), "truth": pa.bool_(), "kind": pa.string(), "perhaps": pa.string()}
    types |= {"price": pa.decimal128(21, 2), "sum": pa.decimal128(38, 2)}
    columns = {name: pa.array([record[name] for record in records], types.get(name, pa.int64())) for name in records[0]}
    codec = RowCodec(FLAT)
    try:
        found = RecordColumns(FLAT).write(columns)
    except Unsure:
        with pytest.raises(Misfit):
            [codec.encode(record) for record in records]
    else:
        assert found == [codec.encode(record) for record in records]


def test_columns_of_another_type_or_with_nulls_are_not_written() -> None:
    schema = parse('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}')
    for column in (pa.array([1.0]), pa.array([None, 1]), pa.array(["1"]), pa.array([True])):
        with pytest.raises(Unsure):
            RecordColumns(schema).write({"x": column})
    with pytest.raises(Unsure):
        RecordColumns(schema).write({})


@pytest.mark.parametrize(
    "type_",
    [
        '"bytes"',
        '"float"',
        '{"type": "string", "logicalType": "uuid"}',
        '{"type": "int", "logicalType": "date"}',
        '{"type": "long", "logicalType": "timestamp-millis"}',
        f'{{"type": "array", "items": {PRICE}}}',
        '{"type": "fixed", "name": "F", "size": 8, "logicalType": "decimal", "precision": 9, "scale": 2}',
        '["string", "long"]',
        '{"type": "map", "values": "long"}',
        '{"type": "array", "items": {"type": "array", "items": "long"}}',
        '["null", {"type": "array", "items": ["null", {"type": "array", "items": "long"}]}]',
        f'{{"type": "array", "items": ["null", {LINE}]}}',
    ],
)
def test_what_is_not_listed_is_left_to_the_row_road(type_: str) -> None:
    schema = parse(f'{{"type": "record", "name": "R", "fields": [{{"name": "x", "type": {type_}}}]}}')
    assert not readable(schema.type)
    assert not writable(schema.type)


@pytest.mark.parametrize("items", ['"long"', '["null", "string"]', LINE])
def test_arrays_that_may_be_null_are_read_and_not_written(items: str) -> None:
    array = f'["null", {{"type": "array", "items": {items}}}]'
    schema = parse(f'{{"type": "record", "name": "R", "fields": [{{"name": "x", "type": {array}}}]}}')
    assert readable(schema.type) and not writable(schema.type)


def test_decimals_beyond_64_bits_are_left_to_the_row_road() -> None:
    schema = parse(f'{{"type": "record", "name": "R", "fields": [{{"name": "x", "type": {SUM}}}]}}')
    assert writable(schema.type) and not readable(schema.type)
    for text, type_ in (("1e18", pa.decimal128(38, 2)), ("1.5", pa.decimal128(38, 1))):
        with pytest.raises(Unsure):
            RecordColumns(schema).write({"x": pa.array([Decimal(text)], type_)})


@pytest.mark.parametrize("unscaled", [b"\x02\x01", b"\x10" + b"\0" * 8, b"\x12" + b"\0" * 9, b"\0"])
def test_a_decimal_with_bytes_that_it_need_not_have_is_the_same_or_not_sure(unscaled: bytes) -> None:
    schema = parse(f'{{"type": "record", "name": "R", "fields": [{{"name": "x", "type": {PRICE}}}]}}')
    try:
        found = rows(BodyColumns(schema).read([unscaled]))
    except Unsure:
        assert len(unscaled) in (1, 10)
    else:
        assert found == [RowCodec(schema).decode(unscaled)]


def test_the_least_of_64_bits_has_too_many_digits() -> None:
    schema = parse(f'{{"type": "record", "name": "R", "fields": [{{"name": "x", "type": {RATE}}}]}}')
    with pytest.raises(Unsure):
        BodyColumns(schema).read([b"\x10\x80" + b"\0" * 7])
