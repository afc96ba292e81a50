"""What the derived products must say, recomputed plainly from the data set. Shares no code with the engine.

Only the lots of `accidents` are used: which flights come late (so which are the first N) and which are withdrawn. The
rest is one pass over the file, with the fields as they stand there.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from heapq import nsmallest
from typing import NamedTuple

from examples.services.accidents import accident
from examples.services.data import data_folder

ALL_FLIGHTS = 336_776

Hour = tuple[str, datetime]
Day = tuple[str, str, datetime]


class Punctuality(NamedTuple):
    """The values of `airports.hourly_punctuality` for one airport and hour."""

    departures: int
    delay_minutes: int
    worst_delay_minutes: int


class Performance(NamedTuple):
    """The values of `routes.daily_performance` for one route and day."""

    arrivals: int
    late_arrivals: int
    delay_minutes: int
    worst_delay_minutes: int


class Features(NamedTuple):
    """Some values of `planning.delay_features` for one flight; None where weather or aircraft are not known."""

    occurred_at: datetime
    delay_minutes: int
    visibility_miles: str | None
    aircraft_seats: int | None


def hourly_punctuality(rows: int | None, seed: int) -> dict[Hour, Punctuality]:
    """By airport and hour of departure, over the first `rows` flights in order of their first report."""
    result: dict[Hour, Punctuality] = {}
    for flight in first_flights(rows, seed):
        if flight["dep_delay"] == "NA" or withdrawn(seed, "flights.departures", flight):
            continue
        delay = int(flight["dep_delay"])
        hour = (flight["origin"], departed_at(flight).replace(minute=0))
        known = result.get(hour, Punctuality(0, 0, -(10**9)))
        result[hour] = Punctuality(
            known.departures + 1, known.delay_minutes + delay, max(known.worst_delay_minutes, delay)
        )
    return result


def daily_performance(rows: int | None, seed: int) -> dict[Day, Performance]:
    """By route and day of arrival (UTC), over what arrived, and was reported, up to the moment of the last flight."""
    moment = moment_of(rows, seed)
    result: dict[Day, Performance] = {}
    for flight in all_flights():
        if flight["arr_delay"] == "NA" or withdrawn(seed, "flights.arrivals", flight):
            continue
        arrived_at = departed_at(flight) + timedelta(minutes=gate_to_gate(flight))
        late = timedelta(microseconds=accident(seed, "flights.arrivals", flight_id(flight)).late)
        if arrived_at + late > moment:
            continue
        delay = int(flight["arr_delay"])
        day = (flight["origin"], flight["dest"], arrived_at.replace(hour=0, minute=0))
        known = result.get(day, Performance(0, 0, 0, -(10**9)))
        result[day] = Performance(
            known.arrivals + 1,
            known.late_arrivals + (delay > 15),
            known.delay_minutes + delay,
            max(known.worst_delay_minutes, delay),
        )
    return result


def delay_features(rows: int | None, seed: int) -> dict[str, Features]:
    """By flight, over the first `rows` flights, with the weather that was reported up to the moment of the last."""
    moment = moment_of(rows, seed)
    visibility = {}
    for row in _rows("weather.csv"):
        lot = accident(seed, "weather.observations", f"{row['origin']} {row['time_hour']}")
        hour = datetime.fromisoformat(row["time_hour"])
        if hour + timedelta(microseconds=lot.late) <= moment and lot.withdrawn_after is None:
            visibility[row["origin"], hour] = f"{float(row['visib']):.2f}"
    seats = {}
    for row in _rows("planes.csv"):
        lot = accident(seed, "fleet.aircraft", row["tailnum"])
        known_at = datetime(2013, 1, 1, tzinfo=UTC) + timedelta(microseconds=lot.late)
        if known_at <= moment and lot.withdrawn_after is None:
            seats[row["tailnum"]] = int(row["seats"])
    result = {}
    for flight in first_flights(rows, seed):
        if flight["dep_delay"] != "NA" and not withdrawn(seed, "flights.departures", flight):
            at = departed_at(flight)
            result[flight_id(flight)] = Features(
                at,
                int(flight["dep_delay"]),
                visibility.get((flight["origin"], at.replace(minute=0))),
                seats.get(flight["tailnum"]),
            )
    return result


def moment_of(rows: int | None, seed: int) -> datetime:
    """When the last of the first `rows` flights was first reported; the end of time where that is all of them."""
    if rows is None or rows >= ALL_FLIGHTS:
        return datetime.max.replace(tzinfo=UTC)
    return reported_at(_first_flights(rows, seed)[-1], seed)


def first_flights(rows: int | None, seed: int) -> Iterable[dict[str, str]]:
    """The first flights in order of their first report; all of them in the order of the file."""
    return all_flights() if rows is None else _first_flights(rows, seed)


@lru_cache(maxsize=2)  # three products ask for the same
def _first_flights(rows: int, seed: int) -> list[dict[str, str]]:
    flights = ((reported_at(flight, seed), line, flight) for line, flight in enumerate(all_flights()))
    return [flight for _, _, flight in nsmallest(rows, flights)]


def all_flights() -> Iterator[dict[str, str]]:
    """Every row of `flights.csv`."""
    with zipfile.ZipFile(data_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        yield from csv.DictReader(io.TextIOWrapper(file, "utf-8"))


def reported_at(flight: dict[str, str], seed: int) -> datetime:
    """When departure control first said something about a flight."""
    if flight["dep_delay"] == "NA":
        return scheduled_at(flight)
    late = accident(seed, "flights.departures", flight_id(flight)).late
    return departed_at(flight) + timedelta(microseconds=late)


def withdrawn(seed: int, product: str, flight: dict[str, str]) -> bool:
    """Whether what was said about a flight is taken back in the end."""
    return accident(seed, product, flight_id(flight)).withdrawn_after is not None


def scheduled_at(flight: dict[str, str]) -> datetime:
    """`time_hour` is the scheduled hour in UTC."""
    return datetime.fromisoformat(flight["time_hour"]) + timedelta(minutes=int(flight["minute"]))


def departed_at(flight: dict[str, str]) -> datetime:
    """Scheduled time plus delay."""
    return scheduled_at(flight) + timedelta(minutes=int(flight["dep_delay"]))


def gate_to_gate(flight: dict[str, str]) -> int:
    """The least number of minutes, not below the time in the air, that fits the minutes of the two clocks."""
    minutes = int(flight["air_time"])
    while (int(flight["dep_time"]) % 100 + minutes) % 60 != int(flight["arr_time"]) % 100:
        minutes += 1
    return minutes


def flight_id(flight: dict[str, str]) -> str:
    """Carrier, number, origin and scheduled local time."""
    date = f"{flight['year']}{int(flight['month']):02}{int(flight['day']):02}"
    return f"{flight['carrier']}{flight['flight']}-{flight['origin']}-{date}-{int(flight['sched_dep_time']):04}"


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (data_folder() / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
