"""Values of a topic as records: older schemas complete themselves with defaults, foreign ones are refused."""

from __future__ import annotations

import json
from datetime import date

import pytest

from headwater.errors import Misfit
from headwater.ports.serde import RecordReader
from headwater.schemas.avro import Schema, parse
from headwater.schemas.codec import RowCodec, frame
from headwater.schemas.compatibility import compare
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.schemas.unsure import Unsure

SUBJECT = "shop.orders.v1-value"


def _schema(*fields: dict[str, object]) -> Schema:
    return parse(json.dumps({"type": "record", "name": "shop.orders.Order", "fields": list(fields)}))


OLD = _schema({"name": "amount", "type": "long"})
DAY = {"name": "day", "type": {"type": "int", "logicalType": "date"}, "default": 1}
NEW = _schema({"name": "amount", "type": "long"}, DAY)


def test_a_field_that_an_older_writer_lacked_takes_the_default_as_the_codec_would_give_it() -> None:
    registry = MemoryRegistry()
    value = frame(registry.register(SUBJECT, OLD), RowCodec(OLD).encode({"amount": 7}))
    reader = RecordReader(registry, subject=SUBJECT, schema=NEW)
    assert reader.read(value) == {"amount": 7, "day": date(1970, 1, 2)}


def test_a_writer_without_a_field_that_has_no_default_is_a_misfit_not_a_wrong_value() -> None:
    registry = MemoryRegistry()
    value = frame(registry.register(SUBJECT, OLD), RowCodec(OLD).encode({"amount": 7}))
    demanding = _schema({"name": "amount", "type": "long"}, {"name": "currency", "type": "string"})
    with pytest.raises(Misfit) as refused:
        RecordReader(registry, subject=SUBJECT, schema=demanding).read(value)
    assert "currency" in refused.value.detail


def _lines(*more: dict[str, object]) -> Schema:
    """Orders with lines, which may be null, of an article and more."""
    fields = [{"name": "article", "type": "string"}, *more]
    line = {"type": "record", "name": "shop.orders.Line", "fields": fields}
    array = {"type": "array", "items": line}
    return _schema({"name": "lines", "type": array}, {"name": "first", "type": ["null", "shop.orders.Line"]})


SIZE = {"name": "size", "type": ["null", "long"], "default": None}
SHORT, LONG = _lines(), _lines(SIZE)
A, B = {"article": "a"}, {"article": "b", "size": 3}


@pytest.mark.parametrize(
    ("written", "read", "record", "found"),
    [
        (SHORT, LONG, {"lines": [A], "first": None}, {"lines": [{**A, "size": None}], "first": None}),
        (SHORT, LONG, {"lines": [], "first": A}, {"lines": [], "first": {**A, "size": None}}),
        (LONG, SHORT, {"lines": [B], "first": B}, {"lines": [{"article": "b"}], "first": {"article": "b"}}),
        (LONG, LONG, {"lines": [B], "first": B}, {"lines": [B], "first": B}),
    ],
)
def test_records_within_a_record_have_the_fields_that_are_read_by(
    written: Schema, read: Schema, record: dict[str, object], found: dict[str, object]
) -> None:
    assert not compare(read, written)
    registry = MemoryRegistry()
    value = frame(registry.register(SUBJECT, written), RowCodec(written).encode(record))
    reader = RecordReader(registry, subject=SUBJECT, schema=read)
    assert reader.read(value) == found
    RowCodec(read).encode(found)  # as it is, it can be written on


def test_values_whose_records_lack_fields_are_not_read_as_columns() -> None:
    def lines(*more: dict[str, object]) -> Schema:
        return _schema({**json.loads(_lines(*more).text)["fields"][0]})

    registry, short, long = MemoryRegistry(), lines(), lines(SIZE)
    value = frame(registry.register(SUBJECT, short), RowCodec(short).encode({"lines": [A]}))
    assert RecordReader(registry, subject=SUBJECT, schema=short).columns([value]).to_pylist() == [{"lines": [A]}]
    with pytest.raises(Unsure):
        RecordReader(registry, subject=SUBJECT, schema=long).columns([value])


def test_a_record_within_a_record_that_lacks_a_field_without_a_default_is_a_misfit() -> None:
    registry = MemoryRegistry()
    value = frame(registry.register(SUBJECT, SHORT), RowCodec(SHORT).encode({"lines": [], "first": None}))
    demanding = _lines({"name": "currency", "type": "string"})
    with pytest.raises(Misfit) as refused:
        RecordReader(registry, subject=SUBJECT, schema=demanding).read(value)
    assert "currency" in refused.value.detail


def test_a_record_that_contains_itself_is_completed_all_the_way() -> None:
    def tree(*more: dict[str, object]) -> Schema:
        fields = [{"name": "name", "type": "string"}, {"name": "parts", "type": {"type": "array", "items": "Part"}}]
        return _schema({"name": "part", "type": {"type": "record", "name": "Part", "fields": [*fields, *more]}})

    old, new = tree(), tree({"name": "weight", "type": "long", "default": 7})
    registry = MemoryRegistry()
    record = {"part": {"name": "a", "parts": [{"name": "b", "parts": []}]}}
    value = frame(registry.register(SUBJECT, old), RowCodec(old).encode(record))
    inner = {"name": "b", "parts": [], "weight": 7}
    reader = RecordReader(registry, subject=SUBJECT, schema=new)
    assert reader.read(value) == {"part": {"name": "a", "parts": [inner], "weight": 7}}


def test_a_schema_of_another_subject_is_refused_though_it_would_decode() -> None:
    registry = MemoryRegistry()
    other = _schema({"name": "price", "type": "long"})
    value = frame(registry.register("shop.prices.v1-value", other), RowCodec(other).encode({"price": 7}))
    with pytest.raises(Misfit):
        RecordReader(registry, subject=SUBJECT, schema=OLD).read(value)
