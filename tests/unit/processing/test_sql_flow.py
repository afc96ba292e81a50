"""SQL flows: the reference products give the plans of their flow.py; what is refused is named at its place."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest

from headwater.errors import Finding
from headwater.mesh.load import load_mesh
from headwater.naming import ProductName
from headwater.processing.field_uses import fields_read
from headwater.processing.flow_file import check_flow, load_flow, load_plan
from headwater.processing.validation import lineage

ROOT = Path(__file__).parents[3]
HOURLY = """-- Departures to the punctuality of each airport.
SELECT origin, COUNT(*) AS departures, SUM(delay_minutes) AS delay_minutes, MAX(delay_minutes) AS worst_delay_minutes
FROM departures
GROUP BY origin, TUMBLING('1h')
"""
DAILY = """
SELECT origin, dest, COUNT(*) AS arrivals, SUM(late) AS late_arrivals, SUM(delay_minutes) AS delay_minutes,
  MAX(delay_minutes) AS worst_delay_minutes
FROM (SELECT *, CASE WHEN delay_minutes > 15 THEN 1 ELSE 0 END AS late FROM "flights.arrivals") AS marked
GROUP BY origin, dest, CALENDAR('day', 'UTC')
"""
FEATURES = """
WITH flown AS (
  SELECT flight_id, origin, dest, carrier, tailnum, scheduled_at, delay_minutes, distance_miles FROM departures
)
SELECT f.*, w.temperature_fahrenheit, w.wind_knots, w.precipitation_inches, w.visibility_miles,
  a.model AS aircraft_model, a.built_in_year AS aircraft_built_in_year, a.seats AS aircraft_seats
FROM flown AS f
ASOF LEFT JOIN weather.observations AS w ON f.origin = w.origin AND f.occurred_at >= w.valid_from
ASOF LEFT JOIN aircraft AS a ON f.tailnum = a.tailnum AND a.valid_from <= f.occurred_at
"""
PRODUCTS = {
    "airports.hourly_punctuality": HOURLY,
    "routes.daily_performance": DAILY,
    "planning.delay_features": FEATURES,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "mesh.yaml", tmp_path)
    for name in ("connectors", "streams", "schemas"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def written(folder: Path, name: str, text: str) -> ProductName:
    """The product with its flow in SQL in place of Python."""
    product = ProductName(*name.split("."))
    place = folder / "streams" / product.domain / product.product
    (place / "flow.py").unlink(missing_ok=True)
    (place / "flow.sql").write_text(text, encoding="utf-8")
    return product


def found(folder: Path, text: str, name: str = "airports.hourly_punctuality") -> Finding:
    product = written(folder, name, text)
    first, *_ = check_flow(load_mesh(folder), product)
    assert first.file == f"streams/{product.domain}/{product.product}/flow.sql"
    return first


@pytest.mark.parametrize(("name", "text"), PRODUCTS.items())
def test_a_reference_product_in_sql_has_the_plan_of_its_python(folder: Path, name: str, text: str) -> None:
    product = ProductName(*name.split("."))
    in_python = load_mesh(folder)
    plan, graph = load_plan(in_python, product), load_flow(in_python, product)
    written(folder, name, text)
    in_sql = load_mesh(folder)
    assert check_flow(in_sql, product) == []
    made = load_flow(in_sql, product)
    assert made.file.endswith("flow.sql")
    assert lineage(made) == lineage(graph)
    assert fields_read(made, tick=1) == fields_read(graph, tick=1)
    assert shown(load_plan(in_sql, product)) == shown(plan)


def shown(plan: object) -> str:
    """A plan as text; expressions are compiled to closures, which stand for themselves."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(plan))


def test_what_is_computed_inside_a_measure_and_renamed_after_it_passes_the_check(folder: Path) -> None:
    text = DAILY.replace("SUM(late)", "SUM(CASE WHEN delay_minutes > 15 THEN 1 ELSE 0 END)")
    text = text.replace("FROM (SELECT *, CASE WHEN delay_minutes > 15 THEN 1 ELSE 0 END AS late FROM", "FROM")
    text = text.replace(") AS marked", "")
    product = written(folder, "routes.daily_performance", text)
    assert check_flow(load_mesh(folder), product) == []


