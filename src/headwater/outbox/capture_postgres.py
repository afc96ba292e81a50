"""A captured table in PostgreSQL: its key, and snapshots of its rows that are as of an exact point of the log.

A temporary replication slot gives the snapshot: what it exports holds all that was committed before its consistent
point and nothing else. It goes with its connection, as soon as the reading transaction has taken the snapshot over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import pq, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from headwater import naming
from headwater.errors import CallerFault, HeadwaterError
from headwater.outbox import table as ddl
from headwater.outbox.capture_store import KeyColumns, TableSnapshot
from headwater.outbox.connection_postgres import away, connect, connect_walsender
from headwater.outbox.load_state import Key
from headwater.outbox.pg_values import BPCHAR, WHOLE
from headwater.outbox.pgoutput import lsn_from_text
from headwater.outbox.pgoutput_changes import Cells, Table
from headwater.outbox.store_postgres import PostgresOutbox
from headwater.timeline.clock import Clock
from headwater.timeline.instant import Instant

# So that the stream and a snapshot print a value alike, whatever database or role say.
PRINTED = (
    "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c bytea_output=hex -c extra_float_digits=1"
    " -c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
)
# Those that the stream has too: stored generated ones from PostgreSQL 18 on, virtual ones never.
COLUMNS_SQL = """SELECT attname, atttypid::bigint FROM pg_attribute
  WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
    AND (attgenerated = '' OR (attgenerated = 's' AND current_setting('server_version_num')::int >= 180000))
  ORDER BY attnum"""
KEY_SQL = """SELECT a.attname, a.atttypid::bigint FROM pg_index i
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
  WHERE i.indrelid = to_regclass(%s) AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)"""
NOW_SQL = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_CURSOR = "headwater_load"


class PostgresTable(PostgresOutbox):
    """An `OutboxStore` and `CaptureStore`: one table of one database, not Headwater's own."""

    def __init__(self, dsn: str, *, database: str, table: str, clock: Clock) -> None:
        options = " ".join(filter(None, [str(conninfo_to_dict(dsn).get("options") or ""), PRINTED]))
        super().__init__(make_conninfo(dsn, options=options), database=database, table=table, clock=clock)
        self._name = table
        self._quoted = ddl.quoted(table)
        self._load_slot = naming.load_slot(database, table)

    def key(self) -> KeyColumns:
        """Asked of the catalogue."""
        with connect(self.dsn, autocommit=True) as connection:
            return key_of(connection, self.dsn, self._quoted)

    @contextmanager
    def snapshot(self, after: Key | None) -> Iterator[TableSnapshot]:
        """Read over an ordinary connection, in one transaction."""
        exporter = connect_walsender(self.dsn)
        connection: psycopg.Connection[Any] | None = None
        try:
            point, exported = self._exported(exporter.pgconn)
            connection = connect(self.dsn, autocommit=True)
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(exported)))
            exporter.close()  # the transaction has it now
            yield _PostgresSnapshot(connection, self.dsn, self._quoted, point, after)
        except psycopg.Error as error:
            raise refused(self.dsn, self._quoted, error) from None
        finally:
            exporter.close()
            if connection is not None:
                connection.close()

    def _exported(self, exporter: Any) -> tuple[int, str]:
        command = f"CREATE_REPLICATION_SLOT \"{self._load_slot}\" TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')"
        result = exporter.exec_(command.encode())
        if result.status != pq.ExecStatus.TUPLES_OK:
            why = result.error_message.decode(errors="replace").strip()
            state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
            # Its name is taken by a predecessor that the server has not missed yet; or the server goes down.
            if not state or state[:2] in ("57", "08") or state == "42710":
                raise away(self.dsn, why)
            raise CallerFault(
                f"PostgreSQL gives no snapshot of {self._quoted}",
                code="HW-O159",
                detail=why,
                hint="a load needs one free replication slot (max_replication_slots) and a role with REPLICATION",
            )
        point, exported = (result.get_value(0, column) or b"" for column in (1, 2))
        return lsn_from_text(bytes(point).decode()), bytes(exported).decode()


