"""What a server writes, the relay reads back: every message, every value, whatever the table's columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import Fault
from headwater.outbox import pgoutput, pgoutput_write
from headwater.timeline.instant import Instant

LSNS = st.integers(0, 2**63 - 1)
INSTANTS = st.integers(0, 4_102_444_800_000_000).map(Instant)
NAMES = st.text("abcdefgh_", min_size=1, max_size=8)
CELLS = st.one_of(st.none(), st.binary(max_size=300))


def framed(body: bytes) -> bytes:
    return pgoutput_write.data(body, lsn=1, sent_at=2_000_000_000_000_000)


@given(LSNS, INSTANTS)
def test_a_begin_is_read_back(lsn: int, at: Instant) -> None:
    begin = pgoutput.Begin(lsn, at)
    message = framed(pgoutput_write.begin(begin))
    assert message[pgoutput.BODY] == pgoutput.BEGIN and pgoutput.begin(message) == begin


@given(LSNS, LSNS)
def test_a_commit_is_read_back(lsn: int, end: int) -> None:
    commit = pgoutput.Commit(lsn, end)
    message = framed(pgoutput_write.commit(commit))
    assert message[pgoutput.BODY] == pgoutput.COMMIT and pgoutput.commit(message) == commit


@given(LSNS, INSTANTS, st.booleans())
def test_a_keepalive_is_read_back(lsn: int, at: Instant, reply: bool) -> None:
    keepalive = pgoutput.Keepalive(lsn, at, reply)
    assert pgoutput.keepalive(pgoutput_write.keepalive(keepalive)) == keepalive


@given(LSNS, INSTANTS, st.booleans())
def test_feedback_says_what_is_acknowledged(lsn: int, now: Instant, reply: bool) -> None:
    assert pgoutput_write.acknowledged(pgoutput.feedback(lsn, now, reply=reply)) == (lsn, reply)


@given(st.data())
def test_a_row_is_read_back_whatever_the_order_of_the_columns(data: st.DataObject) -> None:
    columns = data.draw(st.lists(NAMES, min_size=1, max_size=12, unique=True))
    wanted = data.draw(st.permutations(columns).map(lambda names: names[: max(1, len(names) // 2)]))
    values = data.draw(st.lists(CELLS, min_size=len(columns), max_size=len(columns)))
    relation = pgoutput.Relation(7, "public", "outbox", tuple(columns))
    assert pgoutput.relation(framed(pgoutput_write.relation(relation))) == relation
    read = pgoutput.row_reader(relation, wanted)
    expected = dict(zip(columns, values, strict=True))
    assert read(framed(pgoutput_write.insert(7, values))) == tuple(expected[name] for name in wanted)


def test_a_table_without_a_needed_column_is_refused_by_name() -> None:
    relation = pgoutput.Relation(7, "public", "outbox", ("id",))
    with pytest.raises(Fault, match="lacks payload"):
        pgoutput.row_reader(relation, ["id", "payload"])


def test_the_servers_clock_is_in_each_message() -> None:
    assert pgoutput.sent_at(framed(b"")) == 2_000_000_000_000_000