REST = "COUNT(*) AS departures, SUM(delay_minutes) AS delay_minutes, MAX(delay_minutes) AS worst_delay_minutes"
BY = "GROUP BY origin, TUMBLING('1h')"


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("", "HW-P155", (1, 1)),
        ("-- nothing but words", "HW-P155", (1, 1)),
        ("\n  DROP TABLE departures", "HW-P155", (2, 3)),
        ("SELECT origin\nFROM departures;\nSELECT 1", "HW-P155", (2, 16)),
        ("SELECT origin FROM departures\nWHERE delay_minutes IN (@, 2)", "HW-P155", (2, 7)),
        ("SELECT origin\n  FROM departures WHERE WHERE", "HW-P155", None),
        ("SELECT origin\nFROM departures) x", "HW-P155", (2, 16)),
        ("SELECT 'never ends FROM departures", "HW-P155", None),
        ("SELECT /* never ends FROM departures", "HW-P155", None),
        (f"SELECT origin, {REST}\nFROM departures\n{BY}\nORDER BY origin", "HW-P157", (4, 10)),
        (f"SELECT origin, {REST}\nFROM departures\n{BY}\nLIMIT 3", "HW-P157", (4, 7)),
        (f"SELECT origin, {REST}\nFROM departures\n{BY}\nHAVING COUNT(*) > 3", "HW-P157", (4, 8)),
        ("SELECT DISTINCT origin FROM departures", "HW-P157", None),
        ("SELECT origin FROM departures UNION ALL SELECT origin FROM departures", "HW-P157", (1, 8)),
        ("WITH RECURSIVE a AS (SELECT 1) SELECT origin FROM a", "HW-P157", (1, 16)),
        ("SELECT 1 AS one", "HW-P157", (1, 8)),
        ("SELECT origin FROM range(5)", "HW-P157", None),
        ("SELECT * EXCLUDE (origin) FROM departures", "HW-P157", (1, 8)),
        ("SELECT origin FROM departures TABLESAMPLE (5 ROWS)", "HW-P157", None),
        ("SELECT origin\nFROM arrivals", "HW-P158", (2, 6)),
        ("SELECT\n x.origin FROM departures AS d", "HW-P158", (2, 2)),
        ("SELECT origin,\n  dely FROM departures", "HW-P010", (2, 3)),
        ("SELECT origin FROM departures WHERE dely > 3", "HW-P010", (1, 37)),
        ("SELECT recorded_at FROM departures", "HW-P010", (1, 8)),
        ("SELECT origin, 1 + 1 FROM departures", "HW-P159", (1, 16)),
        ("SELECT origin, 1 AS origin FROM departures", "HW-P159", (1, 16)),
        ("SELECT *, 1 AS origin FROM departures", "HW-P159", None),
        ("SELECT delay_minutes % 2 AS odd FROM departures", "HW-P160", (1, 8)),
        ("SELECT delay_minutes // 2 AS half FROM departures", "HW-P160", (1, 8)),
        ("SELECT origin,\n  launder(origin) AS x FROM departures", "HW-P160", None),
        ("SELECT CAST(origin AS INT) AS x FROM departures", "HW-P160", (1, 13)),
        ("SELECT origin FROM departures WHERE origin LIKE 'J%'", "HW-P160", (1, 37)),
        ("SELECT (SELECT 1) AS x FROM departures", "HW-P160", None),
        ("SELECT ROW_NUMBER() OVER (ORDER BY origin) AS x FROM departures", "HW-P160", None),
        ("SELECT 99999999999999999999 AS x FROM departures", "HW-P160", (1, 8)),
        ("SELECT origin, COUNT(*) AS n FROM departures", "HW-P161", (1, 16)),
        ("SELECT origin, COUNT(*) AS n FROM departures GROUP BY origin", "HW-P161", (1, 55)),
        ("SELECT COUNT(*) AS n FROM departures GROUP BY TUMBLING('1h')", "HW-P161", None),
        ("SELECT dest, COUNT(*) AS n FROM departures GROUP BY origin, TUMBLING('1h')", "HW-P161", (1, 8)),
        ("SELECT origin, SUM(delay_minutes) / COUNT(*) AS n FROM departures " + BY, "HW-P161", (1, 16)),
        ("SELECT origin, COUNT(*) AS n FROM departures GROUP BY origin, dest || 'x', WHOLE()", "HW-P161", (1, 63)),
        ("SELECT origin, COUNT(*) AS n FROM departures GROUP BY CUBE (origin)", "HW-P161", None),
        ("SELECT origin FROM departures " + BY, "HW-P161", None),
        ("SELECT origin, COUNT(*) AS n FROM departures GROUP BY origin, TUMBLING(1)", "HW-P161", None),
        ("SELECT origin, COUNT(*) AS n FROM departures GROUP BY origin, CALENDAR('year')", "HW-P014", None),
        ("SELECT origin, COUNT(*) AS n FROM departures GROUP BY origin, TUMBLING('soon')", "HW-T002", (1, 63)),
    ],
)
def test_what_is_refused_is_named_with_its_place(
    folder: Path, text: str, code: str, place: tuple[int, int] | None
) -> None:
    finding = found(folder, text)
    assert finding.code == code, finding
    assert place is None or (finding.line, finding.column) == place, finding
    assert finding.line >= 1 and "Token" not in finding.message


