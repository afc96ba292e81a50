"""Arrivals: tells the mesh with plain SQL, as a service in any other language would.

One INSERT into the outbox, in the transaction that writes the service's own row. The payload is plain JSON without the
platform's fields; instants are whole microseconds since 1970 or ISO 8601 text, decimals are text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import psycopg
from examples.services.reports import ARRIVALS, Cancellation, Report
from examples.services.service import as_datetime, revisions, unreported

TABLES = """
CREATE SCHEMA IF NOT EXISTS arrivals;
CREATE TABLE IF NOT EXISTS arrivals.arrival (
    flight_id text PRIMARY KEY,
    arrived_at timestamptz NOT NULL,
    delay_minutes int NOT NULL,
    withdrawn boolean NOT NULL,
    revision int NOT NULL,
    reported_at timestamptz NOT NULL
)"""

WRITE = """
INSERT INTO arrivals.arrival VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (flight_id) DO UPDATE SET arrived_at = EXCLUDED.arrived_at, delay_minutes = EXCLUDED.delay_minutes,
    withdrawn = EXCLUDED.withdrawn, revision = EXCLUDED.revision, reported_at = EXCLUDED.reported_at"""

EMIT = """
INSERT INTO public.outbox (id, aggregatetype, aggregateid, type, payload, event_id, kind, revision)
VALUES (gen_random_uuid(), 'flights.arrivals', %s, 'flights.arrivals.Arrival', %s, %s, %s, %s)"""


class Arrivals:
    """Writes arrivals."""

    product = ARRIVALS

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        connection.execute(TABLES)
        connection.commit()
        self._known = revisions(connection, "SELECT flight_id, revision FROM arrivals.arrival")

    def write(self, reports: Sequence[Report | Cancellation]) -> int:
        """The arrivals and their events, in one transaction."""
        new = unreported(reports, self._known)
        if not new:
            return 0
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(WRITE, [_row(report) for report in new])
            cursor.executemany(EMIT, [_event(report) for report in new])
        self._known.update((report.identity, report.revision) for report in new)
        return len(new)


def _row(report: Report) -> tuple[object, ...]:
    return (
        report.identity,
        as_datetime(report.record["occurred_at"]),
        report.record["delay_minutes"],
        report.kind == "retract",
        report.revision,
        as_datetime(report.reported_at),
    )


def _event(report: Report) -> tuple[object, ...]:
    return report.identity, json.dumps(report.record), report.event_id, report.kind, report.revision
