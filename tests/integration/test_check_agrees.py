"""The database's own check and the relay give one verdict on the same rows, over generated schemas and payloads.

Whatever the database lets pass, the relay publishes, and what it refuses, the relay would have put aside. Values are
drawn near what tells a right one from a wrong one, and are what PostgreSQL makes of them: the relay reads `jsonb`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headwater import naming
from headwater.mesh.products import ResolvedProduct
from headwater.outbox.check_sql import check_routines
from headwater.outbox.encode import Encoder, Target
from headwater.outbox.position import Position
from headwater.outbox.segment import Batch, Run, Segment
from headwater.ports.keys import key_text
from headwater.schemas.wire import LONG_MAX
from headwater.testing.source_products import source_product
from headwater.timeline.instant import Instant

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

SEEDS = range(4)  # 40 more were tried when this was written
SCHEMAS, PAYLOADS = 5, 60
INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
TEXTS = (
    "", "a", "ä\u2028", "A", "B", "AB==", "AAA=", "AAAA", "QQ=", "2026-02-28", "2024-02-29", "2026-02-29",
    "1900-02-29", "2000-02-29", "2026-W01-1", "0000-01-01", "2026-13-01", "2026-04-31", "20260101",
    "2026-01-01T00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123456Z", "2026-01-01T00:00:00.123000Z",
    "2026-01-01T00:00:00.1230009Z", "2026-01-01T00:00:00.12Z", "2026-01-01T24:00:00Z", "2026-01-01T23:60:00Z",
    "2026-01-01T23:59:60Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00 Z", "2026-01-01T00:00:00z",
    "2026-01-01T00:00:00", "2026-01-01T00Z", "2026-01-01T00:00:00+01:00", "2026-01-01T00:00:00-23:59",
    "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+01:60", "2026-01-01T00:00:00+0100", "2026-01-01T00:00:00,5Z",
    "2026-01-01T00:00:00.Z", "2026-01-01T00:150Z", "2026-01-01T00:00:00.123456789012345678901Z",
    "2026-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "00000000-0000-0000-0000-00000000000a",
    "00000000-0000-0000-0000-00000000000A", "1.5", "-1.50", "1.555", "+12", ".5", "5.", "1e1", "1E+2", "1e-2",
    "1e9999", "1_0", " 1", "NaN", "Infinity", "-", "1.", "99999.99", "100000", "0e5", "-0", "\n", "1\n", "A\n",
)  # fmt: skip
NUMBERS = (
    "0", "1", "-1", "1.0", "1.5", "1e2", "1.5e1", "1e-1", "-0", "2147483647", "2147483648", "-2147483648",
    "-2147483649", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "1000", "1001", "1e15", "99999", "100000", "3.4028234663852886e38", "3.4028235677973366e38", "3.5e38", "1e39",
    "1.7976931348623157e308", "1.7976931348623159e308", "1e309", str(2**1024 - 2**970), str(2**1024 - 2**970 - 1),
    str(2**128 - 2**103 - 2**74), str(2**128 - 2**103 - 2**74 - 1), f"{2**128 - 2**103 - 2**75}.5", f"{10**310}.5",
    "0.1", "1e300", "9" * 5_000,
)  # fmt: skip


@dataclass
class Number:
    """A number as it is written: Python's own floats could not hold it."""

    text: str


