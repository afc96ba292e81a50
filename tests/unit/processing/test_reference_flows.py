"""The reference mesh's flows in memory: what they publish fits their schemas, for generated records of their inputs."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from headwater.mesh.load import load_mesh
from headwater.mesh.products import ResolvedProduct
from headwater.processing.field_types import from_avro
from headwater.processing.flow_file import load_plan
from headwater.processing.runners.memory import MemoryRunner
from headwater.schemas.codec import RowCodec

ROOT = Path(__file__).parents[3]
MESH = load_mesh(ROOT)
DERIVED = [resolved for resolved in MESH.products.values() if resolved.product.inputs]
START = 1_357_000_000_000_000
HOUR = 3_600_000_000


def record_of(resolved: ResolvedProduct, chance: random.Random, number: int) -> dict[str, Any]:
    """A record that fits the product's schema; few different values, so that keys meet."""
    record: dict[str, Any] = {}
    for field in resolved.output.schema.inlined["fields"]:
        type_ = from_avro(field["type"])
        if type_.nullable and chance.random() < 0.3:
            record[field["name"]] = None
            continue
        record[field["name"]] = {
            "string": lambda: chance.choice(["JFK", "LGA", "N1"]),
            "integer": lambda: chance.randrange(1, 5),
            "boolean": lambda: True,
            "double": lambda: 0.5,
            "decimal": lambda scale=type_.scale: Decimal(chance.randrange(900)).scaleb(-scale),
            "instant": lambda: START + chance.randrange(10) * HOUR,
        }[type_.kind]()
    if resolved.output.shape == "event":
        record["event_id"] = f"event-{number}"
    else:
        record |= {"valid_from": START + number * HOUR, "valid_to": chance.choice([None, START + (number + 1) * HOUR])}
    return {**record, "recorded_at": START + number * 70_000, "kind": "assert", "revision": 1}


@pytest.mark.parametrize("resolved", DERIVED, ids=lambda resolved: str(resolved.name))
def test_what_a_flow_publishes_fits_its_schema(resolved: ResolvedProduct) -> None:
    chance = random.Random(1)
    runner = MemoryRunner(load_plan(MESH, resolved.name), batch=7, choose=chance.randrange)
    for declared in resolved.product.inputs:
        source = MESH.product(declared.product)
        codec = RowCodec(source.output.schema)
        for number in range(60):
            record = codec.decode(codec.encode(record_of(source, chance, number)))
            runner.write(source.output.topic, [record[name] for name in source.output.output.key], record)
    for declared in resolved.product.inputs:
        runner.mark(MESH.product(declared.product).output.topic, START + HOUR)
    runner.run()
    codec = RowCodec(resolved.output.schema)
    records = runner.records()
    assert records
    for record in records:
        assert codec.decode(codec.encode(dict(record))) == record
