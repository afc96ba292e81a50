"""What each service says about a row of the data set, as the outbox wants it: without the platform's fields.

Instants are microseconds since 1970, UTC. `error` is what a first report that is corrected later gets wrong; 0 is the
truth.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from examples.services.data import HOUR, MINUTE, Flight, instant, number_or_none

Record = dict[str, Any]
YEAR_START = instant("2013-01-01T00:00:00Z")
MILES_AN_HOUR_PER_KNOT = 1.15078


def departure(flight: Flight, error: int = 0) -> Record:
    """A departure; a wrong delay is a wrong instant too, and may lie in another hour."""
    assert flight.departure_delay is not None, "a cancelled flight never departs"
    delay_minutes = flight.departure_delay + error
    return {
        "flight_id": flight.flight_id,
        "origin": flight.origin,
        "dest": flight.dest,
        "carrier": flight.carrier,
        "flight_number": flight.flight_number,
        "tailnum": flight.tailnum,
        "scheduled_at": flight.scheduled_at,
        "occurred_at": flight.scheduled_at + delay_minutes * MINUTE,
        "delay_minutes": delay_minutes,
        "distance_miles": flight.distance,
    }


def arrival(flight: Flight, error: int = 0) -> Record:
    """An arrival at the gate."""
    arrived_at = flight.arrived_at
    assert arrived_at is not None and flight.arrival_delay is not None, "cancelled or diverted: no arrival"
    return {
        "flight_id": flight.flight_id,
        "origin": flight.origin,
        "dest": flight.dest,
        "carrier": flight.carrier,
        "tailnum": flight.tailnum,
        "occurred_at": arrived_at + error * MINUTE,
        "delay_minutes": flight.arrival_delay + error,
        "air_minutes": flight.air_time,
    }


def observation(row: dict[str, str], error: int = 0) -> Record:
    """The weather at an airport, valid for its hour; the wind in knots, as it was measured."""
    valid_from = instant(row["time_hour"])
    visibility = Decimal(row["visib"]).quantize(Decimal("0.01"))
    if error:  # half of what can be seen, or twice; never what it is, unless nothing can be seen
        visibility = visibility / 2 if visibility > 5 else visibility + Decimal("2.50")
    return {
        "origin": row["origin"],
        "valid_from": valid_from,
        "valid_to": valid_from + HOUR,
        "temperature_fahrenheit": _decimal(row["temp"], "0.01"),
        "humidity_percent": _decimal(row["humid"], "0.01"),
        "wind_direction_degrees": number_or_none(row["wind_dir"]),
        "wind_knots": _knots(row["wind_speed"]),
        "gust_knots": _knots(row["wind_gust"]),
        "precipitation_inches": _decimal(row["precip"], "0.01"),
        "pressure_millibars": _decimal(row["pressure"], "0.1"),
        "visibility_miles": visibility.quantize(Decimal("0.01")),
    }


def aircraft(row: dict[str, str], error: int = 0) -> Record:
    """An aircraft as the register of 2013 has it; since when, it does not say: from the year's start, open."""
    return {
        "tailnum": row["tailnum"],
        "valid_from": YEAR_START,
        "valid_to": None,
        "manufacturer": row["manufacturer"],
        "model": row["model"],
        "built_in_year": number_or_none(row["year"]),
        "engines": int(row["engines"]),
        "engine_type": row["engine"],
        "seats": int(row["seats"]) + abs(error),
    }


def _decimal(text: str, step: str) -> Decimal | None:
    return None if text in ("NA", "") else Decimal(text).quantize(Decimal(step))


def _knots(miles_an_hour: str) -> int | None:
    return None if miles_an_hour in ("NA", "") else round(float(miles_an_hour) / MILES_AN_HOUR_PER_KNOT)
