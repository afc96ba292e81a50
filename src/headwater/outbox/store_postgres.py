"""The outbox on PostgreSQL: a walsender session of our own over psycopg's `pq` layer.

psycopg 3 has no replication API, and psycopg2's acknowledges what was only received, and loses it. So: `pq` carries the
protocol, and only `confirm` moves what the server may forget. Keepalives are answered with that position, also in the
middle of a large transaction.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import pq

from headwater import naming
from headwater.errors import CallerFault, HeadwaterError
from headwater.outbox import table as ddl
from headwater.outbox.connection_postgres import away, connect, connect_walsender
from headwater.outbox.copy_libpq import LibpqStream, refusal
from headwater.outbox.copy_stream import PUBLICATION_SKIPPED, CopyStream, StreamError
from headwater.outbox.pgoutput import KEEPALIVE, feedback, keepalive, lsn_from_text
from headwater.outbox.retained_postgres import PostgresRetained
from headwater.outbox.slot_postgres import PUBLICATION_SQL, SLOT_SQL, branches_of, slot_state
from headwater.outbox.starting import publication_dropped, slot_gone, slot_lost
from headwater.outbox.store import NewSlot, ServerIdentity, SlotState
from headwater.timeline.clock import Clock

FEEDBACK_EVERY = 1_000_000  # far below any `wal_sender_timeout`, so that a busy relay is never cut off
SLOT_PATIENCE = 30_000_000  # a walsender that decodes a large transaction notices its client's death late
SLOT_AGAIN = 50_000
_OBJECT_IN_USE = "55006"
_UNDEFINED, _CANNOT_READ = "42704", "55000"


class PostgresOutbox:
    """An `OutboxStore`: one outbox table of one database."""

    def __init__(self, dsn: str, *, database: str, table: str, clock: Clock) -> None:
        self.dsn = dsn
        self.slot = naming.slot(database, table)
        self.publication = naming.publication(database, table)
        self.table = ddl.quoted(table)
        self.clock = clock
        self.through_libpq = False  # also where the connection is not encrypted: for tests of that way

    def session(self) -> PostgresSession:
        """A new replication connection."""
        return PostgresSession(self)

    def retained(self, snapshot: str = "") -> PostgresRetained:
        """What the table holds, over an ordinary connection."""
        return PostgresRetained(self.dsn, self.table, snapshot)


class PostgresSession:
    """One walsender. Lease and slot go with it, whatever ends it: a frozen relay holds neither for longer than the
    server's `wal_sender_timeout`."""

    def __init__(self, outbox: PostgresOutbox) -> None:
        self._outbox = outbox
        self._clock = outbox.clock
        self._confirmed = 0
        self._said_at = 0
        self._beat: psycopg.Connection[Any] | None = None
        self._publication = ""
        self._looked: SlotState | None = None  # what the slot was when it was judged
        self._walsender = connect_walsender(outbox.dsn)
        self._pg = self._walsender.pgconn
        bare = not (self._pg.ssl_in_use or self._pg.used_gssapi or outbox.through_libpq)
        self._stream = CopyStream(self._pg.socket) if bare else LibpqStream(self._pg)

    def take_lease(self) -> bool:
        """An advisory lock on this very session: never queue for it, a killed waiter would stay in the queue."""
        rows = self._query(f"SELECT pg_try_advisory_lock(hashtext('{self._outbox.slot}')::bigint)")
        return rows[0][0] == "t"

    def identify(self) -> ServerIdentity:
        """Who answers."""
        system_id, timeline, written, *_ = self._query("IDENTIFY_SYSTEM")[0]
        branches: tuple[tuple[int, int], ...] = ()
        if int(timeline or 0) > 1:
            history = self._query(f"TIMELINE_HISTORY {timeline}", quiet=True)
            branches = branches_of(history[0][1] or "") if history else ()
        return ServerIdentity(str(system_id), int(timeline or 0), lsn_from_text(written or "0/0"), branches)

    def slot(self) -> SlotState | None:
        """The slot's state."""
        rows = self._query(SLOT_SQL.replace("%s", f"'{self._outbox.slot}'"))
        self._looked = slot_state(rows[0][0], rows[0][1] == "t", *rows[0][2:]) if rows else None
        return self._looked

    def published(self) -> str:
        """Which publication there is; from PostgreSQL 18 on a missing one is skipped with a warning."""
        rows = self._query(PUBLICATION_SQL.replace("%s", f"'{self._outbox.publication}'"))
        self._publication = str(rows[0][0]) if rows else ""
        return self._publication

    def renew_slot(self) -> NewSlot:
        """Made by this session itself: it alone can hand out the snapshot."""
        slot = self._outbox.slot
        deadline = self._clock.monotonic() + SLOT_PATIENCE
        while (found := self.slot()) is not None:
            if found.active and self._clock.monotonic() < deadline:  # a predecessor's walsender notices its end late
                self._clock.sleep(SLOT_AGAIN)
                continue
            self._query(f"SELECT pg_drop_replication_slot('{slot}')")
        made = self._query(f"CREATE_REPLICATION_SLOT \"{slot}\" LOGICAL pgoutput (SNAPSHOT 'export')")[0]
        return NewSlot(lsn_from_text(made[1] or "0/0"), made[2] or "")

    def start(self) -> None:
        """Stream from what the slot has acknowledged; "active" is tried again for a while."""
        slot, publication = self._outbox.slot, self._outbox.publication
        options = f"proto_version '1', publication_names '\"{publication}\"', messages 'true'"
        command = f'START_REPLICATION SLOT "{slot}" LOGICAL 0/0 ({options})'
        if self._looked is None:
            self.slot()
        deadline = self._clock.monotonic() + SLOT_PATIENCE
        while True:
            try:
                self._stream.start(command)
                self._judged_still()
                return
            except StreamError as error:
                if error.state == _UNDEFINED:  # dropped since it was looked at
                    raise slot_gone(slot) from None
                if error.state == _CANNOT_READ:  # invalidated since
                    raise slot_lost(slot, error.message) from None
                if error.state != _OBJECT_IN_USE or self._clock.monotonic() > deadline:
                    raise self._failed(error, f"the replication slot {slot} cannot be read") from None
            self._clock.sleep(SLOT_AGAIN)

    def _judged_still(self) -> None:
        """Now that this session holds the slot, nobody can move it. It must be where it was when it was judged:
        between the two it may have been dropped and made anew, and the stream would begin behind a gap."""
        row = self._ask_beside(SLOT_SQL, self._outbox.slot)
        slot = slot_state(*row) if row is not None else None
        if slot is None or self._looked is None or slot.confirmed_lsn != self._looked.confirmed_lsn:
            raise away(self._outbox.dsn, "the slot was moved while the relay started")

    def _ask_beside(self, statement: str, *parameters: object) -> tuple[Any, ...] | None:
        """Over an ordinary connection: a streaming one takes no SQL."""
        if self._beat is None:
            self._beat = connect(self._outbox.dsn, autocommit=True)
        try:
            cursor = self._beat.execute(statement, parameters)
            return cursor.fetchone() if cursor.description else None
        except psycopg.OperationalError as error:
            raise away(self._outbox.dsn, error) from None

    def read(self, limit: int, timeout: float) -> list[bytes]:
        """Raw messages; keepalives that ask are answered with what was confirmed, whatever else goes on."""
        try:
            messages = self._stream.read(limit, timeout)
        except StreamError as error:
            # Older servers end the stream where there was no publication, newer ones warn and pass the rows over.
            if error.state in (PUBLICATION_SKIPPED, _UNDEFINED):
                raise publication_dropped(self._outbox.publication) from None
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
        """A logical message of its own transaction.

        Its commit flushes the server's log; a message outside any transaction waits there for the next flush.
        """
        self._ask_beside("SELECT pg_logical_emit_message(true, 'headwater.heartbeat', '')")
        row = self._ask_beside(PUBLICATION_SQL, self._outbox.publication)

        if row is None or (self._publication and row[0] != self._publication):
            raise publication_dropped(self._outbox.publication)

    def close(self) -> None:
        """End the session; the server frees slot and lease."""
        if self._beat is not None:
            self._beat.close()
            self._beat = None
        self._stream.close()
        self._walsender.close()

    def _say(self, *, reply: bool = False) -> None:
        try:
            self._stream.send(feedback(self._confirmed, self._clock.now(), reply=reply))
        except StreamError as error:
            raise away(self._outbox.dsn, error.message) from None
        self._said_at = self._clock.monotonic()

    def _query(self, statement: str, *, quiet: bool = False) -> list[list[str | None]]:
        try:
            result = self._pg.exec_(statement.encode())
        except psycopg.Error as error:
            raise away(self._outbox.dsn, error) from None
        if result.status != pq.ExecStatus.TUPLES_OK:
            if quiet:
                return []
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
