"""What the four services have in common: a connection, their own tables, and what they have reported already."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import psycopg
from examples.services.reports import Cancellation, Report

DATABASE_VARIABLE = "OPERATIONS_DATABASE"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Service(Protocol):
    """A service that writes its own rows and the outbox in one transaction."""

    product: str

    def write(self, reports: Sequence[Report | Cancellation]) -> int:
        """Commit these in one transaction; how many were new. What was written before is passed over."""


def connect(address: str | None = None) -> psycopg.Connection:
    """A connection to the services' database; its address from the environment, so that no password is in a command."""
    address = address or os.environ.get(DATABASE_VARIABLE)
    if not address:
        raise SystemExit(f"no database: set {DATABASE_VARIABLE}, for example to the address that `headwater up` shows")
    return psycopg.connect(address, application_name="example services")


def revisions(connection: psycopg.Connection, query: str) -> dict[str, int]:
    """The newest revision of each thing a service has reported, so that a second replay goes on where it stopped."""
    with connection.transaction():
        return dict(connection.execute(query).fetchall())


def unreported(reports: Sequence[Report | Cancellation], known: Mapping[str, int]) -> list[Report]:
    """The reports that go beyond what a service has reported of their thing; cancellations are not among them."""
    return [
        report for report in reports if isinstance(report, Report) and report.revision > known.get(report.identity, 0)
    ]


def as_datetime(microseconds: int | None) -> datetime | None:
    """An instant as the database wants it."""
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
