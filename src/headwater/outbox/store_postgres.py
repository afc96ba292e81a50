"""The outbox on PostgreSQL: a walsender session of our own over psycopg's `pq` layer.

psycopg 3 has no replication API, and psycopg2's acknowledges what was only received, and loses it. So: `pq` carries the
protocol, and only `confirm` moves what the server may forget. Keepalives are answered with that position, also in the
middle of a large transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from headwater import naming
from headwater.errors import CallerFault, HeadwaterError, Unreachable
from headwater.outbox.copy_libpq import LibpqStream, refusal
from headwater.outbox.copy_stream import CopyStream, StreamError
from headwater.outbox.pgoutput import KEEPALIVE, feedback, keepalive, lsn_from_text
from headwater.outbox.store import ServerIdentity, SlotState
from headwater.timeline.clock import Clock

CONNECT_SECONDS = 5
FEEDBACK_EVERY = 1_000_000  # far below any `wal_sender_timeout`, so that a busy relay is never cut off
SLOT_PATIENCE = 30_000_000  # a walsender that decodes a large transaction notices its client's death late
SLOT_AGAIN = 50_000
_OBJECT_IN_USE = "55006"
SLOT_SQL = """SELECT confirmed_flush_lsn, active, coalesce(wal_status, ''),
  to_jsonb(s) ->> 'invalidation_reason' FROM pg_replication_slots s WHERE slot_name = %s"""


def connect(dsn: str, *, autocommit: bool = False) -> psycopg.Connection[Any]:
    """An ordinary connection; raises `Unreachable` HW-O032 with the address, never the password."""
    try:
        return psycopg.connect(dsn, autocommit=autocommit, connect_timeout=CONNECT_SECONDS)
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


class PostgresOutbox:
    """An `OutboxStore`: one outbox table of one database."""

    def __init__(self, dsn: str, *, database: str, table: str, clock: Clock) -> None:
        self.dsn = dsn
        self.slot = naming.slot(database, table)
        self.publication = naming.publication(database, table)
        self.clock = clock
        self.through_libpq = False  # also where the connection is not encrypted: for tests of that way

    def session(self) -> PostgresSession:
        """A new replication connection."""
        return PostgresSession(self)


class PostgresSession:
    """One walsender. Lease and slot go with it, whatever ends it: a frozen relay holds neither for longer than the
    server's `wal_sender_timeout`."""

    def __init__(self, outbox: PostgresOutbox) -> None:
        self._outbox = outbox
        self._clock = outbox.clock
        self._confirmed = 0
        self._said_at = 0
        self._beat: psycopg.Connection[Any] | None = None
        conninfo = make_conninfo(
            outbox.dsn, replication="database", connect_timeout=CONNECT_SECONDS, client_encoding="UTF8"
        )
        self._pg = pq.PGconn.connect(conninfo.encode())
        if self._pg.status != pq.ConnStatus.OK:
            error = self._pg.error_message.decode(errors="replace")
            self._pg.finish()
            raise away(outbox.dsn, error)
        bare = not (self._pg.ssl_in_use or self._pg.used_gssapi or outbox.through_libpq)
        self._stream = CopyStream(self._pg.socket) if bare else LibpqStream(self._pg)

    def take_lease(self) -> bool:
        """An advisory lock on this very session: never queue for it, a killed waiter would stay in the queue."""
        rows = self._query(f"SELECT pg_try_advisory_lock(hashtext('{self._outbox.slot}')::bigint)")
        return rows[0][0] == "t"

    def identify(self) -> ServerIdentity:
        """Who answers."""
        system_id, timeline, written, *_ = self._query("IDENTIFY_SYSTEM")[0]
        return ServerIdentity(str(system_id), int(timeline or 0), lsn_from_text(written or "0/0"))

    def slot(self) -> SlotState | None:
        """The slot's state."""
        rows = self._query(SLOT_SQL.replace("%s", f"'{self._outbox.slot}'"))
        return slot_state(rows[0][0], rows[0][1] == "t", rows[0][2] or "", rows[0][3]) if rows else None

    def published(self) -> bool:
        """Whether the publication is there; from PostgreSQL 18 on a missing one is skipped with a warning."""
        # Not pg_publication_tables: it opens the table in this very session, which then decodes rows from before an
        # ALTER TABLE by the columns of today, and ends the stream where the type of one has changed in a partition.
        tables = "pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid"
        return bool(self._query(f"SELECT 1 FROM {tables} WHERE p.pubname = '{self._outbox.publication}'"))

    def start(self) -> None:
        """Stream from what the slot has acknowledged; "active" is tried again for a while."""
        slot, publication = self._outbox.slot, self._outbox.publication
        options = f"proto_version '1', publication_names '\"{publication}\"', messages 'true'"
        command = f'START_REPLICATION SLOT "{slot}" LOGICAL 0/0 ({options})'
        deadline = self._clock.monotonic() + SLOT_PATIENCE
        while True:
            try:
                self._stream.start(command)
                return
            except StreamError as error:
                if error.state != _OBJECT_IN_USE or self._clock.monotonic() > deadline:
                    raise self._failed(error, f"the replication slot {slot} cannot be read") from None
            self._clock.sleep(SLOT_AGAIN)

    def read(self, limit: int, timeout: float) -> list[bytes]:
        """Raw messages; keepalives that ask are answered with what was confirmed, whatever else goes on."""
        try:
            messages = self._stream.read(limit, timeout)
        except StreamError as error:
            raise self._failed(error, "the server ended the replication stream") from None
        for message in messages:
            if message[0] == KEEPALIVE and keepalive(message).reply:
                self._say()
        if self._clock.monotonic() - self._said_at >= FEEDBACK_EVERY:
            self._say()
        return messages

    def confirm(self, lsn: int) -> None:
        """Acknowledge: the one place that moves what the server may forget."""
        assert lsn >= self._confirmed, "an acknowledged position never goes back"
        self._confirmed = lsn
        self._say()

    def probe(self) -> None:
        """Ask for a keepalive."""
        self._say(reply=True)

    def heartbeat(self) -> None:
        """A logical message of its own transaction, over an ordinary connection: a streaming one takes no SQL.

        Its commit flushes the server's log; a message outside any transaction waits there for the next flush.
        """
        if self._beat is None:
            self._beat = connect(self._outbox.dsn, autocommit=True)
        try:
            self._beat.execute("SELECT pg_logical_emit_message(true, 'headwater.heartbeat', '')")
            query = "SELECT count(*) FROM pg_publication_tables WHERE pubname = %s"
            row = self._beat.execute(query, [self._outbox.publication]).fetchone()
        except psycopg.OperationalError as error:
            raise away(self._outbox.dsn, error) from None

        if row is None or not row[0]:
            raise CallerFault(
                f"the publication {self._outbox.publication} was dropped while the relay read",
                code="HW-O037",
                detail="rows committed since then were not sent",
                hint="headwater apply; then compare the outbox table with the topics by row id",
            )

    def close(self) -> None:
        """End the session; the server frees slot and lease."""
        if self._beat is not None:
            self._beat.close()
            self._beat = None
        self._stream.close()
        self._pg.finish()

    def _say(self, *, reply: bool = False) -> None:
        try:
            self._stream.send(feedback(self._confirmed, self._clock.now(), reply=reply))
        except StreamError as error:
            raise away(self._outbox.dsn, error.message) from None
        self._said_at = self._clock.monotonic()

    def _query(self, statement: str) -> list[list[str | None]]:
        try:
            result = self._pg.exec_(statement.encode())
        except psycopg.Error as error:
            raise away(self._outbox.dsn, error) from None
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise self._failed(refusal(result), "the database refuses what the relay asks")
        rows = range(result.ntuples)
        columns = range(result.nfields)
        values = [[result.get_value(row, column) for column in columns] for row in rows]
        return [[None if value is None else bytes(value).decode() for value in row] for row in values]

    def _failed(self, error: StreamError, what: str) -> HeadwaterError:
        state, why = error.state, error.message
        # Class 57 and 08: the server goes down or cuts the connection; 55006: a predecessor still holds the slot.
        if not state or state[:2] in ("57", "08") or state == _OBJECT_IN_USE:
            return away(self._outbox.dsn, f"{what}: {why}")
        return CallerFault(
            what,
            code="HW-O033",
            detail=why,
            hint="headwater apply; the relay's role needs REPLICATION and SELECT on the outbox table",
        )


def slot_state(confirmed: str | None, active: bool, wal_status: str, invalidated: str | None) -> SlotState:
    """A row of `SLOT_SQL` as a value."""
    lost = invalidated or ("wal_status is lost" if wal_status == "lost" else "")
    return SlotState(lsn_from_text(confirmed or "0/0"), active, lost)


def away(dsn: str, error: object) -> Unreachable:
    """The one message for a database that does not answer; the address, never the password."""
    settings = conninfo_to_dict(dsn)
    address = f"{settings.get('host', 'localhost')}:{settings.get('port', 5432)}/{settings.get('dbname', '')}"
    return Unreachable(
        f"PostgreSQL does not answer at {address}",
        code="HW-O032",
        detail=str(error).strip(),
        hint="start it (on one machine: headwater up), or mend the address in mesh.yaml; then call again",
    )
