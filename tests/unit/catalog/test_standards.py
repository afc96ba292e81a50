"""ODPS, AsyncAPI and Backstage documents of any product hang together; the official schemas judge them elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from tests.unit.catalog.generated_contracts import MESH_FILE, mesh_of, products

from headwater.catalog.standards import asyncapi, backstage, odcs, odps
from headwater.mesh.load import load_mesh
from headwater.mesh.products import ResolvedProduct

ROOT = Path(__file__).resolve().parents[3]
MESH = load_mesh(ROOT)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def followed(document: dict[str, Any], reference: str) -> Any:
    at: Any = document
    for part in reference.removeprefix("#/").split("/"):
        at = at[part]
    return at


@pytest.mark.parametrize("product", MESH.products.values(), ids=lambda product: str(product.name))
def test_every_reference_in_asyncapi_leads_somewhere(product: ResolvedProduct) -> None:
    document = asyncapi.document(product, MESH)
    found = list(references(document))
    assert found
    assert all(followed(document, reference) for reference in found)
    sent = [operation for operation in document["operations"].values() if operation["action"] == "send"]
    read = [operation for operation in document["operations"].values() if operation["action"] == "receive"]
    assert len(sent) == 1 + ("current" in product.output.output.ports)
    assert len(read) == len(product.product.inputs)


@given(products())
def test_the_payload_in_asyncapi_is_the_schema(product: ResolvedProduct) -> None:
    document = asyncapi.document(product, mesh_of(product))
    message = document["components"]["messages"][product.output.schema.name]
    text = json.dumps(message["payload"]["schema"])
    assert fastavro.schema.to_parsing_canonical_form(json.loads(text)) == fastavro.schema.to_parsing_canonical_form(
        product.output.schema.inlined
    )
    names = [part["name"] for part in _named(message["payload"]["schema"])]
    assert not [name for name in names if "." in name]


def _named(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _named(item)
    elif isinstance(value, dict):
        if value.get("type") in ("record", "enum", "fixed"):
            yield value
        for key in ("type", "items", "values", "fields"):
            yield from _named(value.get(key))


def test_servers_in_asyncapi_are_single_addresses_without_secrets() -> None:
    (product,) = [one for one in MESH.products.values() if str(one.name) == "flights.departures"]
    document = asyncapi.document(product, mesh_of(product))
    servers = document["servers"]
    assert {name: server["host"] for name, server in servers.items()} == {
        "production": "a:9092",
        "production-2": "b:9092",
    }
    assert servers["production"]["protocol"] == "kafka-secure"
    assert servers["production"]["bindings"]["kafka"]["schemaRegistryUrl"] == "https://registry.example.org"
    assert "secret" not in json.dumps(document)
    variables = asyncapi.document(product, MESH)["servers"]["production"]
    assert variables["host"] == "{KAFKA_BOOTSTRAP_SERVERS}"
    assert list(variables["variables"]) == ["KAFKA_BOOTSTRAP_SERVERS"]


def test_odps_names_the_contracts_that_odcs_writes() -> None:
    ids = {odcs.document(product, MESH.file)["id"] for product in MESH.products.values()}
    for product in MESH.products.values():
        document = odps.document(product, MESH)
        assert {port["contractId"] for port in document["outputPorts"]} <= ids
        inputs = {port["contractId"] for port in document.get("inputPorts", [])}
        assert inputs == {f"{read.product}.v{read.major}" for read in product.product.inputs} & ids
        for port in document["outputPorts"]:
            assert {contract["id"] for contract in port.get("inputContracts", [])} == inputs
        assert [port["content"] for port in document["managementPorts"]] == [
            "discoverability",
            "observability",
            "control",
            *(["control"] if product.product.inputs else []),
        ]


@given(products())
def test_any_product_has_an_odps_document(product: ResolvedProduct) -> None:
    document = odps.document(product, mesh_of(product))
    assert document["type"] in ("sourceAligned", "aggregate", "consumerAligned")
    assert len(document["outputPorts"]) == len(product.output.output.ports)


def test_backstage_entities_refer_to_each_other_and_are_written_once() -> None:
    entities = backstage.documents(list(MESH.products.values()), MESH)
    known = [(entity["kind"].lower(), entity["metadata"]["name"]) for entity in entities]
    assert len(known) == len(set(known))
    components = [entity for entity in entities if entity["kind"] == "Component"]
    assert len(components) == len(MESH.products)
    for entity in entities:
        spec = entity["spec"]
        references = [spec.get("owner"), *spec.get("dependsOn", [])]
        references += [f"api:default/{name}" for name in (*spec.get("providesApis", []), *spec.get("consumesApis", []))]
        references += [f"system:default/{spec['system']}"] if "system" in spec else []
        references += [f"domain:default/{spec['domain']}"] if "domain" in spec else []
        for reference in filter(None, references):
            kind, _, name = reference.partition(":default/")
            assert (kind, name) in known, reference


def test_long_names_fit_backstage_and_stay_apart() -> None:
    one, other = backstage.entity_name("a" * 80 + "1"), backstage.entity_name("a" * 80 + "2")
    assert one != other
    assert len(one) == len(other) == backstage.NAME_LENGTH_LIMIT


def test_nothing_of_the_local_stack_is_promised() -> None:
    product = next(iter(MESH.products.values()))
    for document in (odcs.document(product, MESH_FILE), asyncapi.document(product, mesh_of(product))):
        assert '"local"' not in json.dumps(document)
