"""Cells of many inserts at once against each insert read by itself."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from headwater.outbox import pgoutput_write
from headwater.outbox.cells import Cells
from headwater.outbox.pgoutput import Relation

NAMES = ("id", "kind", "type")
RELATION = Relation(7, "public", "outbox", NAMES)
CELL = st.none() | st.binary(max_size=20) | st.sampled_from([b"assert", b"orders.placed", b"orders.placer"])
ROW = st.tuples(CELL, CELL, CELL)


def cells(rows: list[tuple[bytes | None, ...]]) -> Cells:
    messages = [
        pgoutput_write.data(pgoutput_write.insert(7, row), lsn=1, sent_at=2_000_000_000_000_000) for row in rows
    ]
    return Cells(messages, RELATION, NAMES)


@given(st.lists(ROW, min_size=1, max_size=8), CELL.filter(lambda cell: cell is not None))
@example([(b"", None, b"12345678")], b"12345678")
@example([(None, None, b"1234567")], b"1234567")
@example([(None, None, b"123456789abcdef01")], b"123456789abcdef0x")
def test_a_column_is_equal_where_each_cell_is(rows: list[tuple[bytes | None, ...]], text: bytes) -> None:
    found = cells(rows)
    for place, name in enumerate(NAMES):
        assert found.equal(name, text).tolist() == [row[place] == text for row in rows]
        assert found.there(name).tolist() == [row[place] is not None for row in rows]


@given(st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9), st.binary(max_size=9)), min_size=1))
def test_texts_are_cut_out_as_they_are(rows: list[tuple[bytes, bytes, bytes]]) -> None:
    found = cells(list(rows))
    for place, name in enumerate(NAMES):
        assert found.texts(name, list(range(len(rows)))) == [row[place] for row in rows]
