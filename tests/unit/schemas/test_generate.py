"""Generated types: what is written compiles, passes the linters, and carries every record there and back unchanged."""

from __future__ import annotations

import builtins
import importlib.util
import json
import keyword
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, Literal, get_args
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from headwater.errors import CallerFault, Misfit
from headwater.schemas.annotations import payload_schema
from headwater.schemas.avro import Schema, parse
from headwater.schemas.codec import RowCodec
from headwater.schemas.generate import Root, Style, generate
from headwater.schemas.tree import read_tree
from headwater.schemas.typed_names import field_names
from headwater.testing.schema_pairs import BodyGenerator, PairGenerator

ROOT = Path(__file__).resolve().parents[3]
STYLES: tuple[Style, ...] = get_args(Literal["pydantic", "dataclass"])
RICH = {
    "type": "record",
    "name": "shop.orders.Order",
    "doc": 'An order, "as placed"\\ here.',
    "fields": [
        {"name": "order_id", "type": "string", "confluent:tags": ["PII"], "doc": "Who and what."},
        {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "seen_at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}], "default": None},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}, "default": 365},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "token", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "class", "type": {"type": "enum", "name": "Class", "symbols": ["None", "first", "OnTime"]},
         "default": "first"},
        {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 2}, "default": "\u00ff\u0001"},
        {"name": "legs", "type": {"type": "array", "items": {"type": "record", "name": "Leg", "fields": [
            {"name": "to", "type": "string"}, {"name": "next", "type": ["null", "Leg"], "default": None}]}},
         "default": []},
        {"name": "prices", "type": {"type": "map", "values": ["null", {
            "type": "fixed", "name": "Money", "size": 8, "logicalType": "decimal", "precision": 12, "scale": 4}]}},
        {"name": "any", "type": ["null", "string", "long", "Leg", "Class", {"type": "array", "items": "Class"}]},
        {"name": "_raw", "type": "bytes", "default": "a\"\u00ff"},
        {"name": "copy", "type": "double", "default": -1.5},
    ],
}  # fmt: skip
RECORD = {
    "order_id": "ö1",
    "occurred_at": 1_357_394_760_000_001,
    "seen_at": 1_357_394_760_001_000,
    "day": date(2013, 1, 5),
    "price": Decimal("-12.30"),
    "token": "00112233-4455-6677-8899-aabbccddeeff",
    "class": "OnTime",
    "hash": b"ab",
    "legs": [{"to": "JFK", "next": {"to": "LAX", "next": None}}],
    "prices": {"eur": Decimal("1.5000"), "usd": None},
    "any": ["first", "None"],
    "_raw": b"\0\xff",
    "copy": 2.5,
}


@contextmanager
def _module(schema: Schema, style: Style, **options: Any) -> Iterator[ModuleType]:
    """The generated module, imported as far as pydantic needs it: under a name in `sys.modules`."""
    name = f"generated_{style}"
    module = ModuleType(name)
    sys.modules[name] = module
    try:
        source = generate([Root(schema, **options)], style, about="the test")
        exec(compile(source, name, "exec"), module.__dict__)  # noqa: S102 - that it runs is what is tested
        yield module
    finally:
        del sys.modules[name]


@pytest.mark.parametrize("style", STYLES)
def test_a_record_becomes_python_values_and_goes_back_as_it_was(style: Style) -> None:
    schema = parse(json.dumps(RICH))
    with _module(schema, style) as module:
        order = module.Order.from_record(RECORD)
        assert order.occurred_at == datetime(2013, 1, 5, 14, 6, 0, 1, tzinfo=UTC)
        assert order.token == UUID("00112233-4455-6677-8899-aabbccddeeff")
        assert order.class_ is module.Class.ON_TIME and order.any == [module.Class.FIRST, module.Class.NONE]
        assert order.legs[0].next.to == "LAX" and order.raw_ == b"\0\xff"
        assert order.to_record() == RECORD
        codec = RowCodec(schema)
        assert module.Order.from_record(codec.decode(codec.encode(order.to_record()))) == order


