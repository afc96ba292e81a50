"""What a reader can and cannot read, and that the verdict is what decoders do."""

import importlib.util
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.schemas.avro import Schema, parse
from headwater.schemas.compatibility import Break, compare
from headwater.schemas.evolution import compatible, judge
from headwater.schemas.places import place_of

BENCH = Path(__file__).parents[3] / "bench" / "compatibility.py"


def schema(avro_type: Any, **references: Any) -> Schema:
    return parse(json.dumps(avro_type), {name: json.dumps(value) for name, value in references.items()})


def record(*fields: Any, name: str = "a.R", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [*fields], **more}


def field(name: str, avro_type: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": avro_type, **more}


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "a.E", "symbols": [*symbols], **more}


def fixed(size: int, name: str = "a.F", **more: Any) -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size, **more}


def decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


MICROS = {"type": "long", "logicalType": "timestamp-micros"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
NODE = record(field("next", ["null", "a.R"], default=None), field("x", "int"))

# reader, writer, codes of the errors, codes of warnings and notes
X, Y = field("x", "int"), field("y", "string")
CASES = {
    "a field added with a default": (record(X, field("y", "int", default=1)), record(X), [], []),
    "a field added without one": (record(X, Y), record(X), ["HW-S102"], []),
    "a nullable field without a default": (record(field("y", ["null", "int"])), record(), ["HW-S102"], []),
    "a field removed": (record(), record(field("x", "int")), [], []),
    "a field renamed": (record(field("y", "int")), record(field("x", "int")), ["HW-S102"], []),
    "a field renamed with an alias": (record(field("y", "int", aliases=["x"])), record(X), [], ["HW-S114"]),
    "two claims to one field": (
        record(field("x", "int"), field("y", "int", aliases=["x"])), record(field("x", "int")), ["HW-S108"], []),
    "fields in another order": (record(X, Y), record(Y, X), [], []),
    "int to long": ("long", "int", [], []),
    "long to int": ("int", "long", ["HW-S101"], []),
    "long to float": ("float", "long", [], ["HW-S111"]),
    "string to bytes": ("bytes", "string", [], ["HW-S116"]),
    "bytes to string": ("string", "bytes", [], ["HW-S112"]),
    "boolean to int": ("int", "boolean", ["HW-S101"], []),
    "a type made nullable": (["null", "int"], "int", [], []),
    "a type no longer nullable": ("int", ["null", "int"], ["HW-S101"], []),
    "a union wider": (["null", "int", "string"], ["int", "null"], [], []),
    "a union narrower": (["null", "int"], ["int", "null", "string"], ["HW-S106"], []),
    "a promotion within a union": (["null", "long"], ["null", "int"], [], []),
    "a record within a union": (
        ["null", record(field("x", "int"), field("y", "int"))], ["null", record(field("x", "int"))], ["HW-S102"], []),
    "the items of an array": ({"type": "array", "items": "int"}, {"type": "array", "items": "string"}, ["HW-S101"], []),
    "the values of a map": ({"type": "map", "values": "long"}, {"type": "map", "values": "int"}, [], []),
    "an array for a map": ({"type": "array", "items": "int"}, {"type": "map", "values": "int"}, ["HW-S101"], []),
    "a symbol added": (enum("a", "b"), enum("a"), [], []),
    "a symbol removed": (enum("a"), enum("a", "b"), ["HW-S103"], []),
    "a symbol removed, with a default": (enum("a", default="a"), enum("a", "b"), [], ["HW-S115"]),
    "the symbols in another order": (enum("b", "a"), enum("a", "b"), [], []),
    "another size": (fixed(4), fixed(8), ["HW-S105"], []),
    "a fixed renamed": (fixed(4, "a.G"), fixed(4), ["HW-S104"], []),
    "a fixed renamed with an alias": (fixed(4, "a.G", aliases=["F"]), fixed(4), [], ["HW-S114"]),
    "a record renamed": (record(name="a.S"), record(), ["HW-S104"], []),
    "a record renamed with an alias": (record(name="a.S", aliases=["a.R"]), record(), [], ["HW-S114"]),
    "another namespace": (record(name="b.R"), record(), [], ["HW-S110"]),
    "an enum for a string": (enum("a"), "string", ["HW-S101"], []),
    "milliseconds for microseconds": (MILLIS, MICROS, ["HW-S107"], []),
    "a logical type added": (MICROS, "long", [], ["HW-S113"]),
    "a logical type removed": ("long", MICROS, [], ["HW-S113"]),
    "another scale": (decimal(9, 3), decimal(9, 2), ["HW-S107"], []),
    "another precision": (decimal(10, 2), decimal(9, 2), ["HW-S107"], []),
    "the same decimal": (decimal(9, 2), decimal(9, 2), [], []),
    "a record that contains itself": (NODE, NODE, [], []),
    "a change deep within one that contains itself": (
        record(field("next", ["null", "a.R"], default=None), field("x", "string")), NODE, ["HW-S101"], []),
    "one of two namespaces in a union": (
        [record(field("x", "string"), name="b.R"), record(field("x", "int"))], record(field("x", "int")),
        ["HW-S101"], ["HW-S110"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_findings_of(case: str) -> None:
    reader, writer, errors, others = CASES[case]
    found = compare(schema(reader), schema(writer))
    assert [item.code for item in found if item.severity == "error"] == errors
    assert [item.code for item in found if item.severity != "error"] == others
    assert all(item.message and item.why and item.fix for item in found)


def test_a_finding_leads_to_its_place_in_both_schemas() -> None:
    reader = (
        '{"type": "record", "name": "R", "fields": [\n {"name": "y", "type": "int", "default": 1},\n'
        ' {"name": "x", "type": "int"}]}'
    )
    writer = '{"type": "record", "name": "R", "fields": [\n {"name": "x", "type": ["null",\n "int"]}]}'
    (found,) = compare(parse(reader), parse(writer))
    assert (found.reader_path, found.writer_path) == (".fields[1].x.type", ".fields[0].x.type[0]")
    assert place_of(reader, found.reader_path) == (3, 16)
    assert place_of(writer, found.writer_path) == (2, 25)


def test_a_change_in_a_referenced_schema_is_found_where_it_is_used() -> None:
    outer = record(field("leg", "a.Leg"), name="a.Flight")
    old = parse(json.dumps(outer), {"a.Leg": json.dumps(record(field("to", "string"), name="a.Leg"))})
    new = parse(json.dumps(outer), {"a.Leg": json.dumps(record(field("to", "int"), name="a.Leg"))})
    (found,) = compare(new, old)
    assert (found.code, found.reader_path) == ("HW-S101", ".fields[0].leg.type.fields[0].to.type")


def test_references_do_not_multiply_the_work() -> None:
    inner: Any = record(field("x", "int"), name="R0")
    for level in range(1, 25):
        inner = record(field("a", inner), field("b", f"R{level - 1}"), name=f"R{level}") if level < 12 else inner
    assert compare(schema(inner), schema(inner)) == []


LEVELS = {
    # level: may int follow long, may long follow int, and what of the history [long, int] -> int
    "BACKWARD": (False, True, True),
    "BACKWARD_TRANSITIVE": (False, True, False),
    "FORWARD": (True, False, True),
    "FORWARD_TRANSITIVE": (True, False, True),
    "FULL": (False, False, True),
    "FULL_TRANSITIVE": (False, False, False),
    "NONE": (True, True, True),
}


@pytest.mark.parametrize("level", LEVELS)
def test_each_level_looks_in_its_direction_and_at_its_part_of_the_history(level: str) -> None:
    int_schema, long_schema = parse('"int"'), parse('"long"')
    narrower, wider, history = LEVELS[level]
    assert compatible(judge(level, [long_schema], int_schema)) == narrower
    assert compatible(judge(level, [int_schema], long_schema)) == wider
    assert compatible(judge(level, [long_schema, int_schema], int_schema)) == history


def _bench() -> Any:
    spec = importlib.util.spec_from_file_location("bench_compatibility", BENCH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_MODULE = _bench()


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.integers(0, 2**40))
@pytest.mark.filterwarnings("ignore")
def test_the_verdict_is_what_fastavro_and_avro_do_with_data_and_what_avros_checker_says(seed: int) -> None:
    counts: Counter[str] = Counter()
    assert _MODULE.judge_pair(seed, counts) == []


@pytest.mark.filterwarnings("ignore")
def test_the_oracle_notices_a_checker_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(reader: Schema, writer: Schema) -> list[Break]:
        return []

    monkeypatch.setattr(_MODULE, "compare", blind)
    assert any(_MODULE.judge_pair(seed, Counter()) for seed in range(60))
