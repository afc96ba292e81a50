"""Housekeeping of a real outbox table: nothing unpublished goes, no writer waits long, and what waits is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import psycopg
import pytest

from headwater.errors import CallerFault
from headwater.outbox import table as ddl
from headwater.outbox.housekeeping import tidy
from headwater.outbox.housekeeping_postgres import PostgresHousekeeper
from headwater.outbox.source_postgres import PostgresAdmin
from headwater.outbox.store_postgres import PostgresOutbox
from headwater.testing.conformance.outbox_store import event, read_transactions, settle, started
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

TABLE = "public.outbox"
WEEK = 7 * 86_400_000_000
OLD = "2026-01-05"


class House:
    """An outbox with a partition of long ago, and who reads and keeps it."""

    def __init__(self, stack: Stack) -> None:
        database = stack.fresh_database()
        self.dsn = stack.postgres_dsn(database)
        self.store = PostgresOutbox(self.dsn, database=database, table=TABLE, clock=SystemClock())
        self.admin = PostgresAdmin(self.dsn, database=database, table=TABLE)
        self.admin.create_table(["orders.placed"])
        self.admin.create_publication()
        self.admin.create_slot()
        self.keeper = PostgresHousekeeper(self.dsn, database=database, table=TABLE, clock=SystemClock())
        for statement in ddl.create_partition(TABLE, OLD):
            self.sql(statement)

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def write(self, number: int, day: str = "now") -> None:
        self.sql(ddl.insert(TABLE).replace("replay_of)", "replay_of, created_at)").replace("%s)", f"%s, '{day}')"),
                 *event(str(number)).values())  # fmt: skip

    def chores(self, published: int) -> list[tuple[str, str]]:
        return [(one.text, one.outcome) for one in tidy(self.keeper, lambda: published, retention=WEEK)]

    def close(self) -> None:
        self.keeper.close()
        self.sql("SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = %s",
                 self.store.slot)  # fmt: skip
        if self.admin.look().slot is not None:
            self.admin.drop_slot()
        self.admin.close()


@pytest.fixture
def house(stack: Stack) -> Iterator[House]:
    made = House(stack)
    yield made
    made.close()


def test_an_old_partition_goes_only_when_all_of_it_is_published_and_acknowledged(house: House) -> None:
    house.write(1, OLD)
    house.write(2)
    drop = f"drop the partition of {OLD}"
    assert house.chores(1 << 62) == [(drop, "not published yet")], "the slot has not moved"
    session = started(house.store)
    *_, last = read_transactions(session, 2)
    session.confirm(last[2].end_lsn)
    settle(session)
    stop = threading.Event()

    def acknowledge() -> None:  # as an idle relay does
        while not stop.is_set():
            session.probe()
            for message in session.read(100, 0.05):
                if message[:1] == b"k":
                    session.confirm(max(int.from_bytes(message[1:9], "big"), last[2].end_lsn))

    relay = threading.Thread(target=acknowledge)
    relay.start()
    try:
        assert house.chores(0) == [(drop, "not published yet")], "the position has not moved"
        deadline = time.monotonic() + 30  # what the server has been told is in its slot a moment later
        while (done := house.chores(1 << 62)) == [(drop, "not published yet")] and time.monotonic() < deadline:
            time.sleep(0.1)
        assert done == [(drop, "done")]
    finally:
        stop.set()
        relay.join()
    session.close()
    assert house.sql(f"SELECT count(*) FROM {TABLE}") == [(1,)]
    retained = house.store.retained()
    assert retained.dropped_before == 1_767_657_600_000_000  # 2026-01-06
    retained.close()
    assert house.chores(1 << 62) == []


def test_the_days_to_come_have_partitions_and_a_second_round_makes_none(house: House) -> None:
    days = [str(row[0]) for row in house.sql("SELECT (now()::date + n)::text FROM generate_series(0, 7) n")]
    house.sql(f"DROP TABLE {TABLE}_{OLD.replace('-', '')}")
    house.sql(f"DROP TABLE {TABLE}_{days[3].replace('-', '')}")
    house.write(1, f"{days[3]} 12:00Z")  # it has to go to the rest now
    house.sql(f"DROP TABLE {TABLE}_{days[5].replace('-', '')}")
    assert house.chores(0) == [
        (f"make the partition of {days[3]}", "rows of it are in the partition for the rest"),
        (f"make the partition of {days[5]}", "done"),
    ]
    house.write(2, f"{days[5]} 12:00Z")
    assert house.sql(f"SELECT count(*) FROM {TABLE}_{days[5].replace('-', '')}") == [(1,)]


def test_housekeeping_gives_way_to_a_transaction_that_holds_the_table(house: House) -> None:
    session = started(house.store)
    house.sql(f"DROP TABLE {TABLE}_{house.sql('SELECT (now()::date + 7)::text')[0][0]}".replace("-", ""))
    with psycopg.connect(house.dsn) as writer:
        writer.execute(ddl.insert(TABLE), event("6").values())  # it stays open
        began = time.monotonic()
        outcomes = {text.split()[0]: outcome for text, outcome in house.chores(1 << 62)}
        assert outcomes["make"] == "done", "an attach waits for no writer"
        assert outcomes["drop"] in ("busy", "not published yet")
        with psycopg.connect(house.dsn) as other:
            started_at = time.monotonic()
            other.execute(ddl.insert(TABLE), event("7").values())
            assert time.monotonic() - started_at < 1.0
        assert time.monotonic() - began < 30
    session.close()


def test_what_waits_is_told_and_a_plain_table_and_another_owner_are_named(house: House) -> None:
    before = int(str(house.sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")[0][0]))
    house.write(1)
    house.write(2)
    pulse = house.keeper.look(before)
    assert (pulse.waiting, pulse.partitions) == (2, 10)
    assert pulse.oldest_at is not None and before <= pulse.oldest_at <= pulse.now
    assert pulse.slot is not None and pulse.slot.retained > 0 and not pulse.slot.lost
    assert house.keeper.look(pulse.now).waiting == 0
    house.sql("CREATE ROLE housekeeping_guest") if not house.sql(
        "SELECT 1 FROM pg_roles WHERE rolname = 'housekeeping_guest'"
    ) else None
    house.keeper._connection.execute("SET ROLE housekeeping_guest")
    with pytest.raises(CallerFault) as caught:
        house.keeper.partitions(WEEK)
    assert caught.value.code == "HW-O087"
    house.keeper._connection.execute("RESET ROLE")
    house.sql("CREATE TABLE public.plain (id uuid)")
    plain = PostgresHousekeeper(house.dsn, database="x", table="public.plain", clock=SystemClock())
    with pytest.raises(CallerFault) as caught:
        plain.partitions(WEEK)
    assert caught.value.code == "HW-O086"
    plain.close()