class Maker:
    """Schemas, values that fit them, and values that just do not."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.names = 0

    def product(self, number: int) -> ResolvedProduct:
        fields: list[dict[str, Any]] = [{"name": "k", "type": self.random.choice(["string", "long", "int", INSTANT])}]
        fields.append({"name": "occurred_at", "type": INSTANT})
        for index in range(self.random.randint(1, 5)):
            fields.append(self.field(f"f{index}", 2))
        key = ("k",) if self.random.random() < 0.6 else ("k", "occurred_at")
        return source_product(f"checks.number{number}", fields, key=key)

    def field(self, name: str, depth: int) -> dict[str, Any]:
        made = {"name": name, "type": self.type(depth)}
        if self.random.random() < 0.3:
            made = {"name": name, "type": ["null", self.type(depth, union=False)], "default": None}
        return made

    def type(self, depth: int, *, union: bool = True) -> Any:
        pick = self.random.random()
        if depth and pick < 0.5:
            kind = self.random.choice(["array", "map", "record", "union" if union else "record"])
            if kind == "array":
                return {"type": "array", "items": self.type(depth - 1)}
            if kind == "map":
                return {"type": "map", "values": self.type(depth - 1)}
            if kind == "record":
                self.names += 1
                name = f"R{self.names}"
                fields = [self.field(f"g{index}", depth - 1) for index in range(self.random.randint(1, 3))]
                if self.random.random() < 0.3:
                    fields.append({"name": "self", "type": ["null", name], "default": None})
                return {"type": "record", "name": name, "fields": fields}
            return self.random.sample(["null", "boolean", "int", "long", "float", "double", "bytes", "string"], 3)
        return self.scalar()

    def scalar(self) -> Any:
        self.names += 1
        logical: list[Any] = [
            INSTANT,
            {"type": "long", "logicalType": "timestamp-millis"},
            {"type": "int", "logicalType": "date"},
            {"type": "string", "logicalType": "uuid"},
            {"type": "bytes", "logicalType": "decimal", "precision": 7, "scale": 2},
            {
                "type": "fixed",
                "name": f"D{self.names}",
                "size": 4,
                "logicalType": "decimal",
                "precision": 9,
                "scale": 0,
            },
            {"type": "fixed", "name": f"F{self.names}", "size": 3},
            {"type": "enum", "name": f"E{self.names}", "symbols": ["A", "B", "C"]},
        ]
        return self.random.choice([*logical, "boolean", "int", "long", "float", "double", "bytes", "string"])

    def fitting(self, avro: Any, depth: int = 0) -> Any:
        """A value that mostly fits."""
        named = self.known.get(avro) if isinstance(avro, str) else None
        avro = named or avro
        if isinstance(avro, list):
            branches = [branch for branch in avro if branch == "null"] if depth > 4 else avro
            return self.fitting(self.random.choice(branches or avro), depth + 1)
        kind = avro["type"] if isinstance(avro, dict) else avro
        logical = avro.get("logicalType", "") if isinstance(avro, dict) else ""
        if kind == "record":
            self.known[avro["name"]] = avro
            return {
                field["name"]: self.fitting(field["type"], depth + 1)
                for field in avro["fields"]
                if not ("default" in field and self.random.random() < 0.5)
            }
        if kind == "array":
            return [self.fitting(avro["items"], depth + 1) for _ in range(self.random.randint(0, 3))]
        if kind == "map":
            return {self.random.choice('ab"\\'): self.fitting(avro["values"], depth + 1) for _ in range(2)}
        fits: dict[str, list[Any]] = {
            "null": [None], "boolean": [True, False], "int": [Number("7"), Number("-2147483648")],
            "long": [Number("7"), Number("9223372036854775807")], "float": [Number("1.5"), Number("3")],
            "double": [Number("1e300"), Number("0.1")], "bytes": ["AAAA", ""], "string": ["", "ä\"\\\n\u0001", "A"],
            "fixed": ["AAAA"], "enum": ["A", "C"], "timestamp-micros": ["2026-01-01T00:00:00.123456Z", Number("5")],
            "timestamp-millis": ["2026-01-01T00:00:00.123Z", Number("5000")], "date": ["2024-02-29"],
            "uuid": ["00000000-0000-0000-0000-00000000000a"], "decimal": ["1.00", "-12", Number("7")],
        }  # fmt: skip
        return self.random.choice(fits[logical or kind])

    known: dict[str, Any]

    def payload(self, product: ResolvedProduct) -> Any:
        self.known = {}
        avro = json.loads(product.output.payload_schema.text)
        value = self.fitting(avro)
        if self.random.random() < 0.7:
            value = self.spoiled(value)
        return value

    def spoiled(self, value: Any) -> Any:
        """The value with one thing in it changed; it may still fit."""
        pick = self.random.random()
        if isinstance(value, dict) and value and pick < 0.85:
            name = self.random.choice(list(value))
            if pick < 0.1:
                return {other: value[other] for other in value if other != name}
            if pick < 0.2:
                return {**value, "other": self.junk()}
            return {**value, name: self.spoiled(value[name])}
        if isinstance(value, list) and value and pick < 0.8:
            index = self.random.randrange(len(value))
            return [*value[:index], self.spoiled(value[index]), *value[index + 1 :]]
        return self.junk()

    def junk(self) -> Any:
        pick = self.random.random()
        if pick < 0.45:
            return self.random.choice(TEXTS)
        if pick < 0.85:
            return Number(self.random.choice(NUMBERS))
        return self.random.choice([None, True, [], {}, ["A"], {"a": Number("1")}])


def written(value: Any) -> str:
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{written(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def relay_refuses(product: ResolvedProduct, payload: str, key: str) -> str:
    """The code of what the relay finds wrong; empty where it publishes the row."""
    name = product.output.schema.name
    row = (b"1", str(product.name).encode(), key.encode(), name.encode(), payload.encode(), b"assert", b"1")
    segment = Segment(1, Instant(9), 0, recorded_at=9, runs=[Run.of_rows([(*row, None, None, None, None, None)])])
    encoder = Encoder([Target(product, 1, 4)], source="crm.public.outbox", system_id="7")
    misfits = encoder.encode(Batch((segment,), Position.start("7", 1, 0), 1, None)).misfits
    return misfits[0][1] if misfits else ""


def key_of(product: ResolvedProduct, payload: str) -> str:
    try:
        value = json.loads(payload)
        return key_text([value[name] for name in product.output.output.key])
    except (ValueError, LookupError, TypeError):
        return "?"


def disagreements(connection: psycopg.Connection[Any], seed: int, spoil: Callable[[str], str]) -> list[str]:
    """Where database and relay say different things of a row; `spoil` may change the functions that check."""
    maker, found, right, wrong = Maker(Random(seed)), [], 0, 0
    for number in range(SCHEMAS):
        product = maker.product(number)
        for routine in check_routines("public.outbox", product):
            connection.execute(spoil(routine.create))
        texts = [written(maker.payload(product)) for _ in range(PAYLOADS)]
        stored = connection.execute(
            "SELECT t::jsonb::text FROM unnest(%s::text[]) WITH ORDINALITY AS u(t, n) ORDER BY n", [texts]
        ).fetchall()
        payloads = [str(row[0]) for row in stored]
        keys = [key_of(product, payload) for payload in payloads]
        check = naming.check_function("public.outbox", product.name)
        verdicts = connection.execute(
            f"SELECT {check}(%s, k, 'assert', 1, p::jsonb, NULL) "
            "FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS u(k, p, n) ORDER BY n",
            [product.output.schema.name, keys, payloads],
        ).fetchall()
        for payload, key, (said,) in zip(payloads, keys, verdicts, strict=True):
            code = relay_refuses(product, payload, key)
            if (said is None) != (code == ""):
                schema = product.output.payload_schema.text
                found.append(f"{payload[:300]} of {schema}: database {said}, relay {code}")
            right, wrong = right + (code == ""), wrong + (code != "")
    assert right > 20 and wrong > 20  # the test would say nothing if all were of one kind
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_database_and_the_relay_give_one_verdict(stack: Stack, seed: int) -> None:
    with psycopg.connect(stack.postgres_dsn("postgres")) as connection:
        assert disagreements(connection, seed, lambda text: text) == []
        connection.rollback()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (str(LONG_MAX), str(LONG_MAX + 1)),  # a bound
        (" > 0 OR", " > 1 OR"),  # a fraction
        ("<> 'string'", "= 'null'"),  # a type
        ("[0-5][0-9](?::", "[0-9]{2}(?::"),  # a minute
    ],
)
def test_a_check_that_lets_a_little_more_pass_is_found_out(stack: Stack, old: str, new: str) -> None:
    with psycopg.connect(stack.postgres_dsn("postgres")) as connection:
        assert any(disagreements(connection, seed, lambda text: text.replace(old, new)) for seed in SEEDS)
        connection.rollback()
