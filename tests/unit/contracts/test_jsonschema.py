"""The published JSON Schemas and the loader say the same of any document."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from headwater.contracts.jsonschema import mesh_schema, pages, product_schema
from headwater.contracts.load import read_mesh_file, read_product

ROOT = Path(__file__).parents[3]
WRONG = sorted((Path(__file__).parent / "wrong").glob("*.yaml"))
# What a JSON Schema cannot say: rules of YAML's text, and rules between two values of one file.
ONLY_THE_LOADER = {f"HW-C{number:03}" for number in (*range(1, 16), 35, 36, 37, 38, 39, 118, 119, 120)} | {"HW-N001"}
TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
PRODUCT: dict[str, Any] = {
    "product": "airports.hourly",
    "version": "1.0.0",
    "type": "aggregate",
    "owner": {"team": "t", "contact": "c"},
    "purpose": "p",
    "inputs": [{"product": "flights.departures", "major": 1, "reads": ["a"]}],
    "outputs": [{"name": "facts", "schema": "Hourly", "key": ["origin"], "retention": "30d", "ports": ["topic"]}],
}


def fits(schema: dict[str, Any], value: Any) -> bool:
    """As much of JSON Schema as the published files use."""
    wanted = schema.get("type")
    kinds = wanted if isinstance(wanted, list) else [wanted] if wanted else []
    if kinds and not any(_is(kind, value) for kind in kinds):
        return False
    if ("enum" in schema and value not in schema["enum"]) or value != schema.get("const", value):
        return False
    if "not" in schema and fits(schema["not"], value):
        return False
    if "oneOf" in schema and sum(fits(one, value) for one in schema["oneOf"]) != 1:
        return False
    if "anyOf" in schema and not any(fits(one, value) for one in schema["anyOf"]):
        return False
    if "if" in schema and not fits(schema["then" if fits(schema["if"], value) else "else"], value):
        return False
    if isinstance(value, str):
        return len(value) <= schema.get("maxLength", 10**9) and bool(re.search(schema.get("pattern", ""), value))
    if isinstance(value, int) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    if isinstance(value, list):
        distinct = not schema.get("uniqueItems") or len({json.dumps(item) for item in value}) == len(value)
        counted = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9)
        return distinct and counted and all(fits(schema.get("items", {}), item) for item in value)
    return not isinstance(value, dict) or _object_fits(schema, value)


def _is(kind: str, value: Any) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _object_fits(schema: dict[str, Any], value: dict[str, Any]) -> bool:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    if not all(name in value for name in schema.get("required", ())) or len(value) < schema.get("minProperties", 0):
        return False
    if others is False and any(name not in known for name in value):
        return False
    if not all(fits({"type": "string", **schema.get("propertyNames", {})}, name) for name in value):
        return False
    return all(fits(known.get(name, others or {}), item) for name, item in value.items())


@pytest.mark.parametrize("path", WRONG, ids=[path.name for path in WRONG])
def test_an_editor_refuses_what_the_loader_refuses(path: Path) -> None:
    product = path.name.endswith(".product.yaml")
    data = path.read_bytes()
    findings = (read_product(data, file="f", folder="x") if product else read_mesh_file(data)).findings
    if all(finding.code in ONLY_THE_LOADER for finding in findings):
        return
    if any(finding.code in ONLY_THE_LOADER for finding in findings):
        pytest.fail("mix of rules: write two fixtures") if "sexagesimal" not in path.name else None
    value = YAML(typ="safe", pure=True).load(data)
    assert not fits(product_schema() if product else mesh_schema(), value)


_words = st.sampled_from(
    ["", "a", "topic", "forever", "1.0.0", "30d", "aggregate", "source-aligned", "none", "a.b", "X"]
)
_values = st.none() | st.booleans() | st.integers(-2, 2000) | _words | st.lists(_words, max_size=2)
_paths = st.sampled_from(
    [
        (), ("product",), ("version",), ("type",), ("owner",), ("owner", "team"), ("purpose",), ("inputs",),
        ("outbox",), ("capture",), ("capture", "old_rows"),
        ("inputs", 0), ("inputs", 0, "major"), ("inputs", 0, "reads"), ("inputs", 0, "reads", 0), ("outputs",),
        ("outputs", 0), ("outputs", 0, "key"), ("outputs", 0, "retention"), ("outputs", 0, "ports"), ("more",),
        ("outputs", 0, "partitions"), ("outputs", 0, "access"), ("outputs", 0, "quality"),
        ("outputs", 0, "accept_late"),
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.tuples(_paths, _values, st.booleans()), max_size=3))
def test_the_loader_and_the_published_schema_agree(edits: list[tuple[tuple[Any, ...], Any, bool]]) -> None:
    document: Any = json.loads(json.dumps(PRODUCT))
    for path, value, removed in edits:
        document = _edited(document, path, value, removed)
    contract = read_product(json.dumps(document).encode(), file="product.yaml", folder="x")
    if any(finding.code in ONLY_THE_LOADER for finding in contract.findings):
        return
    assert (not contract.findings) == fits(product_schema(), document), [f.render() for f in contract.findings]


def _edited(document: Any, path: tuple[Any, ...], value: Any, removed: bool) -> Any:
    if not path:
        return document if removed else value
    at = document
    try:
        for step in path[:-1]:
            at = at[step]
        if removed:
            del at[path[-1]]
        else:
            at[path[-1]] = value
    except (KeyError, IndexError, TypeError):
        pass
    return document


def test_the_published_files_are_fresh() -> None:
    for name, text in pages().items():
        assert (ROOT / "docs/reference" / name).read_text() == text, f"{name} is stale: make docs"
