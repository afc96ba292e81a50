"""Contracts of other houses become products, and whatever they cannot carry is said with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.catalog.generated_contracts import MESH_FILE, json_values

from headwater.catalog.standards import odcs
from headwater.catalog.standards.odcs_import import Imported, import_contract
from headwater.catalog.standards.yaml_text import yaml_text
from headwater.errors import InvalidFiles
from headwater.mesh.load import load_mesh

MESH = load_mesh(Path(__file__).resolve().parents[3])

ORDERS: dict[str, Any] = {
    "apiVersion": "v3.1.0",
    "kind": "DataContract",
    "id": "53581432-6c55-4ba2-a65f-72344a91553a",
    "version": "2.1",
    "status": "active",
    "name": "Customer Orders",
    "domain": "Sales",
    "description": {"purpose": "Orders that customers made.", "limitations": "Not for invoices."},
    "team": {"name": "orders", "members": [{"username": "ceastwood", "role": "owner"}]},
    "support": [{"channel": "#orders", "tool": "slack"}],
    "slaProperties": [
        {"property": "latency", "value": 5, "unit": "min"},
        {"property": "retention", "value": 3, "unit": "y"},
        {"property": "generalAvailability", "value": "2022-05-12"},
    ],
    "schema": [
        {
            "name": "orders",
            "physicalType": "table",
            "businessName": "The orders",
            "properties": [
                {
                    "name": "order-id", "logicalType": "string", "physicalType": "varchar(18)", "primaryKey": True,
                    "primaryKeyPosition": 1, "required": True, "logicalTypeOptions": {"maxLength": 18},
                    "classification": "restricted", "tags": ["gold"],
                },
                {"name": "total", "logicalType": "number", "physicalType": "decimal(18,2)"},
                {"name": "placed", "logicalType": "date", "description": "The day of the order."},
                {
                    "name": "lines",
                    "logicalType": "array",
                    "items": {
                        "logicalType": "object",
                        "properties": [
                            {"name": "sku", "logicalType": "string", "required": True},
                            {"name": "count", "logicalType": "integer", "logicalTypeOptions": {"format": "i32"}},
                        ],
                    },
                },
            ],
        }
    ],
}  # fmt: skip


def imported(contract: dict[str, Any]) -> Imported:
    return import_contract(yaml_text(contract).encode(), file="orders.odcs.yaml", mesh=MESH_FILE)


def said(contract: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in imported(contract).findings:
        found.setdefault(finding.path, []).append(finding.message)
    return found


def test_an_existing_contract_becomes_a_product_and_its_schema() -> None:
    made = imported(ORDERS)
    product, output = made.products[0].product, made.products[0].output
    assert str(product.name) == "sales.customer_orders"
    assert str(product.version) == "2.1.0"
    assert (product.owner.team, product.owner.contact) == ("orders", "#orders")
    assert output.output.key == ("order_id",)
    assert output.output.retention is not None
    assert output.output.retention.text() == "1095d"
    assert output.output.service_levels == {"latency_p99": "5min"}
    types = {field.name: field.type_json for field in output.schema.fields}
    assert types["order_id"] == "string"
    assert types["total"] == ["null", {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2}]
    assert types["placed"] == ["null", {"type": "int", "logicalType": "date"}]
    assert [field["name"] for field in types["lines"][1]["items"]["fields"]] == ["sku", "count"]


def test_what_was_made_is_a_mesh_that_loads(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text("name: here\ndatabases: [operations]\nenvironments: {local: {stack: local}}\n")
    for path, text in imported(ORDERS).files.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    assert [str(name) for name in load_mesh(tmp_path).products] == ["sales.customer_orders"]


def test_each_thing_without_a_place_is_said_at_its_line() -> None:
    extra = {
        **ORDERS,
        "tags": ["a"],
        "price": {"priceAmount": 3, "priceCurrency": "EUR", "priceUnit": "month"},
        "roles": [{"role": "reader"}],
        "customProperties": [{"property": "costCentre", "value": 4711}],
    }
    made = imported(extra)
    found = said(extra)
    for path in ("tags", "price", "roles", "customProperties[0]", "description.limitations", "team.members",
                 "slaProperties[2]"):  # fmt: skip
        assert any("not carried" in message for message in found[path]), path
    text = yaml_text(extra).splitlines()
    price = next(finding for finding in made.findings if finding.path == "price")
    assert text[price.line - 1].startswith("price:")
    assert "schema[0].businessName" not in found, "it is kept in the schema"
    assert "schema[0].properties[0].classification" not in found


def test_what_changes_is_said_with_what_it_becomes() -> None:
    found = said(ORDERS)
    assert found["schema[0].properties[0].name"] == [
        "schema[0].properties[0].name says 'order-id', and becomes 'order_id'"
    ]
    assert "becomes 'sales.customer_orders.v2'" in found["id"][0]
    assert "becomes 'string'" in found["schema[0].properties[0].physicalType"][0]
    added = [message for message in found["schema[0]"] if "was added" in message]
    assert len(added) == 5


def test_what_an_import_kept_is_written_again() -> None:
    from headwater.catalog.standards.odcs_own import EDITIONS

    (product,) = imported(ORDERS).products
    schema = odcs.document(product, MESH_FILE, EDITIONS["3.1"])["schema"][0]
    assert schema["businessName"] == "The orders"
    assert schema["properties"][0]["classification"] == "restricted"
    assert schema["properties"][0]["logicalTypeOptions"] == {"maxLength": 18}
    assert schema["properties"][0]["tags"] == ["gold"]


def test_deprecated_spellings_are_read_and_said() -> None:
    old = {
        **ORDERS,
        "apiVersion": "v3.0.2",
        "team": [{"username": "ceastwood", "role": "owner"}],
        "slaDefaultElement": "orders",
        "slaProperties": [{"property": "Freshness", "value": 5, "unit": "min"}],
        "servers": [
            {"server": "p", "type": "kafka", "host": "a:1", "topic": "orders", "schemaRegistryUrl": "http://x"}
        ],
    }
    old["schema"] = [{**ORDERS["schema"][0], "quality": [{"rule": "rowCount", "mustBeGreaterThan": 10}]}]
    made, found = imported(old), said(old)
    assert made.products[0].output.output.service_levels == {"latency_p99": "5min"}
    assert "a bare list as team is deprecated" in found["team"]
    assert "slaDefaultElement is deprecated" in found["slaDefaultElement"]
    assert "rule is the deprecated spelling of metric" in found["schema[0].quality[0].rule"]
    assert any("topic on a server is not in the standard" in message for message in found["servers[0].topic"])
    assert any("becomes 'sales.customer_orders.v2'" in message for message in found["schema[0].physicalName"])


def test_a_contract_without_a_primary_key_makes_nothing() -> None:
    properties = [{"name": "a", "logicalType": "string"}]
    made = imported({**ORDERS, "schema": [{"name": "orders", "properties": properties}]})
    assert not made.files
    assert [finding.code for finding in made.findings if finding.severity == "error"] == ["HW-C110"]


def test_each_schema_object_becomes_a_product() -> None:
    lines = {**ORDERS["schema"][0], "name": "order_lines"}
    made = imported({**ORDERS, "schema": [*ORDERS["schema"], lines]})
    assert [str(product.name) for product in made.products] == ["sales.orders", "sales.order_lines"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "DataProduct"}, "HW-C107"),
        ({"apiVersion": "v2.2.2"}, "HW-C108"),
        ({"schema": []}, "HW-C102"),
        ({"schema": "orders"}, "HW-C102"),
    ],
)
def test_what_is_no_contract_that_is_read_is_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidFiles) as caught:
        imported({**ORDERS, **change})
    assert caught.value.code == code


def test_dates_and_words_without_quotes_are_read() -> None:
    text = yaml_text(ORDERS) + "contractCreatedTs: 2022-11-15T02:59:43+00:00\nslaDefaultElement: no\n"
    made = import_contract(text.encode(), file="orders.odcs.yaml", mesh=MESH_FILE)
    assert made.files


def test_a_bomb_is_refused() -> None:
    with pytest.raises(InvalidFiles):
        import_contract(b"a: &a [x, x]\nb: [*a, *a]\n", file="x", mesh=MESH_FILE)


@st.composite
def broken(draw: st.DrawFn) -> dict[str, Any]:
    """The contract with some of its parts, at any depth, made something else."""
    contract = json.loads(json.dumps(ORDERS))
    for _ in range(draw(st.integers(1, 4))):
        at: Any = contract
        for _ in range(draw(st.integers(0, 7))):
            keys = list(at) if isinstance(at, dict) else list(range(len(at))) if isinstance(at, list) else []
            below = [key for key in keys if isinstance(at[key], dict | list)]
            if not below:
                break
            at = at[draw(st.sampled_from(below))]
        if isinstance(at, dict):
            names = [*at, "quality", "customProperties", "items", "map", "properties", "relationships", "tags", "enum"]
            at[draw(st.sampled_from(names))] = draw(json_values | st.sampled_from(["", "object", "map", True, {}]))
        elif isinstance(at, list) and at:
            at[draw(st.integers(0, len(at) - 1))] = draw(json_values)
    return contract


@settings(max_examples=300)
@given(broken())
def test_no_contract_breaks_the_import(contract: dict[str, Any]) -> None:
    try:
        made = imported(contract)
    except InvalidFiles as invalid:
        assert invalid.findings
    else:
        assert made.files or any(finding.severity == "error" for finding in made.findings)


@settings(max_examples=150)
@given(st.data())
def test_no_contract_that_claims_to_be_ours_breaks_the_import(data: st.DataObject) -> None:
    """What stands in our custom properties is believed only as far as a product's files are."""
    own = json.loads(json.dumps(odcs.document(MESH.product("flights.departures"), MESH_FILE)))
    elements = [own, *own["schema"], *own["schema"][0]["properties"]]
    customs = [custom for element in elements for custom in element.get("customProperties", [])]
    for _ in range(data.draw(st.integers(1, 3))):
        data.draw(st.sampled_from(customs))["value"] = data.draw(json_values)
    element = data.draw(st.sampled_from(elements[2:]))
    hostile = st.dictionaries(st.sampled_from(["type", "default", "aliases", "attributes"]), json_values, max_size=3)
    avro = {"property": "avro", "vendor": "headwater", "value": data.draw(hostile)}
    element["customProperties"] = [avro]
    try:
        made = imported(own)
    except InvalidFiles as invalid:
        assert invalid.findings
    else:
        assert made.files or any(finding.severity == "error" for finding in made.findings)
