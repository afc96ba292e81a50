"""The inbox on PostgreSQL: two tables beside the consumer's own, and an advisory lock as lease, on one connection.

Lease, effects and progress share the connection: whatever ends it ends the lease and rolls back what is open, so a
process that was cut off cannot write behind its successor's back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from headwater.errors import CallerFault, Unreachable
from headwater.outbox.connection_postgres import away, connect
from headwater.ports.inbox import Inbox, InboxTransaction, Kept, Reached
from headwater.ports.record import TopicPartition

_TABLES = """
CREATE TABLE IF NOT EXISTS headwater_inbox (
  consumer text, topic text, partition int, next_offset bigint NOT NULL, topic_identity text NOT NULL,
  PRIMARY KEY (consumer, topic, partition));
CREATE TABLE IF NOT EXISTS headwater_inbox_version (
  consumer text, topic text, identity bytea, revision bigint NOT NULL, value bytea,
  PRIMARY KEY (consumer, topic, identity));
ALTER TABLE headwater_inbox_version
  ADD COLUMN IF NOT EXISTS in_partition int, ADD COLUMN IF NOT EXISTS at_offset bigint;
CREATE INDEX IF NOT EXISTS headwater_inbox_version_place
  ON headwater_inbox_version (consumer, topic, in_partition, at_offset);
"""
_THERE = "SELECT to_regclass('headwater_inbox_version_place') IS NOT NULL"
_MAKING = 7_242_001  # advisory lock: two that make the tables at once would both fail
_LEASE = "SELECT pg_try_advisory_lock(hashtextextended('headwater inbox ' || %s || ' ' || %s, 0))"
_POSITIONS = "SELECT partition, next_offset, topic_identity FROM headwater_inbox WHERE consumer = %s AND topic = %s"
_KNOWN = """SELECT identity, revision, value FROM headwater_inbox_version
  WHERE consumer = %s AND topic = %s AND identity = ANY(%s)"""
_KEEP = """INSERT INTO headwater_inbox_version
  (consumer, topic, identity, revision, value, in_partition, at_offset) VALUES (%s, %s, %s, %s, %s, %s, %s)
  ON CONFLICT (consumer, topic, identity) DO UPDATE SET revision = excluded.revision, value = excluded.value,
  in_partition = excluded.in_partition, at_offset = excluded.at_offset"""
_FORGET = """DELETE FROM headwater_inbox_version WHERE ctid = ANY(ARRAY(SELECT ctid FROM headwater_inbox_version
  WHERE consumer = %s AND topic = %s AND in_partition = %s AND at_offset < %s LIMIT %s))"""
_REACH = """INSERT INTO headwater_inbox VALUES (%s, %s, %s, %s, %s)
  ON CONFLICT (consumer, topic, partition)
  DO UPDATE SET next_offset = excluded.next_offset, topic_identity = excluded.topic_identity"""


class PostgresInbox(Inbox):
    """An inbox of one consumer for one topic. The tables are made where they are not there."""

    def __init__(self, dsn: str, *, consumer: str, topic: str) -> None:
        self._dsn, self._consumer, self._topic = dsn, consumer, topic
        self._connection = connect(dsn)
        try:
            with self._saying():
                self._make_tables()
        except BaseException:
            self._connection.close()
            raise

    def acquire(self) -> bool:
        """Take the lease: a lock of this session."""
        with self._saying():
            row = self._connection.execute(_LEASE, [self._consumer, self._topic]).fetchone()
        return row is not None and bool(row[0])

    def positions(self) -> Mapping[TopicPartition, Reached]:
        """How far the consumer is."""
        with self._saying():
            rows = self._connection.execute(_POSITIONS, [self._consumer, self._topic]).fetchall()
        return {TopicPartition(self._topic, int(number)): Reached(int(end), str(own)) for number, end, own in rows}

    @contextmanager
    def transaction(self) -> Iterator[InboxTransaction]:
        """A transaction of the connection; what the handler raises leaves as it is, once all is rolled back."""
        with self._saying():
            yield _PostgresTransaction(self._connection, self._consumer, self._topic)

    def close(self) -> None:
        """End the session, and the lease with it: told before, since a server ends a session when it comes to it."""
        if self._connection.info.transaction_status == TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                self._connection.execute("SELECT pg_advisory_unlock_all()")
        self._connection.close()

    def _make_tables(self) -> None:
        row = self._connection.execute(_THERE).fetchone()
        if row is not None and row[0]:
            return
        try:
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MAKING])
            self._connection.execute(_TABLES)
        except psycopg.errors.InsufficientPrivilege:
            raise CallerFault(
                f"{self._consumer}: the role may not make the inbox's tables",
                code="HW-K084",
                detail="what is taken in is kept beside the consumer's own tables, in headwater_inbox and "
                "headwater_inbox_version",
                hint=f"let an owner of the schema make them once: {' '.join(_TABLES.split())}",
            ) from None

    @contextmanager
    def _saying(self) -> Iterator[None]:
        """One transaction, and what the server says in Headwater's words where trying again mends it."""
        try:
            with self._connection.transaction():
                yield
        except psycopg.errors.TransactionRollback as error:  # a deadlock, or two that cannot be put in order
            raise Unreachable(
                f"{self._consumer}: the database rolled a transaction back",
                code="HW-K085",
                detail=str(error).strip(),
                hint="nothing: it is tried again",
            ) from error
        except psycopg.OperationalError as error:
            raise away(self._dsn, error) from error


class _PostgresTransaction(InboxTransaction):
    def __init__(self, connection: psycopg.Connection[Any], consumer: str, topic: str) -> None:
        self._connection, self._name = connection, (consumer, topic)

    @property
    def effects(self) -> psycopg.Connection[Any]:
        return self._connection

    def known(self, identities: Collection[bytes]) -> Mapping[bytes, Kept]:
        rows = self._connection.execute(_KNOWN, [*self._name, list(identities)], binary=True).fetchall()
        return {
            bytes(one): Kept(int(revision), None if value is None else bytes(value)) for one, revision, value in rows
        }

    def keep(self, versions: Mapping[bytes, Kept]) -> None:
        with self._connection.cursor() as cursor:
            rows = [
                (*self._name, one, kept.revision, kept.value, *(kept.lies_at or (None, None)))
                for one, kept in versions.items()
            ]
            cursor.executemany(_KEEP, rows)

    def reach(self, places: Mapping[TopicPartition, Reached]) -> None:
        with self._connection.cursor() as cursor:
            rows = [(*self._name, at.partition, one.offset, one.topic_identity) for at, one in places.items()]
            cursor.executemany(_REACH, rows)

    def forget(self, starts: Mapping[TopicPartition, int], limit: int) -> int:
        gone = 0
        for place, offset in starts.items():
            if gone < limit:
                asked = [*self._name, place.partition, offset, limit - gone]
                gone += self._connection.execute(_FORGET, asked).rowcount
        return gone
