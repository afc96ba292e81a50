"""The suite of outbox stores over PostgreSQL, and what `apply` makes there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import psycopg
import pytest

from headwater.errors import CallerFault, Fault, Unreachable
from headwater.outbox import table as ddl
from headwater.outbox.connection_postgres import writing
from headwater.outbox.event import OutboxEvent
from headwater.outbox.source_postgres import PostgresAdmin
from headwater.outbox.store_postgres import PostgresOutbox
from headwater.testing.conformance.outbox_store import OutboxStoreSuite, OutboxWriter, event, read_transactions, started
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

TABLE = "public.outbox"


class PostgresWriter:
    """A service's connection to a new database with its outbox."""

    def __init__(self, dsn: str, database: str) -> None:
        self.dsn = dsn
        self.outbox = PostgresOutbox(dsn, database=database, table=TABLE, clock=SystemClock())
        self.admin = PostgresAdmin(dsn, database=database, table=TABLE)
        self.admin.create_table(["orders.placed"])
        self.admin.create_publication()
        self.admin.create_slot()
        self.connection = psycopg.connect(dsn)

    @property
    def store(self) -> PostgresOutbox:
        return self.outbox

    def commit(self, rows: Sequence[OutboxEvent]) -> None:
        self._write(rows)
        self.connection.commit()

    def roll_back(self, rows: Sequence[OutboxEvent]) -> None:
        self._write(rows)
        self.connection.rollback()

    def emit(self, messages: Sequence[tuple[str, bytes]]) -> None:
        for prefix, content in messages:
            self.connection.execute("SELECT pg_logical_emit_message(true, %s, %s::bytea)", [prefix, content])
        self.connection.commit()

    def add_column(self, name: str) -> None:
        self.connection.execute(f"ALTER TABLE {TABLE} ADD COLUMN {name} text")
        self.connection.commit()

    def close(self) -> None:
        self.connection.close()
        with psycopg.connect(self.dsn, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = %s",
                [self.outbox.slot],
            )
        self.admin.drop_slot()
        self.admin.close()

    def _write(self, rows: Sequence[OutboxEvent]) -> None:
        for row in rows:
            self.connection.execute(ddl.insert(TABLE), row.values())


@pytest.fixture
def writer(stack: Stack) -> Iterator[PostgresWriter]:
    database = stack.fresh_database()
    made = PostgresWriter(stack.postgres_dsn(database), database)
    yield made
    made.close()


class TestPostgresOutbox(OutboxStoreSuite):
    @pytest.fixture
    def writer(self, writer: PostgresWriter) -> OutboxWriter:
        return writer


class TestPostgresOutboxThroughLibpq(OutboxStoreSuite):
    """As it is read where the connection is encrypted."""

    @pytest.fixture
    def writer(self, writer: PostgresWriter) -> OutboxWriter:
        writer.outbox.through_libpq = True
        return writer


def test_apply_sees_what_it_has_made(writer: PostgresWriter) -> None:
    parts = writer.admin.look()
    assert parts.table and parts.publication and parts.slot is not None and not parts.rows
    assert parts.products == ("orders.placed",)
    writer.admin.create_table(["orders.cancelled"])
    assert writer.admin.look().products == ("orders.cancelled", "orders.placed")
    writer.commit([event("1")])
    assert writer.admin.look().rows


@pytest.mark.parametrize(
    "change",
    [
        {"aggregatetype": "nobody.knows"},
        {"kind": "delete"},
        {"revision": 0},
        {"payload": None},
        {"payload": "[1]"},
        {"payload_avro": b"\xc3\x01"},
        {"payload": '{"a": "' + "x" * 900_000 + '"}'},
    ],
)
def test_the_database_refuses_what_can_be_refused_before_the_commit(
    writer: PostgresWriter, change: dict[str, object]
) -> None:
    row = event("1")
    fields = {name: getattr(row, name) for name in OutboxEvent.__slots__} | change
    with pytest.raises(psycopg.errors.CheckViolation):
        writer.commit([OutboxEvent(**fields)])  # type: ignore[arg-type]
    writer.connection.rollback()


