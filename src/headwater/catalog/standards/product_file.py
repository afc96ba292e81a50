"""A product's values to the text of its `product.yaml`, and a schema's JSON to the text of its `.avsc`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from headwater.catalog.standards.yaml_text import yaml_text
from headwater.contracts.keys import FOREVER
from headwater.contracts.product import Output, Product

JsonObject = dict[str, Any]


def product_text(values: Mapping[str, Any]) -> str:
    """The text of a `product.yaml` from its keys and values."""
    return yaml_text(values)


def product_values(product: Product) -> JsonObject:
    """A product's keys and values as its file has them; reading the text of them gives the product back."""
    values: JsonObject = {
        "product": str(product.name),
        "version": str(product.version),
        "type": str(product.type),
        "owner": {"team": product.owner.team, "contact": product.owner.contact},
        "purpose": product.purpose,
    }
    if product.inputs:
        values["inputs"] = [read.named() for read in product.inputs]
    if product.outbox is not None:
        values["outbox"] = {"database": product.outbox.database, "table": product.outbox.table}
        if product.outbox.validate != "database":
            values["outbox"]["validate"] = product.outbox.validate
    if product.capture is not None:
        values["capture"] = asdict(product.capture)
    values["outputs"] = [_output(output) for output in product.outputs]
    return values


def schema_text(value: Mapping[str, Any]) -> str:
    """A record's schema with one field on a line, as people read and compare them."""
    head = {name: item for name, item in value.items() if name != "fields"}
    lines = [f"  {_compact(name)}: {_compact(item)}," for name, item in head.items()]
    fields = ",\n".join(f"    {_compact(field)}" for field in value["fields"])
    return "{\n" + "\n".join(lines) + '\n  "fields": [\n' + fields + "\n  ]\n}\n"


def _output(output: Output) -> JsonObject:
    values: JsonObject = {
        "name": output.name,
        "schema": output.schema,
        "key": list(output.key),
        "compatibility": str(output.compatibility),
        "retention": FOREVER if output.retention is None else output.retention.text(),
        "partitions": output.partitions,
        "ports": list(output.ports),
    }
    if output.service_levels:
        values["service_levels"] = dict(output.service_levels)
    if output.quality:
        values["quality"] = [
            {"name": rule.name, "rule": rule.rule, "severity": rule.severity} for rule in output.quality
        ]
    values |= {"on_invalid": output.on_invalid, "corrections": output.corrections}
    if output.access:
        values["access"] = dict(output.access)
    if output.accept_late is not None:
        values["accept_late"] = output.accept_late.text()
    if output.grid is not None:
        values["grid"] = output.grid.text()
    return values


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
