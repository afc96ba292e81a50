"""`headwater contract`: what its users see, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headwater.cli.contract import app
from headwater.mesh.load import load_mesh
from headwater.testing.small_mesh import FILES

MESH = "name: here\ndatabases: [operations]\nenvironments: {local: {stack: local}}\n"


@pytest.fixture
def mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "small" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("HEADWATER_MESH", str(tmp_path / "small"))
    return tmp_path / "small"


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(
    ("standard", "first"),
    [
        ("odcs", "apiVersion: v3.2.0"),
        ("odps", "apiVersion: v1.1.0"),
        ("asyncapi", "asyncapi: 3.0.0"),
        ("backstage", "apiVersion: backstage.io/v1alpha1"),
    ],
)
def test_a_product_is_printed_in_each_standard(mesh: Path, standard: str, first: str) -> None:
    assert run("export", "flights.departures", "--standard", standard).splitlines()[0] == first


def test_all_products_go_into_files_of_a_folder(mesh: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("export", "--folder", str(out), "--standard-version", "3.1")
    run("export", "--folder", str(out), "--standard", "backstage")
    names = sorted(path.name for path in out.iterdir())
    assert names == ["airports.hourly.odcs.yaml", "catalog-info.yaml", "flights.departures.odcs.yaml"]
    assert (out / "flights.departures.odcs.yaml").read_text().startswith("apiVersion: v3.1.0\n")


def test_a_contract_moves_from_one_mesh_to_another(mesh: Path, tmp_path: Path) -> None:
    run("export", "flights.departures", "--folder", str(tmp_path / "out"))
    contract = tmp_path / "out" / "flights.departures.odcs.yaml"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mesh.yaml").write_text(MESH)
    said = run("import", str(contract), "--folder", str(tmp_path / "other"))
    assert "wrote connectors/flights/departures/product.yaml" in said
    before, after = load_mesh(mesh), load_mesh(tmp_path / "other")
    name = "flights.departures"
    assert after.product(name).product == before.product(name).product
    assert after.product(name).output.schema.inlined == before.product(name).output.schema.inlined


def test_nothing_that_exists_is_written_over_without_force(mesh: Path, tmp_path: Path) -> None:
    run("export", "flights.departures", "--folder", str(tmp_path))
    contract = str(tmp_path / "flights.departures.odcs.yaml")
    product = mesh / "connectors" / "flights" / "departures" / "product.yaml"
    before = product.read_text()
    refused = CliRunner().invoke(app, ["import", contract])
    assert refused.exit_code == 1
    assert getattr(refused.exception, "code", "") == "HW-C114"
    assert product.read_text() == before
    assert "would write" in run("import", contract, "--dry-run")
    assert product.read_text() == before
    run("import", contract, "--force")
    assert product.read_text() != before


def test_a_contract_with_an_error_writes_nothing_and_exits_with_1(mesh: Path, tmp_path: Path) -> None:
    contract = tmp_path / "a.odcs.yaml"
    contract.write_text(
        "{apiVersion: v3.1.0, kind: DataContract, id: a, version: 1.0.0, status: active, name: a, domain: b,"
        " schema: [{name: orders, properties: [{name: x, logicalType: string}]}]}"
    )
    done = CliRunner().invoke(app, ["import", str(contract), "--output", "json"])
    answer = json.loads(done.stdout)
    assert done.exit_code == 1
    assert not answer["files"]
    assert [finding["code"] for finding in answer["findings"] if finding["severity"] == "error"] == ["HW-C110"]


def test_only_odcs_has_editions(mesh: Path) -> None:
    refused = CliRunner().invoke(app, ["export", "--standard", "odps", "--standard-version", "3.1"])
    assert getattr(refused.exception, "code", "") == "HW-C115"