def test_interleaved_and_savepoint_transactions_come_whole_in_commit_order(writer: PostgresWriter) -> None:
    session = started(writer.store)
    with psycopg.connect(writer.dsn) as other:
        other.execute(ddl.insert(TABLE), event("1").values())
        writer.commit([event("2")])
        other.execute("SAVEPOINT a")
        other.execute(ddl.insert(TABLE), event("3").values())
        other.execute("ROLLBACK TO SAVEPOINT a")
        writer.commit([event("4")])
        other.execute(ddl.insert(TABLE), event("5").values())
        other.commit()
    found = [[row[2] for row in rows] for _, rows, _ in read_transactions(session, 3)]
    assert found == [[b"2"], [b"4"], [b"1", b"5"]]
    session.close()


def test_a_killed_walsender_is_an_unreachable_database(writer: PostgresWriter) -> None:
    session = started(writer.store)
    with psycopg.connect(writer.dsn, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'walsender'"
        )
    with pytest.raises(Unreachable):
        for _ in range(100):
            session.read(10, 0.05)
    session.close()


def test_a_database_that_is_down_is_one_message_without_the_password() -> None:
    outbox = PostgresOutbox(
        "postgresql://someone:secret@127.0.0.1:9/nothing", database="nothing", table=TABLE, clock=SystemClock()
    )
    with pytest.raises(Unreachable) as caught:
        outbox.session()
    assert "127.0.0.1:9/nothing" in caught.value.message and "secret" not in caught.value.render()


def test_a_row_for_a_table_that_was_never_made_is_told_and_no_value_of_a_row_is(stack: Stack) -> None:
    dsn = stack.postgres_dsn(stack.fresh_database())
    with pytest.raises(CallerFault) as raised, writing(dsn) as connection:
        connection.execute("INSERT INTO outbox VALUES (1)")
    assert (raised.value.code, raised.value.hint) == ("HW-O053", "headwater apply")
    with pytest.raises(CallerFault) as raised, writing(dsn) as connection:
        connection.execute("SELECT 'secret'::uuid")
    assert raised.value.code == "HW-O054" and "secret" not in raised.value.render()


def test_a_slot_that_was_made_anew_between_the_look_and_the_start_is_not_streamed(writer: PostgresWriter) -> None:
    session = writer.store.session()
    assert session.take_lease() and session.slot() is not None
    writer.commit([event("1")])
    writer.admin.drop_slot()
    writer.admin.create_slot()
    with pytest.raises(Unreachable):
        session.start()
    session.close()


def test_a_slot_that_goes_between_the_look_and_the_start_is_named(writer: PostgresWriter) -> None:
    session = writer.store.session()
    assert session.slot() is not None
    writer.admin.drop_slot()
    with pytest.raises(Fault) as caught:
        session.start()
    assert caught.value.code == "HW-O080"
    session.close()
    writer.admin.create_slot()


def test_a_renewed_slots_snapshot_ends_where_its_stream_begins(writer: PostgresWriter) -> None:
    """No gap and no repeat: each row is in the snapshot or in the stream, whatever is committed meanwhile."""
    session = writer.store.session()
    assert session.take_lease()
    writer.commit([event("1")])
    slot = session.renew_slot()
    retained = writer.store.retained(slot.snapshot)
    writer.commit([event("2"), event("3")])
    assert retained.dated(0)
    retained.account([])
    assert [row[2] for _, row in retained.missing(0, dated=True)] == [b"1"]
    assert [row[2] for _, row in retained.missing(None, dated=False)] == [b"1"]
    retained.account([(event("1").id, 5), (event("9").id, 7), ("no uuid", 8)])
    assert list(retained.missing(0, dated=True)) == []
    assert retained.orphans(6, 10) == (1, [event("9").id])
    retained.close()
    assert session.slot() is not None
    session.start()
    ((_, rows, _),) = read_transactions(session, 1)
    assert [row[2] for row in rows] == [b"2", b"3"]
    session.close()


