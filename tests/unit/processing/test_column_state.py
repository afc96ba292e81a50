"""Bytes of state made of columns are those that `packing` makes of the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.processing import column_state
from headwater.processing.column_state import joined_keys, ordered_integers, packed_rows
from headwater.processing.packing import ordered_integer, pack, sized

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
TEXT = st.text(max_size=4) | st.text('"\\\n\x00\x1f\x7f\u2028é', max_size=4)
ROWS = st.lists(st.tuples(st.none() | TEXT, TEXT, INT64, st.none() | INT64, st.none() | st.booleans()), max_size=8)
TYPES = [pa.string(), pa.string(), pa.int64(), pa.int64(), pa.bool_()]


def columns_of(rows: list[Any], cut: int) -> list[Any]:
    """Columns that begin within a larger one, as those of a part do."""
    padded = [("x", '"', 0, None, True)] * cut + rows
    return [pa.array([row[place] for row in padded], type_).slice(cut) for place, type_ in enumerate(TYPES)]


def check(rows: list[Any], cut: int = 0) -> None:
    assert packed_rows(columns_of(rows, cut)) == [pack(row) for row in rows]


@settings(max_examples=50, deadline=None)
@given(ROWS, st.integers(0, 2))
def test_rows_are_packed_as_one_by_one(rows: list[Any], cut: int) -> None:
    check(rows, cut)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=3), INT64), max_size=8))
def test_keys_are_those_of_rows(parts: list[tuple[bytes, int]]) -> None:
    sizes = pa.array([sized(key) for key, _ in parts], pa.binary())
    made = joined_keys([b"t\x00", sizes, ordered_integers(np.array([at for _, at in parts], np.int64))])
    assert made == [b"t\x00" + sized(key) + ordered_integer(at) for key, at in parts]


def test_a_packing_that_escapes_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a", 'say "hi"', 1, 2, True)]
    check(rows)
    monkeypatch.setattr(column_state, "_escaped", lambda column: False)
    with pytest.raises(AssertionError):
        check(rows)
