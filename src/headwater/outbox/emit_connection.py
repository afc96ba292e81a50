"""Rows into a connection's own transaction: psycopg, any DB-API driver, SQLAlchemy's sessions and connections.

No driver and no library is imported: what a connection is, its methods say. Sync and async are two functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from headwater.outbox.emission import Road
from headwater.outbox.emit_statements import Statement, judge, paramstyle_of, statements, without_table
from headwater.outbox.event import OutboxEvent


class Connection(Protocol):
    """What is used of a DB-API connection: its transaction stays the caller's."""

    def cursor(self) -> Any:
        """A cursor in the caller's transaction."""


def write_rows(connection: Any, events: Sequence[OutboxEvent], table: str, road: Road) -> None:
    """Write rows in the transaction of a sync connection or session; raises as `emit` does."""
    session = _connection_of(connection)
    if session is not None:
        for statement in statements(events, table, road, session.dialect.paramstyle):
            result = _run(session.exec_driver_sql, statement)
            if statement.answers:
                judge(events, result.fetchall())
        return
    found = statements(events, table, road, paramstyle_of(connection))
    cursor = connection.cursor()
    try:
        for statement in found:
            _run(cursor.execute, statement)
            if statement.answers:
                judge(events, cursor.fetchall())
    finally:
        cursor.close()


async def write_rows_async(connection: Any, events: Sequence[OutboxEvent], table: str, road: Road) -> None:
    """The same for an async connection or session."""
    run_sync = getattr(connection, "run_sync", None)
    if callable(run_sync):  # SQLAlchemy's, whose sync half works inside a greenlet
        await run_sync(write_rows, events, table, road)
        return
    async with connection.cursor() as cursor:
        for statement in statements(events, table, road, paramstyle_of(connection)):
            try:
                await cursor.execute(statement.text, statement.parameters)
            except Exception as error:
                raise without_table(error) or error from None
            if statement.answers:
                judge(events, await cursor.fetchall())


def _connection_of(connection: Any) -> Any:
    """SQLAlchemy's connection, of a session too; None for a DB-API connection."""
    if hasattr(connection, "exec_driver_sql"):
        return connection
    if hasattr(connection, "connection") and callable(connection.connection) and hasattr(connection, "get_bind"):
        return connection.connection()
    return None


def _run(execute: Any, statement: Statement) -> Any:
    try:
        return execute(statement.text, statement.parameters)
    except Exception as error:
        raise without_table(error) or error from None
