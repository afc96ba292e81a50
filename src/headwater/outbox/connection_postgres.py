"""Ordinary connections to a service's database, and what is said where one cannot be had."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from headwater.errors import CallerFault, Unreachable

CONNECT_SECONDS = 5
_NO_DATABASE = re.compile(r'database ".*" does not exist')  # libpq gives no SQLSTATE of a connection that fails


def connect(dsn: str, *, autocommit: bool = False) -> psycopg.Connection[Any]:
    """An ordinary connection; raises `Unreachable` HW-O032 with the address, never the password."""
    return _connected(dsn, autocommit=autocommit)


def connect_walsender(dsn: str) -> psycopg.Connection[Any]:
    """One that takes replication commands; its `pgconn` is what to talk to. Raises as `connect` does.

    Not `PGconn.connect`: it holds the interpreter's lock while a server is silent, and no signal gets through.
    """
    return _connected(dsn, autocommit=True, replication="database", client_encoding="UTF8")


def _connected(dsn: str, **settings: Any) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(dsn, connect_timeout=CONNECT_SECONDS, **settings)
    except psycopg.OperationalError as error:
        raise away(dsn, error) from None


@contextmanager
def writing(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose transaction writes outbox rows; what the database refuses is said without a row's values."""
    try:
        with connect(dsn) as connection:
            yield connection
    except psycopg.errors.UndefinedTable:
        raise CallerFault(
            "the database has no outbox table for this product",
            code="HW-O053",
            detail="nothing but `apply` creates it; no row was written",
            hint="headwater apply",
        ) from None
    except psycopg.OperationalError as error:
        raise away(dsn, error) from None
    except psycopg.Error as error:
        raise CallerFault(
            f"the database refuses the row ({error.sqlstate or type(error).__name__})",
            code="HW-O054",
            detail=f"constraint {error.diag.constraint_name}" if error.diag.constraint_name else "no row was written",
            hint="headwater plan shows what of the outbox is not as the files say; look at the role's rights too",
        ) from None


def away(dsn: str, error: object) -> Unreachable:
    """The one message for a database that does not answer; the address, never the password."""
    settings = conninfo_to_dict(dsn)
    address = f"{settings.get('host', 'localhost')}:{settings.get('port', 5432)}/{settings.get('dbname', '')}"
    why = str(error).strip()
    hint = "start it (on one machine: headwater up), or mend the address in mesh.yaml; then call again"
    if _NO_DATABASE.search(why):
        hint = (
            "create the database (on one machine: headwater up in the mesh's folder), or mend the address in mesh.yaml"
        )
    return Unreachable(f"PostgreSQL does not answer at {address}", code="HW-O032", detail=why, hint=hint)