def test_rows_of_savepoints_and_many_statements_are_retained_in_their_order(writer: PostgresWriter) -> None:
    with psycopg.connect(writer.dsn) as other:
        other.execute(ddl.insert(TABLE), event("1").values())
        for number in (2, 3):
            with other.transaction():
                other.execute(ddl.insert(TABLE), event(str(number)).values())
        writer.commit([event("7")])
        other.execute(ddl.insert(TABLE), event("4").values())
        other.commit()
    retained = writer.store.retained()
    found = list(retained.missing(0, dated=True))
    retained.close()
    assert [row[2] for _, row in found] == [b"7", b"1", b"2", b"3", b"4"]
    assert len({at for at, _ in found}) == 2, "one time for a transaction, its savepoints included"


def test_without_its_publication_the_relay_is_told(writer: PostgresWriter) -> None:
    session = started(writer.store)
    with psycopg.connect(writer.dsn, autocommit=True) as other:
        other.execute(f'DROP PUBLICATION "{writer.outbox.publication}"')
    with pytest.raises(Fault) as caught:
        session.heartbeat()
    assert "headwater relay repair" in caught.value.hint
    session.close()
    again = writer.store.session()
    assert not again.published()
    again.close()


def test_rows_come_under_the_tables_name_whichever_partition_holds_them(writer: PostgresWriter) -> None:
    """A day's partition and the one for all other days; one INSERT of many rows, and COPY."""
    session = started(writer.store)
    columns = "id, aggregatetype, aggregateid, type, payload, created_at"
    with psycopg.connect(writer.dsn, autocommit=True) as other:
        other.execute(
            f"INSERT INTO {TABLE} ({columns}) SELECT gen_random_uuid(), 'orders.placed', n::text, 'orders.placed.R', "
            "'{}', now() + n * interval '3 days' FROM generate_series(-1, 2) AS n"
        )
        with other.cursor() as cursor, cursor.copy(f"COPY {TABLE} ({columns}) FROM STDIN") as copy:
            for number in (3, 4):
                copy.write_row((str(uuid.UUID(int=number)), "orders.placed", str(number), "R", "{}", "2013-01-01Z"))
        places = other.execute(f"SELECT DISTINCT tableoid::regclass::text FROM {TABLE}").fetchall()
    assert len(places) == 4 and ("outbox_rest",) in places
    found = [[row[2] for row in rows] for _, rows, _ in read_transactions(session, 2)]
    assert found == [[b"-1", b"0", b"1", b"2"], [b"3", b"4"]]
    session.close()


def test_a_plain_table_of_earlier_versions_goes_on_working(stack: Stack) -> None:
    database = stack.fresh_database()
    dsn = stack.postgres_dsn(database)
    root, _, _ = ddl.create_table(TABLE).partition(" PARTITION BY")
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute(root)
    made = PostgresWriter(dsn, database)
    session = started(made.store)
    made.commit([event("1")])
    assert [rows[0][2] for _, rows, _ in read_transactions(session, 1)] == [b"1"]
    session.close()
    made.close()


@pytest.mark.parametrize("through_libpq", [False, True])
def test_rows_passed_over_for_want_of_a_publication_end_the_stream(writer: PostgresWriter, through_libpq: bool) -> None:
    """The publication is dropped and made anew: the row between is never sent, and nothing behind it may be."""
    writer.outbox.through_libpq = through_libpq
    session = started(writer.store)
    writer.commit([event("1")])
    read_transactions(session, 1)
    with psycopg.connect(writer.dsn, autocommit=True) as other:
        other.execute(f'DROP PUBLICATION "{writer.outbox.publication}"')
    writer.commit([event("2")])
    writer.admin.create_publication()
    writer.commit([event("3")])
    with pytest.raises(Fault) as caught:
        read_transactions(session, 1)
    assert caught.value.code == "HW-O037"
    session.close()
