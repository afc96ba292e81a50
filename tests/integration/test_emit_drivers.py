"""Emit through each driver and library on a real PostgreSQL: the same rows, once, in the caller's own transaction."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import pg8000.dbapi
import psycopg
import psycopg2
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import headwater
from headwater import Emission, EmitOptions
from headwater.errors import CallerFault
from headwater.outbox.source_postgres import PostgresAdmin
from headwater.outbox.validation import validation_of
from headwater.schemas.codec import RowCodec, open_single_object
from headwater.testing.source_products import order_events, stock_facts

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

ORDERS, LEVELS = order_events(), stock_facts()
ORDER = {"customer": "ada", "number": 7, "occurred_at": 5, "note": "it's 100 % ä"}
LEVEL = {"place": "NYC", "article": "x", "valid_from": 1, "valid_to": None, "count": 3}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
Connect = Callable[[str], AbstractContextManager[Any]]


@pytest.fixture(scope="module")
def dsn(stack: Stack) -> str:
    """A database with an outbox for both products."""
    name = stack.fresh_database()
    address = stack.postgres_dsn(name)
    admin = PostgresAdmin(address, database=name, table="public.outbox")
    admin.create_table([str(ORDERS.name), str(LEVELS.name)])
    admin.create_validation(validation_of("public.outbox", [ORDERS, LEVELS]))
    admin.close()
    return address


@pytest.fixture(autouse=True)
def _empty(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("TRUNCATE outbox")


def rows(dsn: str, columns: str = "aggregateid, payload, kind, revision, event_id") -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(f"SELECT {columns} FROM outbox ORDER BY created_at, aggregateid").fetchall()


def url(dsn: str, driver: str) -> URL:
    parts = conninfo_to_dict(dsn)
    return URL.create(
        f"postgresql+{driver}",
        username=str(parts["user"]), password=str(parts["password"]), host=str(parts["host"]),
        port=int(parts["port"] or 0), database=str(parts["dbname"]),
    )  # fmt: skip


@contextmanager
def with_pg8000(dsn: str, paramstyle: str = "format") -> Iterator[Any]:
    parts = conninfo_to_dict(dsn)
    kept, pg8000.dbapi.paramstyle = pg8000.dbapi.paramstyle, paramstyle
    connection = pg8000.dbapi.connect(
        str(parts["user"]), host=str(parts["host"]), port=int(parts["port"] or 0),
        database=str(parts["dbname"]), password=str(parts["password"]),
    )  # fmt: skip
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()
        pg8000.dbapi.paramstyle = kept


@contextmanager
def with_session(dsn: str, driver: str) -> Iterator[Any]:
    engine = create_engine(url(dsn, driver))
    with Session(engine) as session:
        yield session
        session.commit()
    engine.dispose()


@contextmanager
def with_connection(dsn: str, driver: str) -> Iterator[Any]:
    engine = create_engine(url(dsn, driver))
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@contextmanager
def with_psycopg2(dsn: str) -> Iterator[Any]:
    connection = psycopg2.connect(dsn)
    with connection:
        yield connection
    connection.close()


DRIVERS: dict[str, Connect] = {
    "psycopg": lambda dsn: psycopg.connect(dsn),
    "psycopg2": with_psycopg2,
    **{
        f"pg8000 {style}": lambda dsn, style=style: with_pg8000(dsn, style)  # type: ignore[misc]
        for style in ("format", "pyformat", "qmark", "numeric", "named")
    },
    **{
        f"sqlalchemy {kind.__name__} {driver}": lambda dsn, kind=kind, driver=driver: kind(dsn, driver)  # type: ignore[misc]
        for kind in (with_session, with_connection)
        for driver in ("psycopg", "psycopg2", "pg8000")
    },
}


@pytest.mark.parametrize("driver", DRIVERS)
def test_each_driver_writes_the_same_rows_in_its_own_transaction(dsn: str, driver: str) -> None:
    with DRIVERS[driver](dsn) as connection:
        first = headwater.emit(connection, ORDERS, ORDER)
        named = headwater.emit(connection, ORDERS, ORDER, event_id="e1", options=EmitOptions(traceparent=TRACE))
        assert rows(dsn) == []
        again = headwater.emit(connection, ORDERS, ORDER, event_id="e1", key_version=2)
        headwater.emit_many(connection, LEVELS, [LEVEL, LEVEL, Emission(LEVEL | {"count": 4}, "", "correct", 2)])
        with pytest.raises(CallerFault) as refused:
            headwater.emit(connection, ORDERS, ORDER | {"number": 8}, event_id="e1")
        assert refused.value.code == "HW-O069" and "ada" not in refused.value.render()
    assert named == again != first
    key, payload = "ada", ORDER | {"occurred_at": "1970-01-01T00:00:00.000005Z"}
    level = LEVEL | {"valid_from": "1970-01-01T00:00:00.000001Z"}
    expected = [
        ('["NYC","x"]', level, "assert", 1, None),
        ('["NYC","x"]', level | {"count": 4}, "correct", 2, None),
        (key, payload, "assert", 1, None),
        (key, payload, "assert", 1, "e1"),
    ]
    assert sorted(rows(dsn), key=str) == sorted(expected, key=str)
    kept = rows(dsn, "id::text, traceparent, key_version")
    assert (first, None, None) in kept and (named, TRACE, None) in kept


def test_an_async_connection_and_an_async_session_write_the_same(dsn: str) -> None:
    async def run() -> None:
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            assert await headwater.emit_async(connection, ORDERS, ORDER, event_id="e1")
            await headwater.emit_async(connection, ORDERS, ORDER)
        engine = create_async_engine(url(dsn, "psycopg"))
        async with AsyncSession(engine) as session:
            with pytest.raises(CallerFault, match="other contents"):
                await headwater.emit_async(session, ORDERS, ORDER | {"number": 8}, event_id="e1")
            await headwater.emit_async(session, ORDERS, ORDER, event_id="e1")
            await headwater.emit_many_async(session, LEVELS, [LEVEL])
            headwater.outbox_of(session.sync_session).add(ORDERS, ORDER, event_id="e2")
            await session.commit()
        async with engine.begin() as other:
            await headwater.emit_async(other, ORDERS, ORDER, event_id="e3")
        await engine.dispose()

    asyncio.run(run())
    assert sorted(str(row[4]) for row in rows(dsn)) == ["None", "None", "e1", "e2", "e3"]


def test_avro_is_the_single_object_encoding_of_the_payload_alone(dsn: str) -> None:
    for driver in ("psycopg", "psycopg2", "pg8000 format", "sqlalchemy with_session psycopg"):
        with DRIVERS[driver](dsn) as connection:
            headwater.emit(connection, ORDERS, ORDER, options=EmitOptions(encoding="avro"))
            headwater.emit(connection, ORDERS, ORDER, event_id=driver[:36], options=EmitOptions(encoding="avro"))
    found = rows(dsn, "payload, payload_avro")
    assert len(found) == 8
    for payload, avro in found:
        fingerprint, body = open_single_object(avro)
        assert payload is None and fingerprint == ORDERS.output.payload_schema.fingerprint
        assert RowCodec(ORDERS.output.payload_schema).decode(body) == ORDER


def test_two_transactions_that_race_write_one_row_and_the_second_waits(dsn: str) -> None:
    done: list[str] = []
    with psycopg.connect(dsn) as first:
        row_id = headwater.emit(first, ORDERS, ORDER, event_id="raced")

        def second() -> None:
            with psycopg.connect(dsn) as other:
                done.append(headwater.emit(other, ORDERS, ORDER, event_id="raced"))

        thread = threading.Thread(target=second)
        thread.start()
        with psycopg.connect(dsn, autocommit=True) as watcher:
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while not watcher.execute(waiting).fetchone()[0]:  # type: ignore[index]
                assert thread.is_alive()
        assert done == []
        first.commit()
        thread.join(60)
    assert done == [row_id] and len(rows(dsn)) == 1


def test_of_many_that_race_in_any_order_each_identity_is_written_once(dsn: str) -> None:
    """Also where the first rolls back: the second then writes."""
    errors: list[Exception] = []

    def work(number: int) -> None:
        try:
            with psycopg.connect(dsn) as connection:
                for turn in range(10):
                    ids = [f"r{(turn + step * (1 if number % 2 else -1)) % 10}" for step in range(4)]
                    headwater.emit_many(connection, ORDERS, [Emission(ORDER, event_id=one) for one in ids])
                    connection.commit() if (turn + number) % 3 else connection.rollback()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    ids = [row[4] for row in rows(dsn)]
    assert len(ids) == len(set(ids)) == 10


def test_what_a_session_collects_is_emitted_by_its_commit_and_falls_with_its_savepoint(dsn: str) -> None:
    engine = create_engine(url(dsn, "psycopg"))
    with Session(engine) as session:
        outbox = headwater.outbox_of(session)
        outbox.add(ORDERS, ORDER, event_id="dropped")
        session.rollback()
        outbox.add(ORDERS, ORDER, event_id="before")
        session.execute(text("SELECT 1"))
        with session.begin_nested():
            outbox.add(ORDERS, ORDER, event_id="kept")
            inner = session.begin_nested()
            outbox.add(ORDERS, ORDER, event_id="inner, rolled back")
            inner.rollback()
        nested = session.begin_nested()
        with session.begin_nested():
            outbox.add(ORDERS, ORDER, event_id="released, then rolled back")
        nested.rollback()
        outbox.add(ORDERS, lambda: ORDER, event_id="made at the commit")
        assert len(headwater.outbox_of(session)) == 3 and rows(dsn) == []
        session.commit()
        assert len(outbox) == 0
        outbox.add(ORDERS, ORDER, event_id="rolled back")
        session.rollback()
        session.commit()
    engine.dispose()
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT event_id FROM outbox ORDER BY ctid").fetchall()
    assert [row[0] for row in found] == ["before", "kept", "made at the commit"]


def test_a_logical_message_says_what_the_row_would_have_said(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        slot = "emitted_" + dsn.rpartition("_")[2]
        connection.execute("CREATE PUBLICATION emitted FOR TABLE outbox")
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
        try:
            said = EmitOptions(road="message", traceparent=TRACE)
            row_id = headwater.emit(connection, ORDERS, ORDER, event_id="e1", key_version=3, options=said)
            payload = json.dumps(ORDER | {"occurred_at": "1970-01-01T00:00:00.000005Z"})
            function = "SELECT headwater_message_orders_placed(%s, 'e1', key_version => 3, traceparent => %s)"
            (answered,) = connection.execute(function, [payload, TRACE]).fetchone() or ()
            read = (
                "SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL, 'proto_version', '1', "
                "'publication_names', 'emitted', 'messages', 'true')"
            )
            # A message is M, flags, its place in the log, its prefix, the length of its content, and that.
            messages = [bytes(row[0]) for row in connection.execute(read, [slot]) if row[0][:1] == b"M"]
            assert all(one[10:].partition(b"\0")[0] == b"headwater.outbox:public.outbox" for one in messages)
            found = [one[10:].partition(b"\0")[2][4:] for one in messages]
        finally:
            connection.execute("SELECT pg_drop_replication_slot(%s)", [slot])
    assert str(answered) == row_id and rows(dsn) == []
    assert json.loads(found[0]) == json.loads(found[1])
    assert json.loads(found[0])["payload"] == json.loads(payload) and json.loads(found[0])["id"] == row_id


def test_sql_alone_writes_the_row_that_python_writes(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        ids = [
            headwater.emit(connection, ORDERS, ORDER, event_id="e1"),
            *headwater.emit_many(connection, LEVELS, [LEVEL]),
        ]
        payload = ORDER | {"occurred_at": "1970-01-01T00:00:00.000005Z"}
        level = LEVEL | {"valid_from": "1970-01-01T00:00:00.000001Z"}
        same = [
            connection.execute("SELECT headwater_emit_orders_placed(%s, 'e1')", [json.dumps(payload)]).fetchone(),
            connection.execute("SELECT headwater_emit_stock_levels(%s)", [json.dumps(level)]).fetchone(),
        ]
        assert [str(row[0]) for row in same if row] == ids
        connection.commit()
        with pytest.raises(psycopg.errors.UniqueViolation, match="other contents") as refused:
            changed = json.dumps(payload | {"number": 8})
            connection.execute("SELECT headwater_emit_orders_placed(%s, 'e1')", [changed])
        assert "ada" not in str(refused.value)
        connection.rollback()
        with pytest.raises(psycopg.errors.CheckViolation, match="no event_id"):
            connection.execute("SELECT headwater_emit_orders_placed(%s, kind => 'correct')", [json.dumps(payload)])
    assert len(rows(dsn)) == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"payload": {"number": "secret"}}, "number: not a whole number of 64 bits"),
        ({"payload": {"occurred_at": "secret"}}, "occurred_at: not an instant"),
        ({"payload": {"note": 5}}, "note: not text"),
        ({"payload": {"extra": "secret"}}, "a field that the schema does not have"),
        ({"aggregateid": "secret"}, "aggregateid: it is not the record's key"),
        ({"type": "secret"}, "type: it is not the product's schema"),
        ({"revision": 0}, "revision: below 1"),
        ({"kind": "delete"}, "kind: none of"),
    ],
)
def test_a_wrong_row_of_any_language_fails_inside_its_own_transaction(
    dsn: str, change: dict[str, Any], says: str
) -> None:
    payload = ORDER | change.pop("payload", {})
    row = {"aggregateid": "ada", "type": "orders.placed.Record", "revision": 1, "kind": "assert"} | change
    with psycopg.connect(dsn) as connection:
        with pytest.raises(psycopg.errors.CheckViolation, match=says) as refused:
            connection.execute(
                "INSERT INTO outbox (aggregatetype, aggregateid, type, payload, revision, kind) VALUES "
                "('orders.placed', %(aggregateid)s, %(type)s, %(payload)s, %(revision)s, %(kind)s)",
                row | {"payload": json.dumps(payload)},
            )
        diagnosis = refused.value.diag
        shown = f"{refused.value} {diagnosis.message_detail} {diagnosis.message_hint}"
        assert "secret" not in shown and "ada" not in shown
        connection.rollback()


def test_a_database_that_apply_has_not_renewed_is_told(stack: Stack) -> None:
    name = stack.fresh_database()
    address = stack.postgres_dsn(name)
    with psycopg.connect(address) as connection:
        with pytest.raises(CallerFault) as missing:
            headwater.emit(connection, ORDERS, ORDER)
        assert missing.value.code == "HW-O053"
        connection.rollback()
        with pytest.raises(CallerFault) as old:
            headwater.emit(connection, ORDERS, ORDER, event_id="e1")
        assert old.value.code == "HW-O072" and "apply" in old.value.hint


def test_what_apply_made_is_known_again_and_what_was_changed_by_hand_is_seen(dsn: str) -> None:
    admin = PostgresAdmin(dsn, database="any", table="public.outbox")
    wanted = validation_of("public.outbox", [ORDERS, LEVELS])
    parts = admin.look()
    assert wanted.missing(parts.routines, trigger=parts.checked) == []
    with psycopg.connect(dsn) as connection:
        connection.execute("DROP TRIGGER headwater_check ON outbox")
        connection.execute(
            "CREATE OR REPLACE FUNCTION outbox_emit(given jsonb) RETURNS TABLE (id uuid, outcome text) "
            "LANGUAGE plpgsql AS $$ BEGIN END $$"
        )
    parts = admin.look()
    assert wanted.missing(parts.routines, trigger=parts.checked) == ["public.outbox_emit", "trigger headwater_check"]
    admin.create_validation(wanted)
    parts = admin.look()
    assert wanted.missing(parts.routines, trigger=parts.checked) == []
    admin.close()