@pytest.mark.parametrize(
    ("join", "code"),
    [
        ("JOIN weather.observations AS w ON f.origin = w.origin", "HW-P162"),
        ("CROSS JOIN weather.observations AS w", "HW-P162"),
        ("LEFT JOIN weather.observations AS w ON f.origin = w.origin AND f.occurred_at >= w.valid_from", "HW-P162"),
        ("ASOF JOIN weather.observations AS w ON f.origin = w.origin AND f.occurred_at >= w.valid_from", "HW-P162"),
        ("ASOF LEFT JOIN weather.observations AS w ON f.origin = w.origin", "HW-P162"),
        ("ASOF LEFT JOIN weather.observations AS w ON f.occurred_at >= w.valid_from", "HW-P162"),
        ("ASOF LEFT JOIN weather.observations AS w ON f.origin = w.origin AND f.occurred_at > w.valid_from", "HW-P162"),
        ("ASOF LEFT JOIN weather.observations AS w USING (origin)", "HW-P162"),
        ("ASOF LEFT JOIN weather.observations AS w ON f.origin = w.origin OR f.occurred_at >= w.valid_from", "HW-P162"),
        (
            "ASOF LEFT JOIN weather.observations AS f ON f.origin = f.origin AND f.occurred_at >= f.valid_from",
            "HW-P158",
        ),
    ],
)
def test_a_join_that_is_none_as_of_is_refused(folder: Path, join: str, code: str) -> None:
    text = f"SELECT f.*, w.wind_knots\nFROM departures AS f\n{join}"
    assert found(folder, text, "planning.delay_features").code == code


def test_a_field_of_both_sides_is_not_guessed(folder: Path) -> None:
    text = FEATURES.replace("w.wind_knots,", "w.wind_knots, origin AS place,")
    finding = found(folder, text, "planning.delay_features")
    assert (finding.code, finding.line) == ("HW-P158", 5)


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 5_000 + "1" + ")" * 5_000,
        "(" * 5_000,
        "CASE WHEN origin = 'x' THEN " * 500 + "1" + " END" * 500,
        "NOT " * 3_000 + "TRUE",
        "- " * 3_000 + "1",
        "f(" * 900 + "1" + ")" * 900,
        "+".join(["delay_minutes"] * 4_000),
        "delay_minutes IN (" + ",".join(["1"] * 3_000) + ")",
        "COALESCE(" + ",".join(["delay_minutes"] * 3_000) + ")",
        "1" * 99_000,
        "[" * 900 + "]" * 900,
        "(" * 20 + "delay_minutes" + " BETWEEN 1 AND 2)" * 20,
        "CASE " * 15 + "1" + " WHEN 1 THEN 1 WHEN 2 THEN 2 WHEN 3 THEN 3 WHEN 4 THEN 4 END" * 15,
        "'" + "x" * 200_000 + "'",
        "a" + ".a" * 3_000,
        "1 /* " + "/* " * 3_000,
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_ends_in_a_finding_and_soon(folder: Path, expression: str) -> None:
    started = time.process_time()
    finding = found(folder, f"SELECT {expression} AS x FROM departures")
    assert finding.code in ("HW-P155", "HW-P156", "HW-P158", "HW-P160"), finding
    assert time.process_time() - started < 10


def test_a_join_on_a_field_that_no_join_gave_is_not_guessed(folder: Path) -> None:
    finding = found(folder, FEATURES.replace("f.tailnum = a", "w.origin = a"), "planning.delay_features")
    assert (finding.code, finding.line) == ("HW-P162", 9)


def test_many_steps_end_in_a_finding(folder: Path) -> None:
    steps = ", ".join(f"s{n} AS (SELECT * FROM {f's{n - 1}' if n else 'departures'})" for n in range(300))
    assert found(folder, f"WITH {steps} SELECT * FROM s299").code == "HW-P156"


def test_two_flows_side_by_side_are_an_error(folder: Path) -> None:
    product = ProductName("airports", "hourly_punctuality")
    (folder / "streams/airports/hourly_punctuality/flow.sql").write_text(HOURLY)
    (finding,) = check_flow(load_mesh(folder), product)
    assert finding.code == "HW-P163"


def test_a_file_that_is_no_text_is_an_error(folder: Path) -> None:
    product = written(folder, "airports.hourly_punctuality", "")
    (folder / "streams/airports/hourly_punctuality/flow.sql").write_bytes(b"SELECT \xff\xfe")
    (finding,) = check_flow(load_mesh(folder), product)
    assert finding.code == "HW-P155"


def test_rules_of_flows_hold_with_the_line_of_the_step(folder: Path) -> None:
    text = f"SELECT origin,\n  COUNT(*) AS departures\nFROM departures\nWHERE delay_minutes\n{BY}"
    finding = found(folder, text)
    assert (finding.code, finding.line) == ("HW-P071", 4)


def test_without_sqlglot_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sqlglot", None)
    finding = found(folder, HOURLY)
    assert finding.code == "HW-P164" and "headwater[sql]" in finding.fix
