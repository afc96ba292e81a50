"""Weather stations: facts, each valid for its hour. Told with plain SQL; a fact has no `event_id`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import psycopg
from examples.services.reports import WEATHER, Cancellation, Report
from examples.services.service import as_datetime, revisions, unreported

TABLES = """
CREATE SCHEMA IF NOT EXISTS weather_station;
CREATE TABLE IF NOT EXISTS weather_station.observation (
    observation text PRIMARY KEY,
    origin text NOT NULL,
    hour timestamptz NOT NULL,
    visibility_miles numeric NOT NULL,
    withdrawn boolean NOT NULL,
    revision int NOT NULL
)"""

WRITE = """
INSERT INTO weather_station.observation VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (observation) DO UPDATE SET visibility_miles = EXCLUDED.visibility_miles,
    withdrawn = EXCLUDED.withdrawn, revision = EXCLUDED.revision"""

EMIT = """
INSERT INTO public.outbox (id, aggregatetype, aggregateid, type, payload, kind, revision)
VALUES (gen_random_uuid(), 'weather.observations', %s, 'weather.observations.Observation', %s, %s, %s)"""


class WeatherStation:
    """Writes observations."""

    product = WEATHER

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        connection.execute(TABLES)
        connection.commit()
        self._known = revisions(connection, "SELECT observation, revision FROM weather_station.observation")

    def write(self, reports: Sequence[Report | Cancellation]) -> int:
        """The observations and their facts, in one transaction."""
        new = unreported(reports, self._known)
        if not new:
            return 0
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(WRITE, [_row(report) for report in new])
            cursor.executemany(EMIT, [_fact(report) for report in new])
        self._known.update((report.identity, report.revision) for report in new)
        return len(new)


def _row(report: Report) -> tuple[object, ...]:
    record = report.record
    return (
        report.identity,
        record["origin"],
        as_datetime(record["valid_from"]),
        record["visibility_miles"],
        report.kind == "retract",
        report.revision,
    )


def _fact(report: Report) -> tuple[object, ...]:
    payload = json.dumps(report.record, default=str)  # decimals as text
    return report.record["origin"], payload, report.kind, report.revision
