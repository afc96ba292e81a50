"""What the Debezium lane still asks of PostgreSQL: the lease, a pulse, and whether the publication is there."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from headwater import naming
from headwater.errors import Unreachable
from headwater.outbox.connection_postgres import away, connect

# A frozen relay says nothing; then the server ends its session, and with it the lease.
IDLE_SECONDS = 10


def address_parts(dsn: str) -> dict[str, str]:
    """A connection string in parts: host, port, user, dbname, and password where it has one."""
    found = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    return {"host": "localhost", "port": "5432", "user": "postgres", "dbname": found.get("user", "postgres"), **found}


class PostgresCompanion:
    """An ordinary connection that holds the source's lease: the lock that the native relay takes too."""

    def __init__(self, dsn: str, *, database: str, table: str) -> None:
        self._dsn = dsn
        self._lock = naming.slot(database, table)
        self._publication = naming.capture_slot(database, table)
        self._connection = connect(dsn, autocommit=True)
        self._ask(f"SET idle_session_timeout = '{IDLE_SECONDS}s'")

    def take_lease(self) -> bool:
        """Never queue for it: a killed waiter would stay in the queue."""
        return bool(self._ask("SELECT pg_try_advisory_lock(hashtext(%s)::bigint)", self._lock)[0][0])

    def keep_lease(self) -> None:
        """Anything that is asked keeps the session."""
        self._ask("SELECT 1")

    def pulse(self) -> None:
        """A logical message that no connector passes on; its transaction's end it does."""
        self._ask("SELECT pg_logical_emit_message(true, 'headwater.heartbeat', '')")

    def published(self) -> bool:
        """Whether the lane's publication has a table."""
        return bool(self._ask("SELECT 1 FROM pg_publication_tables WHERE pubname = %s", self._publication))

    def close(self) -> None:
        """End the session; the server frees the lease."""
        self._connection.close()

    def _ask(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        try:
            cursor = self._connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError as error:
            raise away(self._dsn, error) from None
        except psycopg.Error as error:
            raise Unreachable(
                "the database refuses what the relay asks",
                code="HW-O129",
                detail=error.sqlstate or type(error).__name__,
                hint="the relay's role must connect, call pg_logical_emit_message and read pg_publication_tables",
            ) from None
