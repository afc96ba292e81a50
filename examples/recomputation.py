"""What the derived products must say, recomputed plainly from the data set. Shares no code with the engine.

Only the lots of `accidents` are used: which flights come late (so which are the first N) and which are withdrawn. The
rest is one pass over the file, with the fields as they stand there.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from examples.services.accidents import accident
from examples.services.data import data_folder

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
    flights = list(first_flights(rows, seed))
    everything = rows is None or len(flights) < rows or len(flights) == 336_776
    moment = datetime.max.replace(tzinfo=UTC) if everything else reported_at(flights[-1], seed)
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


def first_flights(rows: int | None, seed: int) -> list[dict[str, str]]:
    """The first flights in order of their first report; a cancelled one is known at its scheduled time."""
    flights = [(reported_at(flight, seed), line, flight) for line, flight in enumerate(all_flights())]
    flights.sort()
    return [flight for _, _, flight in (flights if rows is None else flights[:rows])]


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
