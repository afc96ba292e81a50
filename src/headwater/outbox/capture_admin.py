"""What `apply` makes for a captured table in PostgreSQL: the publication, the slot, and whole old rows in the log.

The table itself is the service's. The one thing that may be changed of it is its replica identity, and only where the
contract does not say `old_rows: as-is`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headwater.errors import CallerFault
from headwater.outbox import table as ddl
from headwater.outbox.capture_postgres import key_of
from headwater.outbox.source_postgres import PostgresAdmin
from headwater.outbox.store import SourceParts

_IDENTITY_SQL = "SELECT relreplident FROM pg_class WHERE oid = to_regclass(%s)"
_VIRTUAL_SQL = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attgenerated = 'v' LIMIT 1"
_PUBLISHED_SQL = """SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate
    AND coalesce(to_jsonb(p) ->> 'pubgencols', 's') = 's'
  FROM pg_publication p JOIN pg_publication_tables t USING (pubname)
  WHERE pubname = %s AND (quote_ident(t.schemaname) || '.' || quote_ident(t.tablename))::regclass = to_regclass(%s)"""


class PostgresTableAdmin(PostgresAdmin):
    """A `TableAdmin`. `whole` says that the log is to carry whole old rows."""

    def __init__(self, dsn: str, *, database: str, table: str, whole: bool) -> None:
        super().__init__(dsn, database=database, table=table)
        self._whole = whole

    def look(self) -> SourceParts:
        """What is there; raises `CallerFault` where the table cannot be captured as it is."""
        key_of(self._connection, self._dsn, self._table)
        identity = str(self._one(_IDENTITY_SQL, self._table)[0])
        if not self._whole and identity not in ("d", "f"):
            raise CallerFault(
                f"the replica identity of {self._table} is neither its primary key nor the whole row",
                code="HW-O155",
                detail="the log would not say which row an update or a delete was about",
                hint=f"ALTER TABLE {self._table} REPLICA IDENTITY DEFAULT, or leave old_rows out of the contract",
            )
        virtual = self._rows(_VIRTUAL_SQL, self._table) if self._whole else []
        if virtual:
            raise CallerFault(
                f"{self._table} has the virtual column {virtual[0][0]}, and whole old rows of it cannot be logged",
                code="HW-O155",
                detail="PostgreSQL would refuse every update and delete of the service",
                hint="say old_rows: as-is in the contract",
            )
        published = self._rows(_PUBLISHED_SQL, self._publication, self._table)
        return replace(
            super().look(),
            publication=bool(published and published[0][0]),
            rows=False,
            whole_rows=not self._whole or identity == "f",
        )

    def create_table(self, products: Sequence[str]) -> None:
        """Nothing: the table is the service's."""

    def create_publication(self) -> None:
        """The publication of all changes, in place of one that sends fewer; a partitioned table sends as one."""
        publish = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
        if int(self._one("SHOW server_version_num")[0]) >= 180_000:
            # Else the server refuses updates of a table whose whole rows are logged: their old values would be missing.
            publish += ", publish_generated_columns = stored"
        with self._connection.transaction():
            self._run(f'DROP PUBLICATION IF EXISTS "{self._publication}"')
            self._run(f'CREATE PUBLICATION "{self._publication}" FOR TABLE {ddl.quoted(self._table)} WITH ({publish})')

    def log_whole_rows(self) -> None:
        """REPLICA IDENTITY FULL; of a partitioned table each partition has its own."""
        with self._connection.transaction():
            self._run(f"ALTER TABLE {self._table} REPLICA IDENTITY FULL")
            for (leaf,) in self._rows(
                "SELECT relid::regclass::text FROM pg_partition_tree(%s) WHERE isleaf", self._table
            ):
                self._run(f"ALTER TABLE {leaf} REPLICA IDENTITY FULL")
