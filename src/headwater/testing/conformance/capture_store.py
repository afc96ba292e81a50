"""What every captured table must do, whichever database it is in: its key, and snapshots as of a point of the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from headwater.outbox import pgoutput
from headwater.outbox.capture_store import CaptureStore
from headwater.outbox.load_state import key_order
from headwater.outbox.pgoutput import BEGIN, BODY, KEEPALIVE
from headwater.outbox.pgoutput_changes import Cells
from headwater.outbox.store import OutboxStore


class CapturedStore(CaptureStore, OutboxStore, Protocol):
    """A captured table and its stream."""


class TableWriter(Protocol):
    """The service's side: a new table of `code`, `number` (together the key) and `state`, with publication and slot."""

    @property
    def store(self) -> CapturedStore:
        """The store that reads what is written here."""

    def put(self, rows: Sequence[tuple[str, int, str]]) -> None:
        """Insert these rows, in one transaction."""

    def change(self, code: str, number: int, state: str) -> None:
        """Update one row."""


class CaptureStoreSuite:
    """Subclass it, and give a fixture `table` that makes a new `TableWriter`."""

    def test_the_key_is_told_in_its_own_order(self, table: TableWriter) -> None:
        """As the database has it."""
        assert table.store.key().names == ("code", "number")

    def test_a_snapshot_holds_what_was_committed_before_its_point_and_nothing_else(self, table: TableWriter) -> None:
        """Whatever is written while it is read."""
        table.put([("a", 1, "old"), ("b", 1, "old")])
        with table.store.snapshot(None) as snapshot:
            table.change("b", 1, "new")
            table.put([("c", 1, "new")])
            first, *rest = snapshot.rows(1), snapshot.rows(10), snapshot.rows(10)
            point = snapshot.point
        assert [texts(rows) for rows in (first, *rest)] == [[("a", "1", "old")], [("b", "1", "old")], []]
        commits = committed(table.store, 3)
        assert [lsn < point for lsn in commits] == [True, False, False]

    def test_rows_come_in_the_order_in_which_keys_are_compared_and_begin_behind_one(self, table: TableWriter) -> None:
        """Whole numbers by value, text by bytes, whatever the database's collation."""
        keys = [(code, number) for code in ("a", "B", "_", "ä", "Z", "10", "9", "it's") for number in (9, 10)]
        table.put([(code, number, "x") for code, number in keys])
        key = table.store.key()
        order = key_order(key.types)
        wanted = sorted(((code, str(number)) for code, number in keys), key=order)
        with table.store.snapshot(None) as snapshot:
            found = [(row[0], row[1]) for row in texts(snapshot.rows(100))]
        assert found == wanted
        with table.store.snapshot(wanted[4]) as snapshot:
            assert [(row[0], row[1]) for row in texts(snapshot.rows(100))] == wanted[5:]

    def test_the_clock_is_the_database_s_and_goes_on_within_a_snapshot(self, table: TableWriter) -> None:
        """Each chunk has its own time."""
        with table.store.snapshot(None) as snapshot:
            first = snapshot.now()
            table.put([("a", 1, "x")])
            assert snapshot.now() >= first


def texts(rows: Sequence[Cells]) -> list[tuple[str, ...]]:
    """Rows as text."""
    return [tuple(cell.decode() if isinstance(cell, bytes) else "" for cell in row) for row in rows]


def committed(store: OutboxStore, count: int) -> list[int]:
    """Where the first transactions of the stream are committed."""
    session = store.session()
    assert session.take_lease()
    session.start()
    found: list[int] = []
    for _ in range(200):
        for message in session.read(100, 0.1):
            if message[0] != KEEPALIVE and message[BODY] == BEGIN:
                found.append(pgoutput.begin(message).commit_lsn)
        if len(found) >= count:
            break
    session.close()
    return found[:count]
