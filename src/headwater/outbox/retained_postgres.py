"""The rows that an outbox table in PostgreSQL retains, compared with what is on the broker by the database itself.

Ids that are accounted for go into a temporary table of this one transaction, and a sort and an anti-join do the rest:
what does not fit in the server's memory it puts on its disk, and what comes here comes through a cursor.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg

from headwater.errors import CallerFault
from headwater.outbox.connection_postgres import away, connect
from headwater.outbox.event import COLUMNS
from headwater.outbox.pgoutput import Row

_ACCOUNTED = "headwater_accounted"
_AT_ONCE = 2_000  # rows that come over with one fetch
_CREATED = "(extract(epoch FROM o.created_at) * 1000000)::bigint"
_COMMITTED = "(extract(epoch FROM pg_xact_commit_timestamp(o.xmin)) * 1000000)::bigint"
# Within a transaction by command, savepoints included: `cmin` counts on through them. Within one command as stored.
_COMMIT_ORDER = "1, o.cmin::text::bigint, o.tableoid, o.ctid"
_KEY_ORDER = "o.aggregatetype, o.aggregateid, o.key_version NULLS FIRST, o.created_at, o.cmin::text::bigint, o.ctid"
DROPPED = "rows before {day} are dropped"  # the table's comment, written with each drop


class PostgresRetained:
    """A `Retained`: one transaction that sees the table as it was at one moment."""

    def __init__(self, dsn: str, table: str, snapshot: str) -> None:
        self._dsn = dsn
        self._table = table
        self._connection = connect(dsn)
        self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        try:
            if snapshot:
                self._run(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            self._run("SET LOCAL TimeZone = 'UTC'")
            self._run("SET LOCAL bytea_output = 'hex'")
            self._run(f"CREATE TEMP TABLE {_ACCOUNTED} (id uuid, recorded_at bigint) ON COMMIT DROP")
            self.taken_at = int(self._one("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"))
            said = re.search(DROPPED.format(day=r"(\d{4}-\d\d-\d\d)"), self._comment())
            columns = self._run(f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0")
            self._columns = {str(row[0]) for row in columns}
        except BaseException:
            self._connection.close()
            raise
        self.dropped_before = _microseconds(said[1]) if said else None

    def dated(self, since: int) -> bool:
        """Whether the server keeps commit times, and did so when these rows were written."""
        if self._one("SHOW track_commit_timestamp") != "on":
            return False
        query = f"""SELECT NOT EXISTS (SELECT FROM {self._table} o
            WHERE o.created_at >= to_timestamp(%s::double precision / 1000000) AND {_COMMITTED} IS NULL)"""
        return bool(self._one(query, since))

    def account(self, ids: Iterable[tuple[str, int]]) -> None:
        """Copy them over. What is no UUID is no row of this table."""
        try:
            with self._connection.cursor() as cursor, cursor.copy(f"COPY {_ACCOUNTED} FROM STDIN") as copy:
                for row_id, recorded_at in ids:
                    if (known := _uuid(row_id)) is not None:
                        copy.write_row((known, recorded_at))
        except psycopg.Error as error:
            raise self._refused(error) from None
        self._run(f"ANALYZE {_ACCOUNTED}")

    def missing(self, since: int | None, *, dated: bool) -> Iterator[tuple[int, Row]]:
        """Through a cursor of the server's."""
        time = _COMMITTED if dated else _CREATED
        columns = ", ".join(f"o.{name}::text" if name in self._columns else "NULL" for name in COLUMNS)
        query = f"""SELECT {time}, {columns} FROM {self._table} o
            WHERE NOT EXISTS (SELECT FROM {_ACCOUNTED} a WHERE a.id = o.id) AND {time} >= %s
            ORDER BY {_COMMIT_ORDER if dated else _KEY_ORDER}"""
        try:
            with self._connection.cursor(name="missing") as cursor:
                cursor.itersize = _AT_ONCE
                cursor.execute(query, [0 if since is None else since])
                for at, *cells in cursor:
                    yield int(at), tuple([None if cell is None else cell.encode() for cell in cells])
        except psycopg.Error as error:
            raise self._refused(error) from None

    def orphans(self, since: int, limit: int) -> tuple[int, list[str]]:
        """Asked of the primary key."""
        absent = f"""FROM {_ACCOUNTED} a WHERE a.recorded_at >= %s
            AND NOT EXISTS (SELECT FROM {self._table} o WHERE o.id = a.id)"""
        rows = self._run(f"SELECT DISTINCT a.id::text {absent} ORDER BY 1 LIMIT %s", since, limit).fetchall()
        return int(self._one(f"SELECT count(DISTINCT a.id) {absent}", since)), [str(row[0]) for row in rows]

    def close(self) -> None:
        """End the transaction; the temporary table goes with it."""
        self._connection.close()

    def _comment(self) -> str:
        return str(self._one(f"SELECT coalesce(obj_description('{self._table}'::regclass), '')"))

    def _one(self, statement: str, *parameters: object) -> Any:
        row = self._run(statement, *parameters).fetchone()
        assert row is not None, "these answer one row"
        return row[0]

    def _run(self, statement: str, *parameters: object) -> psycopg.Cursor[Any]:
        try:
            return self._connection.execute(statement, parameters or None)
        except psycopg.Error as error:
            raise self._refused(error) from None

    def _refused(self, error: psycopg.Error) -> Exception:
        if isinstance(error, psycopg.OperationalError) and not error.sqlstate:
            return away(self._dsn, error)
        return CallerFault(
            "the database refuses what a repair asks of the outbox table",
            code="HW-O084",
            detail=f"{error.sqlstate or type(error).__name__}: {error.diag.message_primary or 'no more is said'}",
            hint="the role of a repair needs SELECT on the table and TEMPORARY on the database",
        )


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _microseconds(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000
