"""The JSON Schemas of the files of a mesh, for editors: from the declaration that the loader reads by."""

from __future__ import annotations

import json
from typing import Any

from headwater.contracts import keys
from headwater.contracts.shape_collection import Record

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def product_schema() -> dict[str, Any]:
    """Of `product.yaml`; knows also that source-aligned products have an outbox or a captured table, the others inputs,
    and maybe a runner.

    >>> product_schema()["properties"]["type"]["enum"]
    ['source-aligned', 'aggregate', 'consumer-aligned']
    """
    aligned = {"properties": {"type": {"const": "source-aligned"}}, "required": ["type"]}
    return {
        **_document(keys.PRODUCT, "product.yaml: a data product's contract"),
        "if": aligned,
        "then": {
            "oneOf": [{"required": ["outbox"]}, {"required": ["capture"]}],
            "not": {"anyOf": [{"required": ["inputs"]}, {"required": ["runner"]}]},
        },
        "else": {
            "required": ["inputs"],
            "not": {"anyOf": [{"required": ["outbox"]}, {"required": ["capture"]}]},
        },
    }


def mesh_schema() -> dict[str, Any]:
    """Of `mesh.yaml`."""
    return _document(keys.MESH, "mesh.yaml: the mesh and its environments")


def consumer_schema() -> dict[str, Any]:
    """Of a file in `consumers/`."""
    return _document(keys.CONSUMER, "consumers/<name>.yaml: a reader outside the mesh")


def pages() -> dict[str, str]:
    """The published files of `docs/reference/` by name."""
    schemas = {
        "product.schema.json": product_schema(),
        "mesh.schema.json": mesh_schema(),
        "consumer.schema.json": consumer_schema(),
    }
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas.items()}


def _document(shape: Record, title: str) -> dict[str, Any]:
    return {"$schema": _DIALECT, "title": title, **shape.json_schema()}
