"""Keys and partitions of many rows at once are those of each row by itself."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.ports import key_columns
from headwater.ports.keys import key_bytes, partition_of
from headwater.processing.column_keys import key_column, partitions_of

TEXT = st.text(max_size=9) | st.text('"\\\n\x00\x1f\x7f\u2028é', max_size=4)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
ROWS = st.lists(st.tuples(st.none() | TEXT, st.none() | INT64, st.none() | st.booleans()), max_size=8)
TYPES = [pa.string(), pa.int64(), pa.bool_()]
KEYS = st.lists(st.binary(max_size=21) | st.sampled_from([b"JFK", b"\xff\xfe\x80\x01"]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=3), st.integers(0, 2))
def test_keys_are_those_of_rows(rows: list[tuple[object, ...]], which: list[int], cut: int) -> None:
    padded = [("x", 0, True)] * cut + rows
    columns = [pa.array([row[place] for row in padded], type_).slice(cut) for place, type_ in enumerate(TYPES)]
    made = key_column([columns[place] for place in which]).to_pylist()
    assert made == [key_bytes([row[place] for place in which]) for row in rows]


def check(keys: list[bytes], cut: int = 0, partitions: int = 4) -> None:
    column = pa.array([b"seven77"] * cut + keys, pa.binary()).slice(cut)
    assert partitions_of(column, partitions).tolist() == [partition_of(key, partitions) for key in keys]


@settings(max_examples=100, deadline=None)
@given(KEYS, st.integers(0, 2), st.sampled_from([1, 4, 7, 1 << 20]))
def test_partitions_are_those_of_keys(keys: list[bytes], cut: int, partitions: int) -> None:
    check(keys, cut, partitions)


def test_a_hash_that_takes_octets_the_other_way_round_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [b"abcdefg", b"hijklmno"]
    check(keys)
    whole = key_columns._murmur2
    monkeypatch.setattr(key_columns, "_murmur2", lambda words, at, size: whole(words.byteswap(), at, size))
    with pytest.raises(AssertionError):
        check(keys, partitions=1 << 20)
    assert np.uint32(1).byteswap() != 1
