"""What every `OutboxStore` must do: the relay leans on each of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from headwater.outbox import pgoutput
from headwater.outbox.event import COLUMNS, OutboxEvent
from headwater.outbox.pgoutput import BEGIN, BODY, COMMIT, INSERT, KEEPALIVE, MESSAGE, RELATION
from headwater.outbox.store import OutboxSession, OutboxStore
from headwater.timeline.instant import Instant

Row = tuple[bytes | str | None, ...]  # of a table, or prefix and content of a logical message
TURNS = 5_000  # of a server at work: seconds


class OutboxWriter(Protocol):
    """The service's side of a store under test: a new table with its slot."""

    @property
    def store(self) -> OutboxStore:
        """The store that reads what is written here."""

    def commit(self, rows: Sequence[OutboxEvent]) -> None:
        """Commit a transaction of these rows."""

    def roll_back(self, rows: Sequence[OutboxEvent]) -> None:
        """Write these rows and take them back."""

    def emit(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Commit a transaction of these logical messages, of prefix and content."""

    def add_column(self, name: str) -> None:
        """Give the table one more column of text."""


class OutboxStoreSuite:
    """Subclass it, and give a fixture `writer` that makes a new `OutboxWriter`."""

    def test_committed_rows_come_whole_in_commit_order_and_rolled_back_ones_never(self, writer: OutboxWriter) -> None:
        """Transactions as they were committed."""
        session = started(writer.store)
        writer.commit([event("1"), event("2")])
        writer.roll_back([event("3")])
        writer.commit([event("4")])
        transactions = read_transactions(session, 2)
        assert [[row[2] for row in rows] for _, rows, _ in transactions] == [[b"1", b"2"], [b"4"]]
        assert transactions[0][0].commit_lsn < transactions[0][2].end_lsn <= transactions[1][0].commit_lsn
        assert transactions[0][0].committed_at <= transactions[1][0].committed_at
        session.close()

    def test_every_column_arrives_as_it_was_written(self, writer: OutboxWriter) -> None:
        """Nulls stay nulls."""
        session = started(writer.store)
        row = OutboxEvent(
            id="7f3f8f86-6a53-4a0c-9d2b-0a3f5d6b8c11", aggregatetype="orders.placed", aggregateid="ä,\"'",
            type="orders.placed.Record", payload=None, kind="correct", revision=3, event_id="e1",
            payload_avro=b"\xc3\x01\x00", key_version=9, traceparent="00-1-2-01",
        )  # fmt: skip
        writer.commit([row])
        (_, rows, _), *_ = read_transactions(session, 1)
        text = [None if value is None else str(value).encode() for value in row.values()]
        text[COLUMNS.index("payload_avro")] = b"\\xc30100"
        assert rows == [tuple(text)]
        session.close()

    def test_logical_messages_come_in_their_transactions_whole(self, writer: OutboxWriter) -> None:
        """Of every prefix: whoever reads knows which are its own."""
        session = started(writer.store)
        content = b'{"id": "\xc3\xa4"}'
        writer.emit([("headwater.outbox:public.outbox", content), ("other", b"")])
        writer.commit([event("1")])
        first, second = read_transactions(session, 2)
        assert first[1] == [("headwater.outbox:public.outbox", content), ("other", b"")]
        assert first[0].commit_lsn < first[2].end_lsn <= second[0].commit_lsn
        session.close()

    def test_a_changed_table_is_told_before_its_rows(self, writer: OutboxWriter) -> None:
        """Rows written before the change have the old columns, those after it the new."""
        session = started(writer.store)
        writer.commit([event("1")])
        writer.add_column("note")
        writer.commit([event("2")])
        relations: list[pgoutput.Relation] = []
        rows = [rows for _, rows, _ in read_transactions(session, 2, relations)]
        assert [row[2] for (row,) in rows] == [b"1", b"2"]
        assert "note" not in relations[0].columns and "note" in relations[-1].columns
        session.close()

    def test_what_was_not_confirmed_is_sent_again(self, writer: OutboxWriter) -> None:
        """A new session starts behind the last confirmation."""
        session = started(writer.store)
        writer.commit([event("1")])
        writer.commit([event("2")])
        first, _ = read_transactions(session, 2)
        session.confirm(first[2].end_lsn)
        settle(session)
        session.close()
        session = started(writer.store)
        writer.commit([event("3")])
        assert [rows[0][2] for _, rows, _ in read_transactions(session, 2)] == [b"2", b"3"]
        session.close()

    def test_the_slot_says_what_was_confirmed(self, writer: OutboxWriter) -> None:
        """Never more than that, however much was read."""
        session = started(writer.store)
        writer.commit([event("1")])
        writer.commit([event("2")])
        first, second = read_transactions(session, 2)
        session.confirm(first[2].end_lsn)
        settle(session)
        other = writer.store.session()
        slot = other.slot()
        assert slot is not None and first[2].end_lsn <= slot.confirmed_lsn <= second[0].commit_lsn
        assert not slot.lost
        other.close()
        session.close()

    def test_one_session_holds_the_lease(self, writer: OutboxWriter) -> None:
        """It goes with the session."""
        first, second = writer.store.session(), writer.store.session()
        assert first.take_lease() and not second.take_lease()
        first.close()
        assert until(second.take_lease)
        second.close()

    def test_a_probe_brings_the_servers_time_and_how_far_all_is_sent(self, writer: OutboxWriter) -> None:
        """Also where nothing is written."""
        session = started(writer.store)
        writer.commit([event("1")])
        (transaction,) = read_transactions(session, 1)
        session.probe()
        found: list[pgoutput.Keepalive] = []

        def answered() -> bool:
            found.extend(pgoutput.keepalive(m) for m in session.read(100, 0.1) if m[0] == KEEPALIVE)
            return bool(found) and found[-1].end_lsn >= transaction[2].end_lsn

        assert until(answered)
        assert found[-1].sent_at >= transaction[0].committed_at
        session.close()

    def test_a_heartbeat_moves_an_idle_slot(self, writer: OutboxWriter) -> None:
        """So that an idle outbox does not hold the server's log."""
        session = started(writer.store)
        before = session_end(session)
        session.heartbeat()
        assert until(lambda: session_end(session) > before)  # a server flushes it in its own time
        session.close()

    def test_a_session_sees_the_publication(self, writer: OutboxWriter) -> None:
        """Without it nothing would ever be sent."""
        session = writer.store.session()
        assert session.published()
        session.close()

    def test_the_server_says_who_it_is(self, writer: OutboxWriter) -> None:
        """The same over all sessions."""
        first, second = writer.store.session(), writer.store.session()
        assert first.identify().system_id == second.identify().system_id != ""
        assert first.identify().timeline >= 1
        first.close()
        second.close()


def event(key: str) -> OutboxEvent:
    """A row."""
    number = int(key)
    return OutboxEvent(
        id=f"00000000-0000-4000-8000-{number:012d}",
        aggregatetype="orders.placed",
        aggregateid=key,
        type="orders.placed.Record",
        payload='{"a": 1}',
    )


def started(store: OutboxStore) -> OutboxSession:
    """A session that streams."""
    session = store.session()
    assert until(session.take_lease)
    assert session.slot() is not None
    session.start()
    return session


def read_transactions(
    session: OutboxSession, count: int, relations: list[pgoutput.Relation] | None = None
) -> list[tuple[pgoutput.Begin, list[Row], pgoutput.Commit]]:
    """The next transactions that hold rows, or logical messages as prefix and content; `relations` takes the tables."""
    found: list[tuple[pgoutput.Begin, list[Row], pgoutput.Commit]] = []
    begin, rows, read = pgoutput.Begin(0, Instant(0)), list[Row](), None
    for _ in range(200):
        for message in session.read(10, 0.05):
            tag = 0 if message[0] == KEEPALIVE else message[BODY]
            if tag == BEGIN:
                begin, rows = pgoutput.begin(message), []
            elif tag == RELATION:
                relation = pgoutput.relation(message)
                read = pgoutput.row_reader(relation, COLUMNS)
                if relations is not None:
                    relations.append(relation)
            elif tag == INSERT:
                assert read is not None, "a relation comes before its rows"
                rows.append(read(message))
            elif tag == MESSAGE:
                logical = pgoutput.logical_message(message)
                rows.append((logical.prefix, logical.content))
            elif tag == COMMIT and rows:
                found.append((begin, rows, pgoutput.commit(message)))
        if len(found) >= count:
            assert len(found) == count
            return found
    raise AssertionError(f"{len(found)} of {count} transactions came")


def session_end(session: OutboxSession) -> int:
    """How far all is sent, by a keepalive."""
    end: list[int] = []

    def answered() -> bool:
        session.probe()
        end.extend(pgoutput.keepalive(m).end_lsn for m in session.read(100, 0.05) if m[0] == KEEPALIVE)
        return bool(end)

    assert until(answered)
    return end[-1]


def settle(session: OutboxSession) -> None:
    """Let the server take in what was confirmed: an answer to a probe comes after it."""
    session_end(session)


def until(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true within some turns."""
    return any(condition() for _ in range(TURNS))
