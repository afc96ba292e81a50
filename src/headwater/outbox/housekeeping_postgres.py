"""Housekeeping of an outbox table in PostgreSQL.

No statement here makes a writer wait for longer than `LOCK_MILLISECONDS`: what is not granted by then is given up, and
tried again later. A partition is made beside the table and attached, which no INSERT waits for. One is dropped in one
transaction that first keeps writers off that partition alone; the log's end is read then, so that every row in it was
committed before; and only when the relay has published past that point, the partition goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg

from headwater import naming
from headwater.errors import CallerFault
from headwater.outbox import table as ddl
from headwater.outbox.connection_postgres import away, connect
from headwater.outbox.housekeeping import Outcome, Partitions, Pulse
from headwater.outbox.pgoutput import lsn_from_text
from headwater.outbox.retained_postgres import DROPPED
from headwater.outbox.slot_postgres import SLOT_SQL, slot_state
from headwater.outbox.source_postgres import DAYS_SQL
from headwater.timeline.clock import Clock

LOCK_MILLISECONDS = 200
TRIES, TRY_AGAIN = 5, 300_000
PUBLISHED_PATIENCE, PUBLISHED_AGAIN = 15_000_000, 250_000  # above the relay's heartbeat: an idle one gets there too
LOOK_MILLISECONDS = 2_000
_DAY = re.compile(r"\d{8}")
_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_WAITING = """SELECT count(*), (extract(epoch FROM min(created_at)) * 1000000)::bigint FROM {table}
  WHERE created_at > to_timestamp(%s::double precision / 1000000)"""
_CHILDREN = """SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = to_regclass(%s)"""
_KIND = "SELECT relkind = 'p', pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass(%s)"


class PostgresHousekeeper:
    """A `Housekeeper` over an ordinary connection."""

    def __init__(self, dsn: str, *, database: str, table: str, clock: Clock) -> None:
        self._dsn = dsn
        self._clock = clock
        self._slot = naming.slot(database, table)
        self._table = ddl.quoted(table)
        self._connection = connect(dsn, autocommit=True)
        self._run("SET TimeZone = 'UTC'")
        self._run(f"SET lock_timeout = {LOCK_MILLISECONDS}")

    def look(self, published_at: int) -> Pulse:
        """Rows created since; the index over `created_at` makes that cheap, a table without one may be slow."""
        slots = self._rows(SLOT_SQL, self._slot)
        waiting: tuple[Any, Any] = (None, None)
        self._run(f"SET statement_timeout = {LOOK_MILLISECONDS}")
        try:
            waiting = self._connection.execute(_WAITING.format(table=self._table), [published_at]).fetchone() or waiting
        except psycopg.errors.QueryCanceled:
            pass
        except psycopg.Error as error:
            raise self._refused(error) from None
        finally:
            self._run("SET statement_timeout = 0")
        now = int(self._rows(_NOW)[0][0])
        partitions = len(self._rows(_CHILDREN, self._table))
        return Pulse(now, slot_state(*slots[0]) if slots else None, waiting[0], waiting[1], partitions)

    def partitions(self, retention: int) -> Partitions:
        """By the names that this housekeeping gives; others are left alone."""
        kind = self._rows(_KIND, self._table)
        if not kind or not kind[0][0]:
            raise CallerFault(
                f"the outbox table {self._table} has no partitions",
                code="HW-O086",
                detail="it was made by an earlier version, or by hand; old rows stay in it",
                hint="cut it by day as docs/concepts/relay.md has it, at a quiet moment",
            )
        if not kind[0][1]:
            raise CallerFault(
                f"the relay's role does not own the outbox table {self._table}",
                code="HW-O087",
                detail="so it cannot make partitions ahead, nor drop old ones",
                hint="give it the owner's role, or call headwater relay tidy as the owner, from time to time",
            )
        prefix = self._table.rpartition(".")[2] + "_"
        names = [str(row[0]).removeprefix(prefix) for row in self._rows(_CHILDREN, self._table)]
        there = sorted(f"{name[:4]}-{name[4:6]}-{name[6:]}" for name in names if _DAY.fullmatch(name))
        wanted = tuple(str(row[0]) for row in self._rows(DAYS_SQL, ddl.DAYS_AHEAD))
        oldest = int(self._rows(_NOW)[0][0]) - retention
        return Partitions(tuple(there), wanted, tuple(day for day in there if _end_of(day) <= oldest))

    def make(self, day: str) -> Outcome:
        """Made beside, and attached."""
        for _ in range(TRIES):
            try:
                with self._connection.transaction():
                    for statement in ddl.create_partition(self._table, day):
                        self._connection.execute(statement)
                return "done"
            except psycopg.errors.LockNotAvailable:
                self._clock.sleep(TRY_AGAIN)
            except psycopg.errors.CheckViolation:
                return "rows of it are in the partition for the rest"
            except psycopg.Error as error:
                raise self._refused(error) from None
        return "busy"

    def drop(self, day: str, published: Callable[[], int]) -> Outcome:
        """See the head of this module for why nothing unpublished can go."""
        partition = naming.outbox_partition(self._table, day)
        for _ in range(TRIES):
            try:
                with self._connection.transaction():
                    self._connection.execute(f"LOCK TABLE {partition} IN SHARE ROW EXCLUSIVE MODE")
                    row = self._connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
                    assert row is not None, "the server knows where its log ends"
                    if not self._reached(lsn_from_text(row[0]), published):
                        return "not published yet"
                    self._connection.execute(f"ALTER TABLE {self._table} DETACH PARTITION {partition}")
                    self._connection.execute(f"DROP TABLE {partition}")
                    comment = DROPPED.format(day=_day_after(day))
                    self._connection.execute(f"COMMENT ON TABLE {self._table} IS '{comment}'")
                return "done"
            except psycopg.errors.LockNotAvailable:
                self._clock.sleep(TRY_AGAIN)
            except psycopg.Error as error:
                raise self._refused(error) from None
        return "busy"

    def close(self) -> None:
        """Let go."""
        self._connection.close()

    def _reached(self, end: int, published: Callable[[], int]) -> bool:
        """Whether position and slot are both past `end`, or come there soon."""
        deadline = self._clock.monotonic() + PUBLISHED_PATIENCE
        while True:
            slots = self._rows(SLOT_SQL, self._slot)
            slot = slot_state(*slots[0]) if slots else None
            if slot is None or slot.lost:
                return False
            if slot.confirmed_lsn >= end and published() >= end:
                return True
            if self._clock.monotonic() > deadline or not slot.active:
                return False
            self._clock.sleep(PUBLISHED_AGAIN)

    def _rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self._run(statement, *parameters).fetchall()

    def _run(self, statement: str, *parameters: object) -> psycopg.Cursor[Any]:
        try:
            return self._connection.execute(statement, parameters or None)
        except psycopg.Error as error:
            raise self._refused(error) from None

    def _refused(self, error: psycopg.Error) -> Exception:
        if isinstance(error, psycopg.OperationalError) and not error.sqlstate:
            return away(self._dsn, error)
        return CallerFault(
            f"the database refuses what housekeeping asks of {self._table}",
            code="HW-O088",
            detail=f"{error.sqlstate or type(error).__name__}: {error.diag.message_primary or 'no more is said'}",
            hint="the role needs SELECT on the table; to make and drop partitions it must own it",
        )


def _end_of(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() + 86_400) * 1_000_000


def _day_after(day: str) -> str:
    return datetime.fromtimestamp(_end_of(day) // 1_000_000, UTC).date().isoformat()
