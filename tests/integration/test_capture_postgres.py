"""The suite of captured tables over a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import psycopg
import pytest

from headwater.outbox.capture_admin import PostgresTableAdmin
from headwater.outbox.capture_postgres import PostgresTable
from headwater.testing.conformance.capture_store import CapturedStore, CaptureStoreSuite
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

TABLE = "public.stock"


class PostgresWriter:
    """A `TableWriter` in a database of its own."""

    def __init__(self, stack: Stack) -> None:
        self.database = stack.fresh_database()
        self.dsn = stack.postgres_dsn(self.database)
        self.connection = psycopg.connect(self.dsn)
        self.connection.execute(f"CREATE TABLE {TABLE} (code text, number int, state text, PRIMARY KEY (code, number))")
        self.connection.commit()
        self.admin = PostgresTableAdmin(self.dsn, database=self.database, table=TABLE, whole=True)
        self.admin.log_whole_rows()
        self.admin.create_publication()
        self.admin.create_slot()

    @property
    def store(self) -> CapturedStore:
        return PostgresTable(self.dsn, database=self.database, table=TABLE, clock=SystemClock())

    def put(self, rows: Sequence[tuple[str, int, str]]) -> None:
        self.connection.cursor().executemany(f"INSERT INTO {TABLE} VALUES (%s, %s, %s)", rows)
        self.connection.commit()

    def change(self, code: str, number: int, state: str) -> None:
        self.connection.execute(f"UPDATE {TABLE} SET state = %s WHERE (code, number) = (%s, %s)", [state, code, number])
        self.connection.commit()

    def close(self) -> None:
        self.connection.close()
        self.admin.drop_slot()
        self.admin.close()


class TestPostgresTable(CaptureStoreSuite):
    @pytest.fixture
    def table(self, stack: Stack) -> Iterator[PostgresWriter]:
        made = PostgresWriter(stack)
        yield made
        made.close()
