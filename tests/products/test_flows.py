"""Each derived product on the runner in memory: by example, and on real flights against a plain recomputation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from examples import verify
from examples.services.data import HOUR, MINUTE, instant
from examples.services.reports import SEED_DEFAULT, Replay, Report

from headwater.mesh.load import load_mesh
from headwater.mesh.products import Mesh
from headwater.naming import ProductName
from headwater.processing.flow_file import load_plan
from headwater.processing.runners.memory import MemoryRunner

ROOT = Path(__file__).resolve().parents[2]
ROWS = 1_000
TICK = 100_000
START = instant("2026-01-01T00:00:00Z")  # recorded time of the first report; each later one a tick after
TEN = instant("2013-01-05T10:00:00Z")


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return load_mesh(ROOT)


@pytest.fixture(scope="module")
def reports() -> list[Report]:
    return [report for report in Replay(ROWS) if isinstance(report, Report)]


class Product:
    """A derived product in memory, given records of its inputs in order of recording."""

    def __init__(self, mesh: Mesh, name: str) -> None:
        self.product = mesh.product(name)
        self._mesh = mesh
        self._runner = MemoryRunner(load_plan(mesh, ProductName.parse(name)))
        self._recorded_at = START
        self._inputs = {str(source.product) for source in self.product.product.inputs}

    def give(
        self,
        product: str,
        record: Mapping[str, Any],
        *,
        event_id: str | None = None,
        kind: str = "assert",
        revision: int = 1,
    ) -> None:
        self._recorded_at += TICK
        output = self._mesh.product(product).output
        platform: dict[str, Any] = {"recorded_at": self._recorded_at, "kind": kind, "revision": revision}
        if event_id is not None:
            platform["event_id"] = event_id
        key = [record[field] for field in output.output.key]
        self._runner.write(output.topic, key, {**record, **platform})

    def give_report(self, report: Report) -> None:
        if report.product in self._inputs:
            self.give(
                report.product, report.record, event_id=report.event_id, kind=report.kind, revision=report.revision
            )

    def records(self) -> list[Mapping[str, Any]]:
        """Everything published, once every input has come to rest."""
        self._recorded_at += 10 * TICK
        for name in self._inputs:
            self._runner.mark(self._mesh.product(name).output.topic, self._recorded_at)
        self._runner.run()
        assert not self._runner.quarantined
        return sorted(self._runner.records(), key=lambda record: record["recorded_at"])


def departure(flight_id: str, at: int, delay: int, **fields: Any) -> dict[str, Any]:
    return {
        "flight_id": flight_id,
        "origin": "JFK",
        "dest": "LAX",
        "carrier": "UA",
        "flight_number": 1,
        "tailnum": "N1",
        "scheduled_at": at - delay * MINUTE,
        "occurred_at": at,
        "delay_minutes": delay,
        "distance_miles": 2475,
        **fields,
    }


def told(records: Sequence[Mapping[str, Any]], *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(record[field] for field in fields) for record in records]


def test_a_late_report_and_a_moved_departure_correct_the_hours_they_concern(mesh):
    """The worked example of the page on time: F3 comes late, F2 is corrected, F1 moves, F3 is withdrawn."""
    product = Product(mesh, "airports.hourly_punctuality")
    source = "flights.departures"
    product.give(source, departure("F1", TEN + 5 * MINUTE, 10), event_id="1")
    product.give(source, departure("F2", TEN + 40 * MINUTE, 20), event_id="2")
    product.give(source, departure("F3", TEN + 50 * MINUTE, 60), event_id="3")
    product.give(source, departure("F2", TEN + 40 * MINUTE, 35), event_id="2", kind="correct", revision=2)
    product.give(source, departure("F1", TEN + 62 * MINUTE, 10), event_id="1", kind="correct", revision=2)
    product.give(source, departure("F3", TEN + 50 * MINUTE, 60), event_id="3", kind="retract", revision=2)
    product.give(source, departure("F2", TEN + 40 * MINUTE, 35), event_id="2", kind="retract", revision=3)
    fields = ("kind", "revision", "departures", "delay_minutes", "worst_delay_minutes")
    records = product.records()
    first = [record for record in records if record["valid_from"] == TEN]
    second = [record for record in records if record["valid_from"] == TEN + HOUR]
    assert told(first, *fields)[:-1] == [
        ("assert", 1, 1, 10, 10),
        ("correct", 2, 2, 30, 20),
        ("correct", 3, 3, 90, 60),
        ("correct", 4, 3, 105, 60),
        ("correct", 5, 2, 95, 60),
        ("correct", 6, 1, 35, 35),
    ]
    assert told(first, "kind", "revision")[-1] == ("retract", 7)
    assert told(second, *fields) == [("assert", 1, 1, 10, 10)]
    assert {record["valid_to"] - record["valid_from"] for record in records} == {HOUR}


def test_early_departures_count_negative_also_as_the_worst(mesh):
    product = Product(mesh, "airports.hourly_punctuality")
    product.give("flights.departures", departure("F1", TEN, -5), event_id="1")
    product.give("flights.departures", departure("F2", TEN + MINUTE, -3), event_id="2")
    assert told(product.records(), "delay_minutes", "worst_delay_minutes")[-1] == (-8, -3)


def test_an_arrival_more_than_fifteen_minutes_behind_is_late(mesh):
    product = Product(mesh, "routes.daily_performance")
    for number, delay in enumerate((15, 16, -20)):
        arrival = {
            "flight_id": f"F{number}",
            "origin": "JFK",
            "dest": "LAX",
            "carrier": "UA",
            "tailnum": None,
            "occurred_at": TEN + number * HOUR,
            "delay_minutes": delay,
            "air_minutes": 300,
        }
        product.give("flights.arrivals", arrival, event_id=str(number))
    newest = product.records()[-1]
    assert told([newest], "arrivals", "late_arrivals", "delay_minutes", "worst_delay_minutes") == [(3, 1, 11, 16)]
    assert newest["valid_from"] == instant("2013-01-05T00:00:00Z")
    assert newest["valid_to"] == instant("2013-01-06T00:00:00Z")


def test_a_late_observation_corrects_the_departures_of_its_hour_and_no_others(mesh, reports):
    product = Product(mesh, "planning.delay_features")
    weather = next(report for report in reports if report.product == "weather.observations").record
    at = weather["valid_from"]
    product.give("flights.departures", departure("F1", at + 5 * MINUTE, 0, origin=weather["origin"]), event_id="1")
    product.give("flights.departures", departure("F2", at + 65 * MINUTE, 0, origin=weather["origin"]), event_id="2")
    product.give("weather.observations", weather)
    fields = ("flight_id", "kind", "revision", "visibility_miles", "aircraft_seats")
    assert sorted(told(product.records(), *fields), key=str) == [
        ("F1", "assert", 1, None, None),
        ("F1", "correct", 2, weather["visibility_miles"], None),
        ("F2", "assert", 1, None, None),
    ]


def test_a_departure_without_tail_number_has_weather_and_no_aircraft(mesh, reports):
    product = Product(mesh, "planning.delay_features")
    weather = next(report for report in reports if report.product == "weather.observations").record
    aircraft = next(report for report in reports if report.product == "fleet.aircraft").record
    product.give("weather.observations", weather)
    product.give("fleet.aircraft", aircraft)
    at = weather["valid_from"]
    for flight_id, tailnum in (("F1", None), ("F2", aircraft["tailnum"]), ("F3", "N0NE")):
        flight = departure(flight_id, at, 0, origin=weather["origin"], tailnum=tailnum)
        product.give("flights.departures", flight, event_id=flight_id)
    seats = {record["flight_id"]: record["aircraft_seats"] for record in product.records()}
    assert seats == {"F1": None, "F2": aircraft["seats"], "F3": None}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(verify.COMPARISONS))
def test_real_flights_give_what_a_plain_recomputation_gives(name, mesh, reports):
    product = Product(mesh, name)
    for report in reports:
        product.give_report(report)
    identity = verify.identity_of(product.product)
    newest = list({identity(record): record for record in product.records()}.values())
    found, expected = verify.COMPARISONS[name]([r for r in newest if r["kind"] != "retract"], ROWS, SEED_DEFAULT)
    assert verify.differing(found, expected) == []
