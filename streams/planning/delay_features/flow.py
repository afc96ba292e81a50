"""Departures to what a delay model trains on: each with the weather and the aircraft as of its instant."""

from headwater import Stream

FIELDS = ("flight_id", "origin", "dest", "carrier", "tailnum", "scheduled_at", "delay_minutes", "distance_miles")


def flow(departures: Stream, weather: Stream, aircraft: Stream) -> Stream:
    """A departure without weather or aircraft keeps nulls; a late or corrected observation corrects its departures."""
    return (
        departures.select(*FIELDS)
        .join_as_of(
            weather,
            on={"origin": "origin"},
            take={
                "temperature_fahrenheit": "temperature_fahrenheit",
                "wind_knots": "wind_knots",
                "precipitation_inches": "precipitation_inches",
                "visibility_miles": "visibility_miles",
            },
        )
        .join_as_of(
            aircraft,
            on={"tailnum": "tailnum"},
            take={
                "aircraft_model": "model",
                "aircraft_built_in_year": "built_in_year",
                "aircraft_seats": "seats",
            },
        )
    )
