"""What is generated, judged by the standards' own tools: `datacontract lint`, `dataproduct lint`, AsyncAPI's schema.

Their pins and the core's do not resolve together, so they get a virtual environment of their own in the cache folder:
131 MB, made once for a machine (20 s of work; on a slow line two minutes).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from tests.unit.catalog.generated_contracts import mesh_of, products
from tests.unit.catalog.test_odcs_import import ORDERS, imported

from headwater.catalog.standards import asyncapi, odcs, odps
from headwater.catalog.standards.odcs_own import EDITIONS
from headwater.catalog.standards.yaml_text import yaml_text
from headwater.local.stack import cache_folder
from headwater.mesh.load import load_mesh
from headwater.mesh.products import Mesh, ResolvedProduct

ROOT = Path(__file__).parents[2]
MESH = load_mesh(ROOT)
TOOLS = ("datacontract-cli==1.2.8", "dataproduct-cli==0.3.2")
ASYNCAPI = "@asyncapi/specs@6.8.0"
GENERATED = 12  # products beside those of the mesh

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="session")
def tools() -> Path:
    """The Python of the tools' environment. A folder that was not finished is made anew."""
    folder = cache_folder() / "standards" / "-".join(TOOLS).replace("==", "-")
    python, finished = folder / "bin" / "python", folder / "finished"
    if not finished.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=300)
        install = [python, "-m", "pip", "install", "--disable-pip-version-check", "-q", *TOOLS]
        subprocess.run(install, check=True, timeout=800, env=_own_environment())
        finished.touch()
    return python


def _own_environment() -> dict[str, str]:
    """Without what would let the tools see packages of other environments."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def written(folder: Path, product: ResolvedProduct, mesh: Mesh) -> None:
    for edition in EDITIONS.values():
        text = yaml_text(odcs.document(product, mesh.file, edition))
        place = folder if edition.modern else folder / "3.1"  # a product's contract id is to be found once
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{product.name}{odcs.SUFFIX}").write_text(text, encoding="utf-8")
    (folder / f"{product.name}{odps.SUFFIX}").write_text(yaml_text(odps.document(product, mesh)), encoding="utf-8")


def verdicts(python: Path, folder: Path) -> dict[str, list[str]]:
    judge = Path(__file__).with_name("judge_standards.py")
    done = subprocess.run(
        [python, judge, folder], capture_output=True, text=True, timeout=600, check=False, env=_own_environment()
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_tools_hold_every_contract_and_product_of_the_mesh_for_valid(tools: Path, tmp_path: Path) -> None:
    for product in MESH.products.values():
        written(tmp_path, product, MESH)
    found = verdicts(tools, tmp_path)
    assert len(found) == 3 * len(MESH.products)
    assert {path: errors for path, errors in found.items() if errors} == {}


def test_the_tools_hold_any_product_for_valid(tools: Path, tmp_path: Path) -> None:
    made: list[ResolvedProduct] = []

    @settings(max_examples=GENERATED)
    @given(products())
    def collect(product: ResolvedProduct) -> None:
        made.append(product)

    collect()
    for number, product in enumerate(made):
        for edition in EDITIONS.values():
            text = yaml_text(odcs.document(product, mesh_of(product).file, edition))
            (tmp_path / f"{number}.{edition.api_version}{odcs.SUFFIX}").write_text(text, encoding="utf-8")
    found = verdicts(tools, tmp_path)
    assert len(found) == 2 * len(made)
    assert {path: errors for path, errors in found.items() if errors} == {}


def test_an_imported_contract_is_valid_when_it_is_written_again(tools: Path, tmp_path: Path) -> None:
    (tmp_path / f"original{odcs.SUFFIX}").write_text(yaml_text(ORDERS), encoding="utf-8")
    (product,) = imported(ORDERS).products
    written(tmp_path, product, mesh_of(product))
    assert {path: errors for path, errors in verdicts(tools, tmp_path).items() if errors} == {}


def test_the_judge_finds_what_is_wrong(tools: Path, tmp_path: Path) -> None:
    document = odcs.document(next(iter(MESH.products.values())), MESH.file)
    document["schema"][0]["colour"] = "red"
    (tmp_path / f"a{odcs.SUFFIX}").write_text(yaml_text(document), encoding="utf-8")
    assert verdicts(tools, tmp_path)[f"a{odcs.SUFFIX}"]


def test_the_command_line_of_datacontract_says_so_too(tools: Path, tmp_path: Path) -> None:
    product = MESH.product("airports.hourly_punctuality")
    written(tmp_path, product, MESH)
    command = [tools.with_name("datacontract"), "lint", tmp_path / f"{product.name}{odcs.SUFFIX}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    assert "valid" in done.stdout


@pytest.fixture(scope="session")
def asyncapi_schema() -> dict[str, Any]:
    """AsyncAPI's schema is published on npm only; Python has no package of it."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm to fetch AsyncAPI's JSON Schema with; test_standards.py checks the structure")
    folder = cache_folder() / "standards" / ASYNCAPI.replace("/", "-")
    schema = folder / "schemas" / "3.0.0.json"
    if not schema.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(
            ["npm", "pack", "--silent", ASYNCAPI], cwd=folder, capture_output=True, text=True, check=True, timeout=300
        )
        with tarfile.open(folder / packed.stdout.strip().splitlines()[-1]) as archive:
            member = archive.extractfile("package/schemas/3.0.0.json")
            assert member is not None
            schema.parent.mkdir(exist_ok=True)
            schema.write_bytes(member.read())
    found: dict[str, Any] = json.loads(schema.read_text(encoding="utf-8"))
    return found


def test_asyncapi_documents_fit_the_official_schema(asyncapi_schema: dict[str, Any]) -> None:
    import jsonschema

    validator = jsonschema.validators.validator_for(asyncapi_schema)(asyncapi_schema)
    for product in MESH.products.values():
        assert not [error.message[:300] for error in validator.iter_errors(asyncapi.document(product, MESH))]

    @settings(max_examples=GENERATED)
    @given(products())
    def any_product(product: ResolvedProduct) -> None:
        assert not [e.message[:300] for e in validator.iter_errors(asyncapi.document(product, mesh_of(product)))]

    any_product()
