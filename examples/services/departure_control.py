"""Departure control: keeps its flights in a table of its own, and tells the mesh with `headwater.emit`."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from examples.services.reports import DEPARTURES, Cancellation, Report
from examples.services.service import as_datetime, revisions

import headwater

TABLES = """
CREATE SCHEMA IF NOT EXISTS departure_control;
CREATE TABLE IF NOT EXISTS departure_control.flight (
    flight_id text PRIMARY KEY,
    tailnum text,
    scheduled_at timestamptz NOT NULL,
    delay_minutes int,
    status text NOT NULL CHECK (status IN ('departed', 'cancelled', 'withdrawn')),
    revision int NOT NULL,
    reported_at timestamptz NOT NULL
)"""

WRITE = """
INSERT INTO departure_control.flight VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (flight_id) DO UPDATE SET delay_minutes = EXCLUDED.delay_minutes, status = EXCLUDED.status,
    revision = EXCLUDED.revision, reported_at = EXCLUDED.reported_at"""


class DepartureControl:
    """Writes departures; a cancelled flight stays in its own table, since nothing departed."""

    product = DEPARTURES

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        connection.execute(TABLES)
        connection.commit()
        self._known = revisions(connection, "SELECT flight_id, revision FROM departure_control.flight")

    def write(self, reports: Sequence[Report | Cancellation]) -> int:
        """The flights and their events, in one transaction."""
        new = [report for report in reports if _revision(report) > self._known.get(_flight_id(report), -1)]
        if not new:
            return 0
        emissions = [
            headwater.Emission(report.record, event_id=report.event_id, kind=report.kind, revision=report.revision)
            for report in new
            if isinstance(report, Report)
        ]
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(WRITE, [_row(report) for report in new])
            headwater.emit_many(self._connection, self.product, emissions)
        self._known.update((_flight_id(report), _revision(report)) for report in new)
        return len(new)


def _flight_id(report: Report | Cancellation) -> str:
    return report.identity if isinstance(report, Report) else report.flight.flight_id


def _revision(report: Report | Cancellation) -> int:
    return report.revision if isinstance(report, Report) else 0


def _row(report: Report | Cancellation) -> tuple[object, ...]:
    reported_at = as_datetime(report.reported_at)
    if isinstance(report, Cancellation):
        flight = report.flight
        scheduled_at = as_datetime(flight.scheduled_at)
        return flight.flight_id, flight.tailnum, scheduled_at, None, "cancelled", 0, reported_at
    record = report.record
    status = "withdrawn" if report.kind == "retract" else "departed"
    return (
        report.identity,
        record["tailnum"],
        as_datetime(record["scheduled_at"]),
        record["delay_minutes"],
        status,
        report.revision,
        reported_at,
    )