@pytest.mark.parametrize("style", STYLES)
def test_defaults_docs_roles_and_marks_are_kept(style: Style) -> None:
    with _module(parse(json.dumps(RICH)), style, key=("order_id",)) as module:
        order = module.Order(
            order_id="1", occurred_at=datetime(2013, 1, 1, tzinfo=UTC), price=Decimal(1), prices={}, any=None,
            token=UUID(int=7),
        )  # fmt: skip
        assert order.class_ is module.Class.FIRST and order.day == date(1971, 1, 1) and order.hash == b"\xff\x01"
        assert order.legs == [] and order.raw_ == b'a"\xff' and order.seen_at is None
        assert module.Order.__doc__ == 'An order, "as placed"\\ here.'
        if style == "pydantic":
            marks = module.Order.model_fields["order_id"].json_schema_extra
            assert module.Order.model_fields["occurred_at"].json_schema_extra == {"roles": ["valid time"]}
        else:
            marks = {field.name: field.metadata for field in fields(module.Order)}["order_id"]
        assert marks == {"roles": ["key"], "tags": ["PII"]}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"price": Decimal("1.005")}, "decimal"),
        ({"price": Decimal("12345678.00")}, "decimal|digits"),
        ({"price": Decimal("NaN")}, "decimal|finite"),
        ({"hash": b"abc"}, "bytes"),
        ({"occurred_at": datetime(2013, 1, 1)}, "time zone|timezone"),  # noqa: DTZ001 - that is the point
        ({"seen_at": datetime(2013, 1, 1, microsecond=1, tzinfo=UTC)}, "microseconds"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_rounded(style: Style, change: dict[str, Any], says: str) -> None:
    with _module(parse(json.dumps(RICH)), style) as module:
        order = module.Order.from_record(RECORD)
        values = {name: getattr(order, name) for name in module.Order.__annotations__}
        with pytest.raises(ValueError, match=says):  # pydantic's ValidationError is one
            module.Order(**(values | change)).to_record()


def test_models_are_strict_and_instants_of_any_zone_become_utc() -> None:
    with _module(parse(json.dumps(RICH)), "pydantic") as module:
        values = {name: getattr(module.Order.from_record(RECORD), name) for name in module.Order.__annotations__}
        for change in ({"copy_": "2.5"}, {"order_id": 1}, {"class_": "first"}, {"other": 1}):
            with pytest.raises(ValidationError):
                module.Order(**(values | change))
        local = datetime(2013, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
        assert module.Order(**(values | {"occurred_at": local})).occurred_at.isoformat() == "2013-01-01T00:00:00+00:00"


def test_descriptions_of_models_come_from_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "generated_described.py"
    path.write_text(generate([Root(parse(json.dumps(RICH)))], "pydantic", about="the test"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
        assert module.Order.model_fields["order_id"].description == "Who and what."
    finally:
        del sys.modules[path.stem]


def test_no_field_hides_a_method_of_a_model() -> None:
    public = [name for name in dir(BaseModel) if not name.startswith("_")]
    renamed = field_names(public, model=True, classes=[])
    assert not [name for name in public if renamed[name] == name]


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from(STYLES))
def test_every_schema_gives_a_module_that_carries_its_records(seed: int, style: Style) -> None:
    chance = Random(seed)
    pair = PairGenerator(chance).pair()
    schema = parse(json.dumps(pair.writer))
    bodies = BodyGenerator(chance, pair.writer).bodies()[:8]
    try:
        codec = RowCodec(schema)
    except CallerFault:
        return  # items without bytes: no decoder can be safe
    simple = schema.name.rpartition(".")[2]
    with _module(schema, style) as module:
        for body in bodies:
            try:
                record = codec.decode(body)
            except Misfit:
                continue  # a decimal beyond its precision
            if codec.encode(record) != body:
                continue  # two branches of a union that a record cannot tell apart
            value = getattr(module, simple).from_record(record)
            made = value.to_record()
            assert codec.encode(made) == body
            assert getattr(module, simple).from_record(codec.decode(codec.encode(made))) == value


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True) | st.sampled_from(
    [*keyword.kwlist, *dir(BaseModel), *dir(builtins), "dt", "Decimal", "to_record", "self", "field", "Name", "_1"]
)
TEXTS = st.text(max_size=30) | st.sampled_from(['"', '"""', "\\", "x\\", 'it\'s "so"', "\0", "\ud800", "a\n\n  b"])


@settings(max_examples=80)
@given(st.lists(NAMES, unique=True, min_size=1, max_size=8), TEXTS, st.sampled_from(STYLES))
def test_any_name_and_any_text_give_a_module_that_runs(names: list[str], text: str, style: Style) -> None:
    enum = {"type": "enum", "name": "Name", "symbols": names, "doc": text}
    fields = [{"name": name, "type": enum if index == 0 else "Name", "doc": text} for index, name in enumerate(names)]
    fields.append({"name": "text_with_default", "type": "string", "default": text})
    schema = parse(json.dumps({"type": "record", "name": "some.Thing", "fields": fields, "doc": text}))
    with _module(schema, style) as module:
        record = {name: name for name in names} | {"text_with_default": text}
        thing = module.Thing.from_record(record)
        assert thing.to_record() == record
        attributes = {name: getattr(thing, name) for name in module.Thing.__annotations__}
        assert len(attributes) == len(record) and set(attributes.values()) == {*module.Name, text}
        del attributes["text_with_default"]
        assert module.Thing(**attributes) == thing


def test_the_same_schemas_give_the_same_source_and_equal_types_become_one_class() -> None:
    schemas = [item.schema for item in read_tree(ROOT / "schemas" / "avro").values()]
    roots = [Root(schema) for schema in schemas]
    source = generate(roots, "dataclass", about="all")
    assert source == generate(roots, "dataclass", about="all")
    assert source.count("class Kind(StrEnum):") == 1 and source.count("@dataclasses.dataclass") == len(schemas)


def test_only_records_become_classes() -> None:
    with pytest.raises(CallerFault, match="no record"):
        generate([Root(parse('"int"'))], "dataclass", about="x")


@pytest.mark.slow
def test_generated_files_pass_the_linters_and_the_type_checker(tmp_path: Path) -> None:
    schemas = {item.schema.name: item.schema for item in read_tree(ROOT / "schemas" / "avro").values()}
    schemas["shop.orders.Order"] = parse(json.dumps(RICH))
    for style in STYLES:
        for name, schema in schemas.items():
            payload = Root(payload_schema(schema), name.rpartition(".")[2] + "Payload")
            source = generate([Root(schema, key=("origin",)), payload], style, about=name)
            (tmp_path / f"{style}_{name.replace('.', '_').lower()}.py").write_text(source, encoding="utf-8")
    for command in (
        ["ruff", "check", "--isolated", "--no-cache"],
        ["ruff", "format", "--check", "--isolated", "--no-cache"],
        ["ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        ["ruff", "format", "--check", "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        ["mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command, "."], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
