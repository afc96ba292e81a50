"""Products as ODCS and back: the same product, the same schema, in both editions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.catalog.generated_contracts import MESH_FILE, products

from headwater.catalog.standards import odcs
from headwater.catalog.standards.odcs_import import import_contract
from headwater.catalog.standards.odcs_own import EDITIONS, Edition, edition
from headwater.catalog.standards.product_file import product_text, product_values
from headwater.catalog.standards.yaml_text import yaml_text
from headwater.contracts.load import read_product
from headwater.errors import CallerFault
from headwater.mesh.load import load_mesh
from headwater.mesh.products import ResolvedProduct

ROOT = Path(__file__).resolve().parents[3]
MESH = load_mesh(ROOT)


@settings(max_examples=150)
@given(products(), st.sampled_from(list(EDITIONS.values())))
def test_a_product_comes_back_from_its_contract(product: ResolvedProduct, written: Edition) -> None:
    text = yaml_text(odcs.document(product, MESH_FILE, written))
    imported = import_contract(text.encode(), file="a.odcs.yaml", mesh=MESH_FILE)
    said = [finding.render() for finding in imported.findings if "the flow is not in a contract" not in finding.message]
    assert not said
    (back,) = imported.products
    assert back.product == product.product
    assert back.output.schema.inlined == product.output.schema.inlined
    assert back.output.schema.fingerprint == product.output.schema.fingerprint


@pytest.mark.parametrize("written", EDITIONS.values(), ids=EDITIONS)
@pytest.mark.parametrize("product", MESH.products.values(), ids=lambda product: str(product.name))
def test_the_reference_mesh_comes_back(product: ResolvedProduct, written: Edition) -> None:
    text = yaml_text(odcs.document(product, MESH.file, written))
    imported = import_contract(text.encode(), file="a.odcs.yaml", mesh=MESH.file)
    assert [back.product for back in imported.products] == [product.product]
    assert imported.products[0].output.schema.inlined == product.output.schema.inlined
    assert {path.rpartition("/")[2] for path in imported.files} == {
        "product.yaml",
        f"{product.output.output.schema}.avsc",
    }


@given(products())
def test_a_products_file_says_what_the_product_is(product: ResolvedProduct) -> None:
    text = product_text(product_values(product.product))
    assert read_product(text.encode(), file="product.yaml", folder=product.product.folder).value == product.product


def test_a_contract_is_the_same_text_each_time_and_holds_no_secret() -> None:
    product = next(iter(MESH.products.values()))
    texts = {yaml_text(odcs.document(product, MESH_FILE)) for _ in range(3)}
    assert len(texts) == 1
    assert "secret" not in texts.pop()


def test_3_1_writes_nothing_that_only_3_2_knows() -> None:
    for product in MESH.products.values():
        text = json.dumps(odcs.document(product, MESH.file, EDITIONS["3.1"]))
        assert '"vendor"' not in text
        assert '"enum":' not in text
        assert '"headwater.key"' in text


def test_keys_and_times_stand_where_the_standard_and_the_custom_properties_have_them() -> None:
    product = MESH.product("routes.daily_performance")
    schema = odcs.document(product, MESH.file)["schema"][0]
    keys = {item["name"]: item["primaryKeyPosition"] for item in schema["properties"] if item.get("primaryKey")}
    assert keys == {"origin": 1, "dest": 2}
    assert schema["physicalName"] == "routes.daily_performance.v1"
    assert schema["physicalType"] == "topic"
    times = [item["name"] for item in schema["properties"] if "timeRole" in json.dumps(item)]
    assert times == ["valid_from", "valid_to", "recorded_at"]


def test_an_edition_that_is_not_written_is_refused() -> None:
    with pytest.raises(CallerFault, match=r"ODCS '2\.2' is not written"):
        edition("2.2")
    assert edition("v3.1.0") is EDITIONS["3.1"]
