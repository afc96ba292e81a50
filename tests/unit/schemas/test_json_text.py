"""JSON text of a table all at once is that of its rows one by one, whatever is in it."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.schemas.arrow import plain_rows
from headwater.schemas.json_text import json_rows, json_text

FIRST, LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
KINDS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.text() | st.sampled_from(['"', "\\", "\x00", "\x1f", "\x7f", "\u2028", "\n"]),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.bool_(): st.booleans(),
    pa.float64(): st.floats(),
    pa.float32(): st.floats(width=32),
    pa.list_(pa.string()): st.lists(st.none() | st.text(), max_size=3),
    pa.list_(pa.int64()): st.lists(st.none() | st.integers(-5, 5), max_size=3),
    pa.struct([("a", pa.string()), ("b", pa.int64())]): st.fixed_dictionaries(
        {"a": st.none() | st.text(), "b": st.none() | st.integers(-5, 5)}
    ),
    pa.list_(pa.struct([("a", pa.string()), ("b", pa.list_(pa.int64()))])): st.lists(
        st.none() | st.fixed_dictionaries({"a": st.text(), "b": st.none() | st.lists(st.integers(-5, 5), max_size=2)}),
        max_size=3,
    ),
    pa.timestamp("us", "UTC"): st.integers(FIRST, LAST) | st.sampled_from([FIRST, LAST, 0, -1]),
    pa.timestamp("ms", "UTC"): st.integers(0, 10**12),
    pa.binary(): st.binary(max_size=3),
    pa.date32(): st.integers(0, 20_000),
    pa.decimal128(9, 2): st.decimals(min_value=-99, max_value=99, places=2),
    pa.decimal128(18, 6): st.decimals(min_value=-9, max_value=9, places=6),
    pa.decimal128(12, 8): st.decimals(min_value=-9, max_value=9, places=8),
    pa.decimal128(5, 0): st.decimals(min_value=-999, max_value=999, places=0),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    kinds = draw(st.lists(st.sampled_from(list(KINDS)), max_size=4))
    count = draw(st.integers(0, 4))
    columns = [
        pa.array(draw(st.lists(st.none() | KINDS[kind], min_size=count, max_size=count)), kind) for kind in kinds
    ]
    table = pa.table(columns, [f'a{number}"' for number in range(len(kinds))])
    return pa.concat_tables([table.slice(0, 1), table.slice(1)])


@settings(max_examples=400, derandomize=True, deadline=None)
@given(tables())
def test_all_at_once_is_as_one_by_one(table: pa.Table) -> None:
    assert json_rows(table) == [json_text(row) for row in plain_rows(table)]


def test_what_no_json_has_is_text() -> None:
    assert json.loads(json_text({"a": [float("inf"), float("-inf")], "b": float("nan")})) == {
        "a": ["inf", "-inf"],
        "b": "nan",
    }
