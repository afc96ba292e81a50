"""The schema of what a flow gives: it is one that `check` takes, and no schema file need be there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from headwater.cli.schema import app
from headwater.errors import CallerFault, InvalidFiles
from headwater.mesh.load import load_mesh, schema_path
from headwater.naming import ProductName
from headwater.plan.check import check
from headwater.processing.field_types import from_avro, misfit
from headwater.processing.infer import inferred_schema
from headwater.testing.small_mesh import DEPARTURE_SCHEMA, HOURLY_FLOW, HOURLY_SCHEMA, edit, write, write_small_mesh

ROOT = Path(__file__).parents[3]
HOURLY_NAME = ProductName.parse("airports.hourly")
DERIVED = [str(one.name) for one in load_mesh(ROOT).in_order() if one.product.inputs]


@pytest.mark.parametrize("name", DERIVED)
def test_what_the_reference_products_are_contracted_to_give_is_inferred(name: str) -> None:
    product = load_mesh(ROOT).product(name)
    inferred = {one["name"]: one["type"] for one in inferred_schema(ROOT, product.name)["fields"]}
    written = {one["name"]: one["type"] for one in product.output.schema.inlined["fields"]}
    assert set(inferred) == set(written)
    assert not {field: problem for field in inferred if (problem := differs(inferred[field], written[field]))}


def differs(inferred: Any, written: Any) -> str:
    one, other = from_avro(inferred), from_avro(written)
    return misfit(one, other) or misfit(other, one)


def test_a_product_without_a_schema_file_gets_one_that_check_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_small_mesh(tmp_path)
    (folder / HOURLY_SCHEMA).unlink()
    assert "HW-C044" in [one.code for one in check(folder).findings]
    monkeypatch.setenv("HEADWATER_MESH", str(folder))
    result = CliRunner().invoke(app, ["infer", "airports.hourly"])
    assert (result.exit_code, result.stderr) == (0, f"its file is {HOURLY_SCHEMA}\n")
    schema = json.loads(result.stdout)
    assert [(one["name"], one["type"]) for one in schema["fields"] if one["name"] in ("origin", "departures")] == [
        ("origin", "string"), ("departures", "long"),
    ]  # fmt: skip
    write(folder, HOURLY_SCHEMA, result.stdout)
    assert CliRunner().invoke(app, ["lock"]).exit_code == 0
    assert [one for one in check(folder).findings if one.severity == "error"] == []


def test_null_and_types_that_are_carried_stay_what_they_are(tmp_path: Path) -> None:
    folder = write_small_mesh(tmp_path)
    part = '{"type": "record", "name": "Part", "fields": [{"name": "x", "type": "int"}]}'
    edit(folder, DEPARTURE_SCHEMA, '{"name": "origin", "type": "string"},',
         f'{{"name": "origin", "type": "string"}}, {{"name": "first", "type": {part}}},')  # fmt: skip
    given = "def flow(d):\n    return d.select('delay_minutes', 'flight_id', 'first', again=col('first'))\n"
    write(folder, HOURLY_FLOW, f"from headwater import col\n{given}")
    schema = inferred_schema(folder, HOURLY_NAME)
    types = {one["name"]: one["type"] for one in schema["fields"]}
    assert types["delay_minutes"] == ["null", "long"]
    assert types["first"]["type"] == "record" and types["again"] == types["first"]["name"]
    assert {one["name"]: one for one in schema["fields"]}["delay_minutes"]["default"] is None


def test_what_cannot_be_inferred_is_said_at_its_line(tmp_path: Path) -> None:
    folder = write_small_mesh(tmp_path)
    write(folder, HOURLY_FLOW, "from headwater import col\ndef flow(d):\n    return d.filter(col('dely') > 1)\n")
    with pytest.raises(InvalidFiles) as wrong:
        inferred_schema(folder, HOURLY_NAME)
    assert [(one.code, one.line) for one in wrong.value.findings] == [("HW-P010", 3)]
    write(folder, HOURLY_FLOW, "def flow(d):\n    return d.map(nothing=None)\n")
    with pytest.raises(InvalidFiles) as always:
        inferred_schema(folder, HOURLY_NAME)
    assert [(one.code, one.line) for one in always.value.findings] == [("HW-P152", 2)]
    with pytest.raises(CallerFault) as unknown:
        inferred_schema(folder, ProductName.parse("airports.hourlyy"))
    assert unknown.value.code == "HW-C060"
    shutil.rmtree(folder / "schemas/avro/flights")
    with pytest.raises(InvalidFiles) as unread:
        inferred_schema(folder, HOURLY_NAME)
    assert {one.file for one in unread.value.findings} >= {"connectors/flights/departures/product.yaml"}
    assert schema_path(HOURLY_NAME, "Hourly") == HOURLY_SCHEMA
