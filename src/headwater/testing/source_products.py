"""Source-aligned products as values, for tests that need no mesh folder: an event, a fact, and any other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from headwater import naming
from headwater.contracts.product import Capture, Outbox, Output, Owner, Product, ProductType, Version
from headwater.mesh.products import ResolvedOutput, ResolvedProduct
from headwater.naming import ProductName
from headwater.outbox.starting import topics_of
from headwater.ports.protocol import Broker
from headwater.ports.record import TopicDescription
from headwater.schemas.annotations import payload_schema, shape_of
from headwater.schemas.avro import parse
from headwater.schemas.registry import Registry

INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
KIND = {"type": "enum", "name": "Kind", "namespace": "headwater", "symbols": ["assert", "correct", "retract"]}
_PLATFORM = [
    {"name": "recorded_at", "type": INSTANT},
    {"name": "kind", "type": KIND},
    {"name": "revision", "type": "long"},
]


def source_product(
    name: str,
    fields: Sequence[dict[str, object]],
    *,
    key: tuple[str, ...],
    ports: tuple[str, ...] = ("topic",),
    partitions: int = 4,
    outbox: Outbox | None = None,
    on_invalid: Literal["continue", "park-key"] = "continue",
    capture: Capture | None = None,
) -> ResolvedProduct:
    """A source-aligned product whose schema has these fields and the platform's.

    >>> product = source_product("orders.placed", [{"name": "order_id", "type": "string"}], key=("order_id",))
    >>> product.output.topic, [field.name for field in product.output.payload_schema.fields]
    ('orders.placed.v1', ['order_id'])
    """
    product_name = ProductName.parse(name)
    first = [] if any(field["name"] == "valid_from" for field in fields) else [{"name": "event_id", "type": "string"}]
    record = {"type": "record", "name": "Record", "namespace": name, "fields": [*first, *fields, *_PLATFORM]}
    schema = parse(json.dumps(record))
    output = Output(name="records", schema="Record", key=key, partitions=partitions, ports=ports, on_invalid=on_invalid)
    product = Product(
        name=product_name,
        version=Version(1, 0, 0),
        type=ProductType.SOURCE_ALIGNED,
        owner=Owner("tests", "tests@example.org"),
        purpose="For tests.",
        inputs=(),
        outbox=None if capture else outbox or Outbox("operations", "public.outbox"),
        outputs=(output,),
        folder="connectors/" + name.replace(".", "/"),
        capture=capture,
    )
    topic = naming.topic(product_name, 1)
    resolved = ResolvedOutput(output, schema, payload_schema(schema), shape_of(schema), topic, naming.subject(topic))
    return ResolvedProduct(product, (resolved,), Path(product.folder))


def order_events(**options: object) -> ResolvedProduct:
    """Events `orders.placed`: an order, its number within the customer, and an amount."""
    fields: list[dict[str, object]] = [
        {"name": "customer", "type": "string"},
        {"name": "number", "type": "long"},
        {"name": "occurred_at", "type": INSTANT},
        {"name": "note", "type": ["null", "string"], "default": None},
    ]
    return source_product("orders.placed", fields, key=("customer",), **options)  # type: ignore[arg-type]


def stock_facts(**options: object) -> ResolvedProduct:
    """Facts `stock.levels`: how many of an article a place has, over an interval."""
    fields: list[dict[str, object]] = [
        {"name": "place", "type": "string"},
        {"name": "article", "type": "string"},
        {"name": "valid_from", "type": INSTANT},
        {"name": "valid_to", "type": ["null", INSTANT], "default": None},
        {"name": "count", "type": "int"},
    ]
    return source_product("stock.levels", fields, key=("place", "article"), **options)  # type: ignore[arg-type]


def captured_items(name: str = "shop.items", **options: object) -> ResolvedProduct:
    """Events of a captured table `public.item`: an item's state, and by which operation it came."""
    fields: list[dict[str, object]] = [
        {"name": "item", "type": "string"},
        {"name": "state", "type": "string"},
        {"name": "op", "type": "string"},
        {"name": "occurred_at", "type": INSTANT},
    ]
    capture = Capture("operations", "public.item", **options)  # type: ignore[arg-type]
    return source_product(name, fields, key=("item",), capture=capture)


def make_topics(products: Sequence[ResolvedProduct], broker: Broker, registry: Registry) -> None:
    """The topics and subjects that `apply` would make for these products."""
    for product in products:
        partitions = product.output.output.partitions
        for topic in topics_of(product):
            broker.create_topic(TopicDescription(topic, partitions, {}))
        registry.register(product.output.subject, product.output.schema)
