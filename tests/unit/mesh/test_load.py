"""One thing is wrong in a small mesh: what a person is told, and where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headwater.errors import CallerFault, InvalidFiles
from headwater.mesh.load import load_mesh
from headwater.naming import ProductName
from headwater.testing.small_mesh import (
    DEPARTURE_SCHEMA,
    DEPARTURES,
    FILES,
    HOURLY,
    HOURLY_FLOW,
    HOURLY_SCHEMA,
    edit,
    write,
    write_small_mesh,
)

# name: (edits as (file, old, new), what is told)
# name: what is made wrong, as (file, old, new); what is then told stands in wrong.txt under the name
WRONG = {
    "folder": [
        (DEPARTURES, "product: flights.departures", "product: flights.depart"),
    ],
    "schema missing": [
        (HOURLY, "schema: Hourly", "schema: Hourley"),
    ],
    "schema name": [
        (HOURLY_SCHEMA, "airports.hourly", "airports.hours"),
    ],
    "key missing": [
        (HOURLY, "key: [origin]", "key: [origim]"),
    ],
    "key nullable": [
        (DEPARTURES, "[flight_id]", "[delay_minutes]"),
    ],
    "platform field missing": [
        (DEPARTURE_SCHEMA, '    {"name": "event_id", "type": "string"},\n', ""),
    ],
    "platform field of another type": [
        (DEPARTURE_SCHEMA, '"revision", "type": "long"', '"revision", "type": "int"'),
    ],
    "kind with other symbols": [
        (DEPARTURE_SCHEMA, '"retract"', '"delete"'),
    ],
    "both event and fact": [
        (HOURLY_SCHEMA, '{"name": "valid_from"', '{"name": "occurred_at", "type": "long"}, {"name": "valid_from"'),
    ],
    "schema is no json": [
        (HOURLY_SCHEMA, '"fields": [', '"fields": [['),
    ],
    "input unknown": [
        (HOURLY, "product: flights.departures", "product: flights.departure"),
    ],
    "input of another major": [
        (HOURLY, "major: 1", "major: 2"),
    ],
    "field read that is not there": [
        (HOURLY, "[origin, occurred_at]", "[origin, ocurred_at]"),
    ],
    "database unknown": [
        (DEPARTURES, "database: operations", "database: warehouse"),
    ],
    "derived in connectors": [
        (DEPARTURES, "type: source-aligned", "type: aggregate"),
        (
            DEPARTURES,
            "outbox: {database: operations, table: public.outbox, validate: relay}",
            "inputs: [{product: airports.hourly, major: 1}]",
        ),
    ],
    "reads itself": [
        (
            HOURLY,
            "product: flights.departures, major: 1, reads: [origin, occurred_at]",
            "product: airports.hourly, major: 1",
        ),
    ],
    "the mesh's own file": [
        ("mesh.yaml", "databases", "database"),
    ],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_mesh_is_told_what_where_why_and_how_to_mend_it(name: str, tmp_path: Path) -> None:
    write_small_mesh(tmp_path)
    for file, old, new in WRONG[name]:
        edit(tmp_path, file, old, new)
    assert [of_the_mesh(line) for line in findings_of(tmp_path)] == TOLD[name]


def of_the_mesh(line: str) -> str:
    """A finding of the schema rules keeps its place and code; its words have tests beside those rules."""
    return re.sub(r" .*(?=\[HW-S)", " ", line)


def told_by_name() -> dict[str, list[str]]:
    sections = Path(__file__).with_name("wrong.txt").read_text().split("## ")[1:]
    return {name: lines for name, *lines in (section.splitlines() for section in sections)}


TOLD = told_by_name()


def findings_of(folder: Path) -> list[str]:
    with pytest.raises(InvalidFiles) as raised:
        load_mesh(folder)
    assert all(finding.fix for finding in raised.value.findings)
    return [finding.render() for finding in raised.value.findings]


def test_a_right_mesh_has_its_products_resolved(tmp_path: Path) -> None:
    mesh = load_mesh(write_small_mesh(tmp_path))
    departures = mesh.product("flights.departures")
    assert (departures.output.topic, departures.output.subject) == (
        "flights.departures.v1",
        "flights.departures.v1-value",
    )
    assert departures.output.shape == "event"
    assert [field.name for field in departures.output.payload_schema.fields] == [
        "flight_id",
        "origin",
        "occurred_at",
        "delay_minutes",
    ]
    assert mesh.product("airports.hourly").output.shape == "fact"
    assert list(mesh.products) == [ProductName("airports", "hourly"), ProductName("flights", "departures")]
    assert [str(product.name) for product in mesh.in_order()] == ["flights.departures", "airports.hourly"]
    assert departures.folder == tmp_path / "connectors/flights/departures"


def test_asking_for_a_product_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    mesh = load_mesh(write_small_mesh(tmp_path))
    with pytest.raises(CallerFault) as raised:
        mesh.product("flights.arrivals")
    assert raised.value.render().splitlines()[1] == "it has airports.hourly, flights.departures"


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    write_small_mesh(tmp_path)
    edit(tmp_path, "mesh.yaml", "stack: local", "stack: docker")
    edit(tmp_path, DEPARTURES, "version: 1.0.0", "version: 1")
    edit(tmp_path, HOURLY, "key: [origin]", "key: [carrier]")
    (tmp_path / HOURLY_FLOW).unlink()
    codes = [line[-8:-1] for line in findings_of(tmp_path)]
    # departures cannot be read, and nothing is said against who reads it
    assert codes == ["HW-C017", "HW-C019", "HW-C055", "HW-C046"]


def test_topics_that_kafka_holds_for_the_same_are_refused(tmp_path: Path) -> None:
    write_small_mesh(tmp_path)
    for top, name in (("connectors/a_b/c", "a_b.c"), ("connectors/a/b_c", "a.b_c")):
        folder = top.removeprefix("connectors/")
        write(tmp_path, f"{top}/product.yaml", FILES[DEPARTURES].replace("flights.departures", name))
        schema = FILES[DEPARTURE_SCHEMA].replace("flights.departures", name)
        write(tmp_path, f"schemas/avro/{folder}/Departure.avsc", schema)
    told = findings_of(tmp_path)
    assert told == TOLD["collision"]


def test_two_outboxes_that_would_share_a_replication_slot_are_refused(tmp_path: Path) -> None:
    write_small_mesh(tmp_path)
    edit(tmp_path, "mesh.yaml", "[operations]", "[operations, operations_public]")
    other = FILES[DEPARTURES].replace("flights.departures", "flights.arrivals")
    other = other.replace("database: operations, table: public.outbox", "database: operations_public, table: a.outbox")
    write(tmp_path, "connectors/flights/arrivals/product.yaml", other)
    schema = FILES[DEPARTURE_SCHEMA].replace("flights.departures", "flights.arrivals")
    write(tmp_path, "schemas/avro/flights/arrivals/Departure.avsc", schema)
    edit(tmp_path, DEPARTURES, "table: public.outbox", "table: public_a.outbox")
    assert [line[-8:-1] for line in findings_of(tmp_path)] == ["HW-C064"]


def test_a_name_too_long_for_a_topic_is_refused(tmp_path: Path) -> None:
    write_small_mesh(tmp_path)
    domain, product = "d" * 120, "p" * 120
    name = f"{domain}.{product}"
    text = FILES[DEPARTURES].replace("flights.departures", name)
    write(tmp_path, f"connectors/{domain}/{product}/product.yaml", text)
    schema = FILES[DEPARTURE_SCHEMA].replace("flights.departures", name)
    write(tmp_path, f"schemas/avro/{domain}/{product}/Departure.avsc", schema)
    assert ["HW-C057" in line for line in findings_of(tmp_path)] == [True]


def test_files_at_the_wrong_depth_and_folders_without_a_product_are_named(tmp_path: Path) -> None:
    write_small_mesh(tmp_path)
    write(tmp_path, "connectors/flights/product.yaml", FILES[DEPARTURES])
    write(tmp_path, "streams/airports/daily/flow.py", "")
    (tmp_path / "streams/airports/__pycache__").mkdir()
    assert [line[-8:-1] for line in findings_of(tmp_path)] == ["HW-C041", "HW-C043"]


def test_a_product_in_two_places_is_refused(tmp_path: Path) -> None:
    write_small_mesh(tmp_path)
    write(tmp_path, HOURLY.replace("streams", "connectors"), FILES[HOURLY])
    assert any("HW-C042" in line for line in findings_of(tmp_path))


def test_a_mesh_without_its_file_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "connectors").mkdir()
    assert findings_of(tmp_path)[0].startswith("mesh.yaml the file cannot be read")


def test_a_folder_that_is_no_mesh_at_all_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(CallerFault) as raised:
        load_mesh(tmp_path)
    error = raised.value
    assert (error.code, error.exit_code, bool(error.hint)) == ("HW-C069", 2, True)
    assert str(tmp_path) in error.message


def test_an_unknown_product_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    write_small_mesh(tmp_path)
    mesh = load_mesh(tmp_path)
    with pytest.raises(CallerFault) as raised:
        mesh.product("flights.departure")
    assert raised.value.hint == "write flights.departures"
    with pytest.raises(CallerFault) as raised:
        mesh.product("shop.orders")
    assert raised.value.hint
