"""The port described for tools: OpenAPI 3.1, written from the products that a reader may see."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headwater.ports.http.ask import KEY, PAGE_DEFAULT, PAGE_LIMIT, WAIT_LIMIT
from headwater.ports.http.forms import FORMS
from headwater.ports.http.problems import CONTENT_TYPE
from headwater.ports.http.served import Served
from headwater.schemas.types import Array as AvroArray
from headwater.schemas.types import AvroType, Enum, Map, Union
from headwater.schemas.types import Record as AvroRecord

_MOMENT = {"type": "string", "format": "date-time"}
_KINDS: dict[str, dict[str, Any]] = {
    "null": {"type": "null"}, "boolean": {"type": "boolean"}, "int": {"type": "integer"}, "long": {"type": "integer"},
    "float": {"type": ["number", "string"]}, "double": {"type": ["number", "string"]},
}  # fmt: skip
_PARAMETERS: dict[str, dict[str, Any]] = {
    "valid": {"description": "True when. Left out: whenever.", "schema": _MOMENT},
    "recorded": {"description": "As known when. Left out: as known now.", "schema": _MOMENT},
    "limit": {
        "description": "Records of a page at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT, "default": PAGE_DEFAULT},
    },
    "cursor": {"description": "The page that a `next` link names.", "schema": {"type": "string"}},
    "after": {
        "description": "`start`, `end`, or the cursor of a piece or snapshot before.",
        "schema": {"type": "string", "default": "end"},
    },
    "wait": {
        "description": "Seconds to wait: until the answer is settled, or until a feed has something.",
        "schema": {"type": "number", "minimum": 0, "maximum": WAIT_LIMIT, "default": 0},
    },
    "format": {"description": "The form, in place of Accept.", "schema": {"type": "string", "enum": list(FORMS)}},
}


def summary(served: Served) -> dict[str, Any]:
    """A product in the list of those that are served."""
    product, name = served.product.product, served.product.name
    base = path_of(served)
    return {
        "product": str(name),
        "version": str(product.version),
        "purpose": product.purpose,
        "key": list(served.product.output.output.key),
        "fields": [field.name for field in served.schema.fields],
        "links": {what: f"{base}/{what}" for what in ("as-of", "history", "snapshot", "feed")},
    }


def path_of(served: Served) -> str:
    """Where a product is."""
    name = served.product.name
    return f"/v1/products/{name.domain}/{name.product}" + (f"/{name.output}" if name.output else "")


def describe(products: Iterable[Served]) -> dict[str, Any]:
    """The OpenAPI document."""
    paths: dict[str, Any] = {
        "/v1/products": {"get": _operation("list_products", "The products that are served.", (), {"type": "object"})},
        "/v1/query": {"get": _query()},
    }
    schemas: dict[str, Any] = {"Problem": _problem_schema()}
    for served in products:
        name = str(served.product.name).replace(".", "_").replace("/", "_")
        schemas[name] = json_schema(served.schema.type, set())
        page = {"type": "object", "properties": {"records": {"type": "array", "items": _reference(name)}}}
        keys = [KEY + one for one in served.product.output.output.key]
        for what, said, parameters in (
            ("as-of", "What is true at a moment, as known at a moment.", ("valid", "recorded", *_PAGED, "wait", *keys)),
            ("history", "Every record as it was published.", ("recorded", *_PAGED, "wait", *keys)),
            ("snapshot", "All as of a settled moment; its `tail` is the feed after it.", ("recorded", *_PAGED)),
            ("feed", "What was recorded after a cursor; as an event stream too.", ("after", "limit", "wait", "format")),
        ):
            operation = _operation(f"{name}_{what.replace('-', '_')}", said, parameters, page)
            if what == "feed":
                operation["responses"]["200"]["content"]["text/event-stream"] = {"schema": {"type": "string"}}
            paths[f"{path_of(served)}/{what}"] = {"get": operation}
    about = {"title": "Headwater data products", "version": "1"}
    return {"openapi": "3.1.0", "info": about, "paths": paths, "components": {"schemas": schemas}}


_PAGED = ("limit", "cursor", "format")


def _operation(name: str, said: str, parameters: Iterable[str], page: dict[str, Any]) -> dict[str, Any]:
    content = {kind: {"schema": page if form == "json" else {}} for form, kind in FORMS.items()}
    return {
        "operationId": name,
        "summary": said,
        "parameters": [{"name": one, "in": "query", **_PARAMETERS.get(one, _KEY)} for one in parameters],
        "responses": {
            "200": {"description": "The answer.", "content": content},
            "304": {"description": "Nothing has changed."},
            "default": {"description": "A problem.", "content": {CONTENT_TYPE: {"schema": _reference("Problem")}}},
        },
    }


_KEY = {"description": "A key field's value; a key is asked for whole.", "schema": {"type": "string"}}


def _query() -> dict[str, Any]:
    names = ("valid", "recorded", "limit", "format")
    operation = _operation("query", "What one SELECT finds in products.", names, {"type": "object"})
    text = {"description": "One SELECT, in DuckDB's dialect.", "schema": {"type": "string"}, "required": True}
    operation["parameters"].append({"name": "sql", "in": "query", **text})
    return operation


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    names = ("type", "title", "code", "detail", "hint")
    return {
        "type": "object",
        "required": ["type", "title", "status", "code"],
        "properties": {**dict.fromkeys(names, text), "status": {"type": "integer"}},
    }


def json_schema(avro_type: AvroType, above: set[str]) -> dict[str, Any]:
    """A type as a JSON Schema of what `records` hold: as `headwater query --output json` prints them."""
    match avro_type:
        case AvroRecord():
            if avro_type.name in above:
                return {}
            inside = {field.name: json_schema(field.type, above | {avro_type.name}) for field in avro_type.fields}
            return {"type": "object", "required": list(inside), "properties": inside}
        case AvroArray():
            return {"type": "array", "items": json_schema(avro_type.items, above)}
        case Map():
            return {"type": "object", "additionalProperties": json_schema(avro_type.values, above)}
        case Union():
            return {"anyOf": [json_schema(branch, above) for branch in avro_type.branches]}
        case Enum():
            return {"type": "string", "enum": list(avro_type.symbols)}
    logical = getattr(avro_type, "attributes", {}).get("logicalType", "")
    if str(logical).startswith("timestamp-"):
        return dict(_MOMENT)
    return {"type": "string"} if logical else dict(_KINDS.get(avro_type.kind, {"type": "string"}))
