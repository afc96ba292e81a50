"""Values of a topic as records: older schemas complete themselves with defaults, foreign ones are refused."""

from __future__ import annotations

import json
from datetime import date

import pytest

from headwater.errors import Misfit
from headwater.ports.serde import RecordReader
from headwater.schemas.avro import Schema, parse
from headwater.schemas.codec import RowCodec, frame
from headwater.schemas.registry_memory import MemoryRegistry

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


def test_a_schema_of_another_subject_is_refused_though_it_would_decode() -> None:
    registry = MemoryRegistry()
    other = _schema({"name": "price", "type": "long"})
    value = frame(registry.register("shop.prices.v1-value", other), RowCodec(other).encode({"price": 7}))
    with pytest.raises(Misfit):
        RecordReader(registry, subject=SUBJECT, schema=OLD).read(value)
