"""The Avro schema of what a flow gives: for who writes the flow first, and would otherwise write it all down again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from headwater import naming
from headwater.errors import Finding, InvalidFiles
from headwater.mesh.load import Survey, schema_path, survey
from headwater.mesh.products import Mesh, ResolvedOutput, ResolvedProduct
from headwater.naming import ProductName
from headwater.processing.field_types import FieldType
from headwater.processing.flow_file import load_flow
from headwater.processing.graph import EVENT_TIMES, FACT_TIMES, HIDDEN, Relation
from headwater.processing.refusals import Wrong
from headwater.processing.validation import relate
from headwater.schemas.annotations import platform_type
from headwater.schemas.avro import parse

_AVRO: Mapping[str, Any] = {
    "integer": "long",
    "double": "double",
    "string": "string",
    "boolean": "boolean",
    "bytes": "bytes",
    "instant": platform_type("recorded_at"),
    "date": {"type": "int", "logicalType": "date"},
}


def inferred_schema(folder: Path, product: ProductName) -> Mapping[str, Any]:
    """The schema of what the flow of a product gives, as JSON; its own schema need not be there yet.

    `product` may be a further output, which has a schema of its own.

    Raises `InvalidFiles` where the flow or what it reads is not in order, `CallerFault` HW-C060 where the mesh has no
    such product.
    """
    read = survey(folder)
    if read.mesh is None:
        raise InvalidFiles(read.findings)
    mesh = _with_draft(read, read.mesh, product)
    asked = mesh.product(product).name  # the first output may be asked for by its own name too
    graph = next(one for one in load_flow(mesh, product).outputs if one.output.product == asked)
    try:
        relation = relate(graph, graph.root)
    except Wrong as wrong:
        raise InvalidFiles([wrong.finding]) from None
    for name, type_ in relation.fields.items():
        if type_.kind == "null":
            why, fix = "a schema says of which type a value is", "remove the field, or give it a value of a type"
            message = f"the field '{name}' is always null"
            line = getattr(graph.root, "line", 0)
            raise InvalidFiles([Finding("HW-P152", "error", graph.file, line, 1, "", message, why, fix)])
    record, fields = mesh.product(product).product.output.schema, _once(_fields(relation), set())
    schema = {"type": "record", "name": record, "namespace": str(product.whole), "fields": fields}
    parse(json.dumps(schema), file=schema_path(product, record))
    return schema


def _fields(relation: Relation) -> list[dict[str, Any]]:
    """Keys and times first, then what the flow gives in its order, then what the platform fills in."""
    times = EVENT_TIMES if relation.shape == "event" else FACT_TIMES
    first = [times[0], *relation.key, times[1]] if relation.shape == "event" else [*relation.key, *times]
    names = list(dict.fromkeys([*(name for name in first if name), *relation.fields]))
    given = [_field(name, relation.fields[name]) for name in names if name in relation.fields]
    return [*given, *({"name": name, "type": platform_type(name)} for name in HIDDEN)]


def _once(value: Any, seen: set[str]) -> Any:
    """With each named type written out where it is first met, and by its name after that, as Avro wants it."""
    if isinstance(value, list):
        return [_once(item, seen) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") in ("record", "enum", "fixed"):
        if value["name"] in seen:
            return value["name"]
        seen.add(value["name"])
    return {key: item if key == "default" else _once(item, seen) for key, item in value.items()}


def _field(name: str, type_: FieldType) -> dict[str, Any]:
    avro = avro_of(type_.required())
    if not type_.nullable and name != "valid_to":  # an interval may be open in every product
        return {"name": name, "type": avro}
    return {"name": name, "type": ["null", *(avro if isinstance(avro, list) else [avro])], "default": None}


def avro_of(type_: FieldType) -> Any:
    """The Avro type that holds every value of a type, as JSON.

    >>> avro_of(FieldType("decimal", precision=9, scale=2))
    {'type': 'bytes', 'logicalType': 'decimal', 'precision': 9, 'scale': 2}
    """
    if type_.avro:
        return json.loads(type_.avro)
    if type_.kind == "decimal":
        return {"type": "bytes", "logicalType": "decimal", "precision": type_.precision, "scale": type_.scale}
    return _AVRO[type_.kind]


def _with_draft(read: Survey, mesh: Mesh, product: ProductName) -> Mesh:
    """The mesh with the product in it, though its schema may be missing: nothing that is inferred depends on it."""
    whole = product.whole
    contract = read.contracts.get(whole)
    if whole in mesh.products or contract is None or contract.value is None:
        mesh.product(product)
        return mesh
    if any(mesh.find(one.product) is None for one in contract.value.inputs):
        raise InvalidFiles(read.findings)
    schema = parse('{"type": "record", "name": "Draft", "fields": []}')
    topic = naming.topic(whole, contract.value.major)
    outputs = tuple(
        ResolvedOutput(output, schema, schema, "fact", topic, naming.subject(topic))
        for output in contract.value.outputs
    )
    draft = ResolvedProduct(contract.value, outputs, mesh.folder / contract.value.folder)
    made = replace(mesh, products={**mesh.products, whole: draft})
    made.product(product)
    return made
