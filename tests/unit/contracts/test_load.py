"""Each file in `wrong/` has one fault or a few; the text beside it is what a person is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.contracts.load import load_mesh_file, load_product, read_mesh_file, read_product
from headwater.contracts.product import Compatibility, ProductType, Version
from headwater.errors import InvalidFiles
from headwater.naming import ProductName
from headwater.timeline.instant import Duration

WRONG = sorted((Path(__file__).parent / "wrong").glob("*.yaml"))
GOOD = b"""
product: airports.hourly_punctuality     # = its folder
version: 1.2.0
type: aggregate
owner: {team: airport-operations, contact: airport-operations@example.org}
purpose: How punctual each airport is, hour by hour.
inputs:
  - {product: flights.departures, major: 1, reads: [flight_id, origin]}
outputs:
  - name: facts
    schema: HourlyPunctuality
    key: [origin]
    retention: 30d
    service_levels: {latency_p99: 5s, completeness: 99.9%}
    quality: [{name: no-negative-count, rule: "departures >= 0", severity: error}]
    accept_late: 7d
"""


@pytest.mark.parametrize("path", WRONG, ids=[path.name.removesuffix(".yaml") for path in WRONG])
def test_a_wrong_file_is_told_what_where_why_and_how_to_mend_it(path: Path) -> None:
    data = path.read_bytes()
    product = path.name.endswith(".product.yaml")
    contract = read_product(data, file="product.yaml", folder="x") if product else read_mesh_file(data)
    with pytest.raises(InvalidFiles) as raised:
        contract.require()
    told = "".join(finding.render() + "\n" for finding in raised.value.findings)
    assert told == path.with_suffix(".txt").read_text()
    assert all(finding.line and finding.column and finding.fix for finding in raised.value.findings)


def test_a_right_file_becomes_a_value_with_its_defaults() -> None:
    product = read_product(GOOD, file="product.yaml", folder="streams/airports/hourly_punctuality").require()
    assert product.name == ProductName("airports", "hourly_punctuality")
    assert (product.version, product.major) == (Version(1, 2, 0), 1)
    assert product.type is ProductType.AGGREGATE
    assert product.inputs[0].reads == ("flight_id", "origin")
    output = product.output
    assert output.retention == Duration.parse("30d")
    assert output.accept_late == Duration.parse("7d")
    assert output.compatibility is Compatibility.BACKWARD_TRANSITIVE
    assert (output.partitions, output.ports, output.on_invalid, output.corrections) == (
        4,
        ("topic",),
        "continue",
        "all",
    )
    assert output.service_levels == {"latency_p99": "5s", "completeness": "99.9%"}


def test_a_purpose_may_be_a_block_of_lines() -> None:
    block = GOOD.replace(b"purpose: How punctual each airport is,", b"purpose: >\n  How punctual\n  each airport is,")
    assert read_product(block, file="p", folder="x").require().purpose == "How punctual each airport is, hour by hour."


def test_retention_forever_is_no_bound() -> None:
    forever = GOOD.replace(b"retention: 30d", b"retention: forever")
    assert read_product(forever, file="product.yaml", folder="x").require().output.retention is None


def test_a_mesh_file_says_where_its_parts_are() -> None:
    mesh_file = read_mesh_file(
        b"name: flights\ndatabases: [operations]\nenvironments:\n  local: {stack: local}\n"
        b"  production: {kafka: {bootstrap.servers: k, linger.ms: 5}, registry: http://r, databases: {operations: p}}\n"
    ).require()
    assert mesh_file.tick == Duration.parse("100ms")
    assert mesh_file.environments["local"].local_stack
    assert mesh_file.environments["production"].kafka == {"bootstrap.servers": "k", "linger.ms": "5"}


def test_files_are_read_from_disk_with_their_place_in_the_mesh(tmp_path: Path) -> None:
    path = tmp_path / "streams/airports/hourly_punctuality/product.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(GOOD)
    assert load_product(path, mesh_folder=tmp_path).folder == "streams/airports/hourly_punctuality"
    with pytest.raises(InvalidFiles, match="finding") as raised:
        load_mesh_file(tmp_path / "mesh.yaml")
    assert raised.value.findings[0].code == "HW-C029"


def test_a_finding_of_a_later_check_stands_at_its_value_or_the_nearest_above() -> None:
    contract = read_product(GOOD, file="product.yaml", folder="x")
    assert contract.finding("HW-C999", "outputs[0].key[0]", "").line == 12
    assert contract.finding("HW-C999", "outputs[0].partitions", "").line == 10
    assert contract.finding("HW-C999", "outbox.database", "").line == 1
