"""The fleet's register: open facts, told with `headwater.emit`."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from examples.services.reports import AIRCRAFT, Cancellation, Report
from examples.services.service import revisions, unreported

import headwater

TABLES = """
CREATE SCHEMA IF NOT EXISTS fleet;
CREATE TABLE IF NOT EXISTS fleet.aircraft (
    tailnum text PRIMARY KEY,
    model text NOT NULL,
    seats int NOT NULL,
    withdrawn boolean NOT NULL,
    revision int NOT NULL
)"""

WRITE = """
INSERT INTO fleet.aircraft VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (tailnum) DO UPDATE SET model = EXCLUDED.model, seats = EXCLUDED.seats,
    withdrawn = EXCLUDED.withdrawn, revision = EXCLUDED.revision"""


class Fleet:
    """Writes aircraft."""

    product = AIRCRAFT

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        connection.execute(TABLES)
        connection.commit()
        self._known = revisions(connection, "SELECT tailnum, revision FROM fleet.aircraft")

    def write(self, reports: Sequence[Report | Cancellation]) -> int:
        """The aircraft and their facts, in one transaction."""
        new = unreported(reports, self._known)
        if not new:
            return 0
        emissions = [headwater.Emission(report.record, kind=report.kind, revision=report.revision) for report in new]
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(WRITE, [_row(report) for report in new])
            headwater.emit_many(self._connection, self.product, emissions)
        self._known.update((report.identity, report.revision) for report in new)
        return len(new)


def _row(report: Report) -> tuple[object, ...]:
    record = report.record
    return report.identity, record["model"], record["seats"], report.kind == "retract", report.revision
