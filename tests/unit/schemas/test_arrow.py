"""Records as Arrow tables: each value comes back as the codec has it, whatever the schema."""

import json
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from headwater.errors import CallerFault
from headwater.schemas.arrow import arrow_schema, arrow_table, plain, plain_rows
from headwater.schemas.avro import Schema, parse
from headwater.schemas.codec import RowCodec
from headwater.schemas.payload import to_json
from headwater.schemas.types import Array, AvroType, Map, Record, Union
from headwater.testing.schema_pairs import BodyGenerator, PairGenerator

NUMBERS = (pa.TimestampScalar, pa.Time32Scalar, pa.Time64Scalar)
SEEDS = 150


def schema_of(*types: Any) -> Schema:
    fields = [{"name": f"f{number}", "type": one} for number, one in enumerate(types)]
    return parse(json.dumps({"type": "record", "name": "R", "fields": fields}))


def logical(kind: str, name: str, **more: int) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


def said(scalar: Any) -> Any:
    """What a table says, times as the numbers that they are: Python's own end at the year 9999."""
    if not scalar.is_valid:
        return None
    if isinstance(scalar, NUMBERS):
        return scalar.value
    if isinstance(scalar, pa.StructScalar):
        return {name: said(part) for name, part in scalar.items()}
    if isinstance(scalar, pa.MapScalar):
        return {part["key"].as_py(): said(part["value"]) for part in scalar.values}
    return [said(part) for part in scalar.values] if isinstance(scalar, pa.ListScalar) else scalar.as_py()


def in_json(found: Any, shown: Any) -> bool:
    return bool(found == json.dumps(shown, ensure_ascii=False))


def alike(avro_type: AvroType, found: Any, record: Any, shown: Any, above: tuple[AvroType, ...] = ()) -> bool:
    """Whether a table says the same as the record; where it says it in JSON, as `to_json` shows it."""
    if isinstance(avro_type, Union):
        some = [branch for branch in avro_type.branches if branch.kind != "null"]
        if record is None:
            return found is None
        return (
            alike(some[0], found, record, shown, above)
            if len(some) == 1
            else bool(found == json.dumps(shown, ensure_ascii=False))
        )
    if avro_type in above:
        return bool(found == json.dumps(shown, ensure_ascii=False))
    if isinstance(avro_type, Record):
        names = [field.name for field in avro_type.fields]
        parts = [(f.type, found[f.name], record[f.name], shown[f.name], (*above, avro_type)) for f in avro_type.fields]
        return list(found) == names and all(alike(*part) for part in parts)
    if isinstance(avro_type, Array):
        trios = zip(found, record, shown, strict=True)
        return all(alike(avro_type.items, *trio, above) for trio in trios)
    if isinstance(avro_type, Map):
        return found.keys() == record.keys() and all(
            alike(avro_type.values, found[key], record[key], shown[key], above) for key in record
        )
    return bool(found == record or found != found)


def test_every_schema_and_every_value_comes_back() -> None:
    compared = 0
    for seed in range(SEEDS):
        random = Random(seed)
        written = PairGenerator(random).pair().writer
        schema = parse(json.dumps(written))
        records = [RowCodec(schema).decode(body) for body in BodyGenerator(random, written).bodies()]
        table = arrow_table(schema, records)
        assert table.schema == arrow_schema(schema)
        table.validate(full=True)
        for number, record in enumerate(records):
            row = {name: said(table.column(name)[number]) for name in table.column_names}
            assert alike(schema.type, row, record, to_json(schema, record)), (seed, row, record)
            compared += 1
    assert compared > 3 * SEEDS


@pytest.mark.parametrize(
    ("avro", "arrow", "value"),
    [
        (logical("long", "timestamp-millis"), pa.timestamp("us", "UTC"), 1_000_000),
        (logical("long", "timestamp-nanos"), pa.timestamp("ns", "UTC"), 7),
        (logical("long", "local-timestamp-millis"), pa.timestamp("ms"), 7),
        (logical("long", "local-timestamp-micros"), pa.timestamp("us"), 7),
        (logical("int", "time-millis"), pa.time32("ms"), 7),
        (logical("long", "time-micros"), pa.time64("us"), 7),
        (logical("int", "date"), pa.date32(), date(2013, 1, 5)),
        (logical("string", "uuid"), pa.string(), "6cb2e307-8afa-9838-9b9a-41427ef7df26"),
        (logical("bytes", "decimal", precision=38, scale=2), pa.decimal128(38, 2), Decimal("1.20")),
        (logical("bytes", "decimal", precision=76, scale=0), pa.decimal256(76, 0), Decimal(10) ** 75),
        (logical("bytes", "decimal", precision=90, scale=1), pa.string(), Decimal("2.5")),
        ({"type": "fixed", "name": "F", "size": 2}, pa.binary(2), b"ab"),
        (["null", "long"], pa.int64(), None),
        (["string", "long"], pa.string(), 5),
    ],
)
def test_a_type_is_the_column_that_says_the_same(avro: Any, arrow: pa.DataType, value: Any) -> None:
    schema = schema_of(avro)
    table = arrow_table(schema, [{"f0": value}])
    assert table.schema.field(0).type == arrow
    wanted = {Decimal("2.5"): "2.5", 5: "5"}.get(value, value) if arrow == pa.string() else value
    assert said(table.column(0)[0]) == wanted


def test_a_column_says_whether_it_may_be_null() -> None:
    schema = arrow_schema(schema_of("long", ["null", "long"], {"type": "array", "items": ["null", "string"]}))
    assert [field.nullable for field in schema] == [False, True, False]
    assert schema.field("f2").type.value_field.nullable


def test_no_records_are_a_table_with_all_columns() -> None:
    assert arrow_table(schema_of("long", "string"), []).to_pydict() == {"f0": [], "f1": []}


@pytest.mark.parametrize(
    "column",
    [
        pa.array([0, 1, None, -62_135_596_800_000_000, 253_402_300_799_999_999], pa.timestamp("us", "UTC")),
        pa.array([None, None], pa.timestamp("us", "UTC")),
        pa.array([], pa.timestamp("us", "UTC")),
        pa.array([1, None], pa.timestamp("us")),
        pa.array([1, None], pa.timestamp("ms", "UTC")),
        pa.array([1, None], pa.timestamp("us", "Europe/Berlin")),
        pa.array([1, None], pa.date32()),
        pa.array([b"a", None]),
        pa.array([1.5, None]),
        pa.array(["é", None]),
        pa.array([[{"a": 1, "b": ["x"]}], None, []]),
        pa.array([[{"at": 1}]], pa.list_(pa.struct([("at", pa.timestamp("us", "UTC"))]))),
        pa.array([Decimal("1.50")]),
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
    ],
)
def test_rows_of_json_are_what_each_value_is_by_itself(column: pa.Array) -> None:
    rows = plain_rows(pa.table({"x": column}))
    assert rows == [{"x": plain(value)} for value in column.to_pylist()]


@pytest.mark.parametrize("at", [-62_135_596_800_000_001, 253_402_300_800_000_000, (1 << 63) - 1])
def test_an_instant_that_no_calendar_has_is_refused(at: int) -> None:
    with pytest.raises(CallerFault) as refused:
        plain_rows(pa.table({"x": pa.array([0, at], pa.timestamp("us", "UTC"))}))
    assert refused.value.code == "HW-R043"
