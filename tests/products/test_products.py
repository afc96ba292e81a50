"""Every product of the reference mesh is asked the same questions, found by its folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from headwater.mesh.load import load_mesh
from headwater.mesh.products import Mesh
from headwater.naming import ProductName
from headwater.processing.flow_file import check_flow, load_plan
from headwater.schemas.annotations import PLATFORM_FIELDS
from headwater.schemas.payload import from_json

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(file.parent for kind in ("connectors", "streams") for file in (ROOT / kind).glob("*/*/product.yaml"))
DERIVED = [folder for folder in FOLDERS if folder.parents[1].name == "streams"]


def name_of(folder: Path) -> str:
    return f"{folder.parent.name}.{folder.name}"


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return load_mesh(ROOT)


def test_the_mesh_is_the_seven_products(mesh):
    assert [str(name) for name in mesh.products] == [
        "airports.hourly_punctuality",
        "fleet.aircraft",
        "flights.arrivals",
        "flights.departures",
        "planning.delay_features",
        "routes.daily_performance",
        "weather.observations",
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_the_readme_shows_a_real_record_that_fits_the_schema(folder, mesh):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name_of(folder)}\n")
    block = re.search(r"## One real record\n\n```json\n(.*?)```", text, flags=re.DOTALL)
    assert block, "a README shows one real record"
    schema = mesh.product(name_of(folder)).output.schema
    record = from_json(schema, json.loads(block[1]))
    assert set(record) == {field.name for field in schema.fields}
    assert record["revision"] >= 1


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_every_field_says_what_it_means(folder, mesh):
    schema = mesh.product(name_of(folder)).output.schema
    assert all(field.doc for field in schema.fields)
    assert schema.json["doc"]


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_every_record_has_two_times_and_says_what_it_does(folder, mesh):
    output = mesh.product(name_of(folder)).output
    names = {field.name for field in output.schema.fields}
    assert {"recorded_at", "kind", "revision"} <= names
    assert {"event_id", "occurred_at"} <= names if output.shape == "event" else {"valid_from", "valid_to"} <= names
    assert not set(PLATFORM_FIELDS) & {field.name for field in output.payload_schema.fields}


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_no_number_is_a_float(folder, mesh):
    text = mesh.product(name_of(folder)).output.schema.text
    assert '"double"' not in text and '"float"' not in text


@pytest.mark.parametrize("folder", DERIVED, ids=name_of)
def test_the_flow_is_in_order_and_every_runner_takes_it(folder, mesh):
    name = ProductName.parse(name_of(folder))
    assert check_flow(mesh, name) == []
    assert {"memory", "kafka"} <= set(load_plan(mesh, name).runners)