class _PostgresSnapshot:
    def __init__(
        self, connection: psycopg.Connection[Any], dsn: str, quoted: str, point: int, after: Key | None
    ) -> None:
        self.point = point
        self._connection = connection
        self._dsn = dsn
        self._quoted = quoted
        rows = connection.execute(COLUMNS_SQL, [quoted]).fetchall()
        names, types = tuple(str(row[0]) for row in rows), tuple(int(row[1]) for row in rows)
        schema, name = quoted.split(".")
        self.table = Table(0, schema, name, names, types, frozenset())
        key = key_of(connection, dsn, quoted)
        connection.execute(_select(names, quoted, key, after))

    def rows(self, limit: int) -> Sequence[Cells]:
        """Text, as the stream has it."""
        result = self._connection.pgconn.exec_(f"FETCH {int(limit)} FROM {_CURSOR}".encode())
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise away(self._dsn, result.error_message.decode(errors="replace"))
        width = range(result.nfields)
        value = result.get_value
        found = [[value(row, column) for column in width] for row in range(result.ntuples)]
        return [tuple([None if cell is None else bytes(cell) for cell in cells]) for cells in found]

    def now(self) -> Instant:
        """The server's wall clock, not the transaction's."""
        row = self._connection.execute(NOW_SQL).fetchone()
        assert row is not None
        return Instant(int(row[0]))


def key_of(connection: psycopg.Connection[Any], dsn: str, quoted: str) -> KeyColumns:
    """A table's primary key; raises `CallerFault` HW-O154 or HW-O155 where there is no table, or it has none."""
    try:
        there = connection.execute("SELECT relkind FROM pg_class WHERE oid = to_regclass(%s)", [quoted]).fetchone()
        rows = connection.execute(KEY_SQL, [quoted]).fetchall()
    except psycopg.Error as error:
        raise refused(dsn, quoted, error) from None
    if there is None or there[0] not in ("r", "p"):
        raise CallerFault(
            f"there is no table {quoted} to capture",
            code="HW-O154",
            detail="capturing reads a service's own table, and never makes it" if there is None else "it is no table",
            hint="mend capture.table in product.yaml, or let the service make its table first",
        )
    if not rows:
        raise CallerFault(
            f"the table {quoted} has no primary key",
            code="HW-O155",
            detail="its rows could not be told apart: neither read in order, nor found again when they change",
            hint=f"ALTER TABLE {quoted} ADD PRIMARY KEY (...)",
        )
    return KeyColumns(tuple(str(row[0]) for row in rows), tuple(int(row[1]) for row in rows))


def refused(dsn: str, quoted: str, error: psycopg.Error) -> HeadwaterError:
    """What the database says of reading a captured table."""
    if isinstance(error, psycopg.OperationalError):
        return away(dsn, error)
    return CallerFault(
        f"PostgreSQL does not let the relay read {quoted}",
        code="HW-O159",
        detail=f"{error.sqlstate or type(error).__name__}: {error.diag.message_primary or ''}",
        hint="the relay's role needs SELECT on the table, and REPLICATION",
    )


def _select(names: Sequence[str], quoted: str, key: KeyColumns, after: Key | None) -> sql.Composed:
    """The cursor over the rows behind a key, in the order of `load_state.key_order`."""
    order = [
        sql.Identifier(name) if type_ in WHOLE else sql.SQL('{}::text COLLATE "C"').format(sql.Identifier(name))
        for name, type_ in zip(key.names, key.types, strict=True)
    ]
    where: sql.Composable = sql.SQL("")
    if after is not None:
        bounds = [
            sql.Literal(int(text) if type_ in WHOLE else text.rstrip(" ") if type_ == BPCHAR else text)
            for text, type_ in zip(after, key.types, strict=True)
        ]
        where = sql.SQL(" WHERE ({}) > ({})").format(sql.SQL(", ").join(order), sql.SQL(", ").join(bounds))
    return sql.SQL("DECLARE {} NO SCROLL CURSOR FOR SELECT {} FROM {}{} ORDER BY {}").format(
        sql.SQL(_CURSOR),
        sql.SQL(", ").join(sql.Identifier(name) for name in names),
        sql.SQL(quoted),
        where,
        sql.SQL(", ").join(order),
    )
