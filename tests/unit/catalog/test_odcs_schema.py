"""Every contract that is written fits the standard's own JSON Schema to the letter: 3.2's comes in a package."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from tests.unit.catalog.generated_contracts import MESH_FILE, products

from headwater.catalog.standards import odcs
from headwater.mesh.load import load_mesh
from headwater.mesh.products import ResolvedProduct

ROOT = Path(__file__).resolve().parents[3]
MESH = load_mesh(ROOT)


@pytest.fixture(scope="module")
def official() -> Any:
    import jsonschema  # here, so that without `make dev` these tests fail and all others run

    found = importlib.util.find_spec("open_data_contract_standard")
    assert found is not None, "make dev installs it"
    assert found.submodule_search_locations
    schema = json.loads((Path(found.submodule_search_locations[0]) / "schema.json").read_text(encoding="utf-8"))
    return jsonschema.validators.validator_for(schema)(schema)


@pytest.mark.parametrize("product", MESH.products.values(), ids=lambda product: str(product.name))
def test_the_reference_mesh_fits_the_official_schema(official: Any, product: ResolvedProduct) -> None:
    assert not [error.message for error in official.iter_errors(odcs.document(product, MESH.file))]


@settings(max_examples=60)
@given(product=products())
def test_any_product_fits_the_official_schema(official: Any, product: ResolvedProduct) -> None:
    assert not [error.message for error in official.iter_errors(odcs.document(product, MESH_FILE))]


def test_the_official_schema_is_strict(official: Any) -> None:
    document = odcs.document(next(iter(MESH.products.values())), MESH.file)
    document["schema"][0]["properties"][0]["colour"] = "red"
    assert list(official.iter_errors(document))
