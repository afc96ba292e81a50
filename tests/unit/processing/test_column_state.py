"""Bytes of state made of columns are those that `packing` makes of the same rows."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.processing import column_state
from headwater.processing.column_state import (
    arrow_type,
    closed_text,
    joined_keys,
    keepable,
    ordered_integers,
    packable,
    packed_rows,
)
from headwater.processing.field_types import FieldType, from_avro
from headwater.processing.multisets import closed
from headwater.processing.packing import RowForm, ordered_integer, pack, sized

EXACT = Context(prec=100)
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


@pytest.mark.parametrize("scale", range(7))
@settings(max_examples=15, deadline=None)
@given(st.lists(st.none() | st.integers(-(10**18) + 1, 10**18 - 1) | st.integers(-9, 9), max_size=8))
def test_decimals_are_packed_as_one_by_one(scale: int, numbers: list[int | None]) -> None:
    type_ = FieldType("decimal", nullable=True, precision=18, scale=scale)
    values = [None if number is None else Decimal(number).scaleb(-scale, context=EXACT) for number in numbers]
    form = RowForm([type_])
    packed = [pack(form.write((value,))) for value in values]
    assert keepable([type_]) and packed_rows([pa.array(values, arrow_type(type_))]) == packed


def test_decimals_whose_text_has_an_exponent_are_not_packed_as_columns() -> None:
    assert not keepable([FieldType("decimal", precision=18, scale=7)])
    assert not keepable([FieldType("decimal", precision=19, scale=2)])


LEG = {
    "type": "record",
    "name": "Leg",
    "fields": [
        {"name": "origin", "type": ["null", "string"]},
        {"name": "minutes", "type": "long"},
        {"name": "late", "type": ["null", "boolean"]},
    ],
}
NESTED = [
    from_avro(["null", {"type": "array", "items": ["null", "string"]}]),
    from_avro({"type": "array", "items": ["null", LEG]}),
    from_avro({"type": "array", "items": {"type": "array", "items": "long"}}),
    from_avro(["null", LEG]),
    from_avro("string"),
]
LEGS = st.fixed_dictionaries({"origin": st.none() | TEXT, "minutes": INT64, "late": st.none() | st.booleans()})
NESTS = st.tuples(
    st.none() | st.lists(st.none() | TEXT, max_size=3),
    st.lists(st.none() | LEGS, max_size=3),
    st.lists(st.lists(INT64, max_size=2), max_size=2),
    st.none() | LEGS,
    TEXT,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(NESTS, max_size=6), st.integers(0, 2), st.integers(0, 1))
def test_arrays_and_records_are_packed_as_one_by_one(rows: list[Any], cut: int, kept: int) -> None:
    """Of a part of larger columns, and of what is left of one."""
    assert keepable(NESTED) and not packable(NESTED)
    padded = [(["x"], [None], [[0]], None, '"')] * cut + rows
    columns = [
        pa.array([row[place] for row in padded], arrow_type(type_)).slice(cut) for place, type_ in enumerate(NESTED)
    ]
    mask = pa.array([bool(place % 3 or kept) for place in range(len(rows))], pa.bool_())
    left = [row for row, stays in zip(rows, mask.to_pylist(), strict=True) if stays]
    form = RowForm(NESTED)
    assert packed_rows([column.filter(mask) for column in columns]) == [pack(form.write(row)) for row in left]
    assert packed_rows(columns) == [pack(form.write(row)) for row in rows]


@pytest.mark.parametrize("avro", ["bytes", "double", {"type": "int", "logicalType": "date"}])
def test_what_arrow_writes_otherwise_is_not_kept_as_columns_within_arrays_either(avro: Any) -> None:
    assert not keepable([from_avro({"type": "array", "items": avro})])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=3), INT64), max_size=8))
def test_keys_are_those_of_rows(parts: list[tuple[bytes, int]]) -> None:
    sizes = pa.array([sized(key) for key, _ in parts], pa.binary())
    made = joined_keys([b"t\x00", sizes, ordered_integers(np.array([at for _, at in parts], np.int64))])
    assert made == [b"t\x00" + sized(key) + ordered_integer(at) for key, at in parts]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | st.binary(max_size=4), max_size=8), st.integers(0, 2))
def test_bytes_are_packed_as_one_by_one(values: list[bytes | None], cut: int) -> None:
    form = RowForm([FieldType("bytes", nullable=True)])
    column = pa.array([b"x"] * cut + values, pa.binary()).slice(cut)
    assert packed_rows([column]) == [pack(form.write((value,))) for value in values]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | st.binary(max_size=4) | st.sampled_from([b"\0", b"a\0\0b", b"\0\xff"]), max_size=8))
def test_texts_are_closed_as_one_by_one(values: list[bytes | None]) -> None:
    made = closed_text(pa.array(values, pa.binary())).to_pylist()
    assert made == [None if value is None else closed(value) for value in values]


def test_a_packing_that_escapes_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a", 'say "hi"', 1, 2, True)]
    check(rows)
    monkeypatch.setattr(column_state, "_escaped", lambda column: False)
    with pytest.raises(AssertionError):
        check(rows)
