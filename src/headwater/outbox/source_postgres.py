"""What `apply` makes of an outbox source in PostgreSQL: table, publication, slot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from headwater import naming
from headwater.errors import CallerFault, Fault
from headwater.outbox import table as ddl
from headwater.outbox.connection_postgres import away, connect
from headwater.outbox.pgoutput import lsn_from_text
from headwater.outbox.slot_postgres import SLOT_SQL, slot_state
from headwater.outbox.store import ServerIdentity, SourceParts
from headwater.outbox.validation import TRIGGER, Validation

# Only what this package has made: the mark at the end of a body tells.
_ROUTINES_SQL = """SELECT n.nspname || '.' || p.proname, p.prosrc
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname = %s AND strpos(p.prosrc, '-- headwater ') > 0"""
_TRIGGER_SQL = "SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgname = %s AND NOT tgisinternal"

# The days, from today on, by the database's clock and in UTC, that partitions are made for.
DAYS_SQL = "SELECT ((now() AT TIME ZONE 'UTC')::date + ahead)::text FROM generate_series(0, %s) AS ahead"

_PUBLISHED = "SELECT 1 FROM pg_publication_tables WHERE pubname = %s AND schemaname || '.' || tablename = %s"


class PostgresAdmin:
    """A `SourceAdmin`: what `apply` makes in a database."""

    def __init__(self, dsn: str, *, database: str, table: str, slot: str = "") -> None:
        self._dsn = dsn
        self._connection = connect(dsn, autocommit=True)
        self._slot = slot or naming.slot(database, table)
        self._publication = slot or naming.publication(database, table)  # one name for both, as a lane's own has
        self._table = ddl.quoted(table)

    def identify(self) -> ServerIdentity:
        """Who answers."""
        row = self._one(
            "SELECT s.system_identifier::text, c.timeline_id, pg_current_wal_lsn()::text "
            "FROM pg_control_system() s, pg_control_checkpoint() c"
        )
        return ServerIdentity(str(row[0]), int(row[1]), lsn_from_text(str(row[2])))

    def look(self) -> SourceParts:
        """What is there."""
        found = self._one("SELECT to_regclass(%s) IS NOT NULL", self._table)[0]
        published = self._rows(_PUBLISHED, self._publication, self._table)
        slots = self._rows(SLOT_SQL, self._slot)
        allowed = self._rows(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = to_regclass(%s) AND conname = %s",
            self._table,
            ddl.PRODUCTS_CONSTRAINT,
        )
        return SourceParts(
            table=bool(found),
            publication=bool(published),
            slot=slot_state(*slots[0]) if slots else None,
            products=tuple(ddl.products_in(str(allowed[0][0]))) if allowed else (),
            routines=self._routines(),
            checked=bool(self._rows(_TRIGGER_SQL, self._table, TRIGGER)),
            rows=bool(found) and bool(self._one(f"SELECT EXISTS (SELECT FROM {self._table})")[0]),
        )

    def create_table(self, products: Sequence[str]) -> None:
        """The table, taking rows of these products and of those it takes already."""
        every = sorted({*products, *self.look().products})
        days = [str(row[0]) for row in self._rows(DAYS_SQL, ddl.DAYS_AHEAD)]
        made: list[str] = []
        if not self.look().table:  # a plain table of earlier versions stays as it is, and goes on working
            made = [ddl.create_table(self._table)]
            made += [statement for day in days for statement in ddl.create_partition(self._table, day)]
        with self._connection.transaction():
            for statement in (*made, *ddl.allow_products(self._table, every)):
                self._run(statement)

    def create_validation(self, validation: Validation) -> None:
        """Functions and trigger, all or none."""
        with self._connection.transaction():
            for statement in validation.statements:
                self._run(statement)

    def create_publication(self) -> None:
        """The publication of inserts, in place of one that lacks the table."""
        with self._connection.transaction():
            self._run(f'DROP PUBLICATION IF EXISTS "{self._publication}"')
            self._run(ddl.create_publication(self._table, self._publication))

    def create_slot(self) -> int:
        """The slot; its consistent point."""
        level = self._one("SHOW wal_level")[0]
        if level != "logical":
            raise CallerFault(
                f"the database's wal_level is {level}, and the relay needs logical",
                code="HW-O034",
                detail="only then does its log say what was inserted",
                hint="set wal_level = logical in postgresql.conf and restart the server",
            )
        row = self._one("SELECT lsn::text FROM pg_create_logical_replication_slot(%s, 'pgoutput')", self._slot)
        return lsn_from_text(str(row[0]))

    def drop_slot(self) -> None:
        """Drop the slot. A reader that has just gone holds it for a moment longer: waited for, five seconds at most."""
        for _ in range(50):
            if not self._rows("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", self._slot):
                break
            self._run("SELECT pg_sleep(0.1)")
        self._run("SELECT pg_drop_replication_slot(%s)", self._slot)

    def close(self) -> None:
        """Let go."""
        self._connection.close()

    def _routines(self) -> dict[str, str]:
        found = self._rows(_ROUTINES_SQL, self._table.partition(".")[0])
        return {str(name): str(source) for name, source in found}

    def _rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self._run(statement, *parameters).fetchall()

    def _run(self, statement: str, *parameters: object) -> psycopg.Cursor[Any]:
        try:
            return self._connection.execute(statement, parameters or None)
        except psycopg.OperationalError as error:
            raise away(self._dsn, error) from None
        except psycopg.Error as error:
            raise CallerFault(
                f"the database refuses to make the outbox source {self._slot}",
                code="HW-O036",
                detail=str(error).strip(),
                hint="the role of `apply` must own the schema and have REPLICATION",
            ) from None

    def _one(self, statement: str, *parameters: object) -> tuple[Any, ...]:
        rows = self._rows(statement, *parameters)
        if len(rows) != 1:
            raise Fault("the database answers otherwise than PostgreSQL does", code="HW-O035", detail=statement[:60])
        return rows[0]
