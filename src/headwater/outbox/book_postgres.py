"""A `Book` and `Log` over an outbox table in PostgreSQL: one repeatable-read snapshot, digested by the server."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import psycopg

from headwater import naming
from headwater.errors import CallerFault
from headwater.outbox import table as tables
from headwater.outbox.behind import row_ids
from headwater.outbox.book import BUCKETS, Tally, Window
from headwater.outbox.connection_postgres import away, connect
from headwater.outbox.pgoutput import lsn_from_text
from headwater.outbox.position import Position
from headwater.timeline.instant import Instant

_HASH = "('x' || substr(md5(id::text), 1, 15))::bit(60)::bigint"
_HEAD = b"w" + bytes(24)  # what stands before a message where it is streamed
_CHUNK = 2_000


class PostgresBook:
    """The rows of one table. It holds a snapshot until it is closed, as a dump does."""

    def __init__(self, dsn: str, *, database: str, table: str) -> None:
        self._dsn, self._table = dsn, tables.quoted(table)
        self._slot, self._publication = naming.slot(database, table), naming.publication(database, table)
        self._then, self._now = connect(dsn), connect(dsn, autocommit=True)
        with self._saying():
            self._then.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._then.execute("SELECT 1")  # the snapshot is taken here
            (lsn,) = self._one(self._now, "SELECT pg_current_wal_insert_lsn()::text")
        self._lsn = lsn_from_text(lsn)

    def totals(self, window: Window) -> Mapping[int, Tally]:
        """The rows of a window, by bucket."""
        where, values = _where(window)
        query = (
            f"SELECT mod(h, {BUCKETS}), count(*), sum(h) "
            f"FROM (SELECT {_HASH} AS h FROM {self._table} WHERE {where}) AS hashed GROUP BY 1"
        )
        with self._saying():
            found = self._then.execute(query, values).fetchall()
        return {int(bucket): Tally(int(count), int(total)) for bucket, count, total in found}

    def known(self, ids: Sequence[str], window: Window) -> Mapping[str, Literal["in", "out"]]:
        """Which of these ids are rows; what the snapshot does not have may be newer than it."""
        where, values = _where(window)
        query = f"SELECT id::text, bool_or({where}) FROM {self._table} WHERE id = ANY(%s::uuid[]) GROUP BY 1"
        asked = [row_id for row_id in ids if _is_uuid(row_id)]
        found: dict[str, Literal["in", "out"]] = {}
        with self._saying():
            for row_id, inside in self._then.execute(query, [*values, asked]):
                found[row_id] = "in" if inside else "out"
            if newer := [row_id for row_id in asked if row_id not in found]:
                query = f"SELECT DISTINCT id::text FROM {self._table} WHERE id = ANY(%s::uuid[])"
                for (row_id,) in self._now.execute(query, [newer]):
                    found[row_id] = "out"
        return found

    def ids(self, window: Window, buckets: Collection[int]) -> Iterator[str]:
        """The ids of the window's rows in these buckets, a part at a time."""
        where, values = _where(window)
        query = f"SELECT id::text FROM {self._table} WHERE {where} AND mod({_HASH}, {BUCKETS}) = ANY(%s)"
        with self._saying(), self._then.cursor("reconciled") as cursor:
            cursor.itersize = _CHUNK
            for (row_id,) in cursor.execute(query, [*values, list(buckets)]):
                yield row_id

    def oldest(self) -> Instant | None:
        """When the oldest row was created."""
        with self._saying():
            (moment,) = self._one(self._then, f"SELECT min(created_at) FROM {self._table}")
        return None if moment is None else Instant.from_datetime(moment)

    def written(self) -> int:
        """Where the log ended after the snapshot was taken."""
        return self._lsn

    def passed(self, position: Position) -> bool:
        """Whether the position lies behind the snapshot."""
        return position.end_lsn >= self._lsn

    def waiting(self, position: Position) -> Iterator[str] | None:
        """What the slot still holds behind the position, read without moving it; None while a relay reads it."""
        query = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
        with self._saying():
            found = self._now.execute(query, [self._slot]).fetchone()
        return None if found is None or found[0] else row_ids(position, self._table, self._kept())

    def _kept(self) -> Iterator[list[bytes]]:
        query = (
            "SELECT data FROM pg_logical_slot_peek_binary_changes(%s, NULL, NULL, "
            "'proto_version', '1', 'publication_names', %s, 'messages', 'true')"
        )
        with self._saying(), self._now.transaction(), self._now.cursor("waiting") as cursor:
            cursor.itersize = _CHUNK
            cursor.execute(query, [self._slot, f'"{self._publication}"'])
            while chunk := cursor.fetchmany(_CHUNK):
                yield [_HEAD + bytes(data) for (data,) in chunk]

    def close(self) -> None:
        """Let go of snapshot and connections."""
        self._then.close()
        self._now.close()

    @contextmanager
    def _saying(self) -> Iterator[None]:
        try:
            yield
        except psycopg.errors.UndefinedTable:
            raise CallerFault(
                f"the database has no table {self._table}", code="HW-O113", hint="headwater apply"
            ) from None
        except psycopg.OperationalError as error:
            raise away(self._dsn, error) from None
        except psycopg.Error as error:
            raise CallerFault(
                f"the database refuses what reconcile asks ({error.sqlstate or type(error).__name__})",
                code="HW-O113",
                detail=str(error).strip().splitlines()[0],
                hint="its role needs SELECT on the outbox table, and REPLICATION to look into the slot",
            ) from None

    def _one(self, connection: psycopg.Connection[Any], query: str) -> Any:
        return connection.execute(query).fetchone()


def _where(window: Window) -> tuple[str, list[object]]:
    conditions, values = ["true"], []
    for condition, moment in (("created_at >= %s", window.since), ("created_at < %s", window.until)):
        if moment is not None:
            conditions.append(condition)
            values.append(moment.to_datetime())
    return " AND ".join(conditions), list[object](values)


def _is_uuid(text: str) -> bool:
    return len(text) == 36 and text.count("-") == 4 and text.replace("-", "").isalnum() and _hexadecimal(text)


def _hexadecimal(text: str) -> bool:
    try:
        int(text.replace("-", ""), 16)
    except ValueError:
        return False
    return True
