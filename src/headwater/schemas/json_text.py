"""JSON text of rows: one by one, or of a table column by column, which is a fraction of the work.

Both give the same text. JSON has no number for what is not finite: that is text, `"NaN"` or `"-inf"`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headwater.schemas.arrow import instants_as_text, plain_rows

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_PLAIN_SCALE = 6  # of decimals: smaller ones are written with an exponent
_CONTROL = r"[\x00-\x1f]"
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # years of four digits, as instants are written


def json_text(value: Any) -> str:
    """A value as compact JSON.

    >>> json_text({"a": float("nan"), "b": "ü"})
    '{"a":"nan","b":"ü"}'
    """
    try:
        return _JSON.encode(value)
    except ValueError:
        return json_text(_finite(value))


def json_rows(table: pa.Table) -> list[str]:
    """Each row of a table, as `json_text` has the rows of `plain_rows`.

    >>> json_rows(pa.table({"a": [1, None], "b": ["x", 'say "y"']}))
    ['{"a":1,"b":"x"}', '{"a":null,"b":"say \\\\"y\\\\""}']
    """
    if not table.num_rows or not table.num_columns:
        return [json_text(row) for row in plain_rows(table)]
    parts: list[Any] = []
    for number, name in enumerate(table.column_names):
        text = _text_of(table.column(number).combine_chunks())
        if text is None:  # value by value, this column alone
            values = plain_rows(table.select([number]))
            text = pa.array([json_text(row[name]) for row in values], pa.string())
        parts += [("," if number else "{") + json_text(name) + ":", pc.fill_null(text, "null")]
    rows: list[str] = pc.binary_join_element_wise(*parts, "}", "").to_pylist()
    return rows


def _text_of(column: Any) -> Any:
    """A column as JSON text, null where it is null; None where its values are to be looked at one by one."""
    for is_kind, converted in _KINDS:
        if is_kind(column.type):
            return converted(column)
    return None


def _of_text(column: Any) -> Any:
    column = column.cast(pa.string())
    if pc.any(pc.match_substring_regex(column, _CONTROL)).as_py():
        return None
    for sign, said in (("\\", "\\\\"), ('"', '\\"')):
        column = pc.replace_substring(column, sign, said)
    return pc.binary_join_element_wise('"', column, '"', "")


def _of_instants(column: Any) -> Any:
    if column.type.unit != "us":
        return None
    numbers = column.cast(pa.int64())
    bounds = pc.min_max(numbers).as_py()
    if bounds["min"] is not None and not (bounds["min"] >= _FIRST and bounds["max"] <= _LAST):
        return None
    return pc.binary_join_element_wise('"', instants_as_text(column), '"', "")


def _of_numbers(column: Any) -> Any:
    return column.cast(pa.string())


def _of_floats(column: Any) -> Any:
    said = (
        value if value is None else repr(value) if math.isfinite(value) else f'"{value}"'
        for value in column.to_pylist()
    )
    return pa.array(said, pa.string())


def _of_decimals(column: Any) -> Any:
    if not 0 <= column.type.scale <= _PLAIN_SCALE:
        return None
    return pc.binary_join_element_wise('"', column.cast(pa.string()), '"', "")


def _of_structs(column: Any) -> Any:
    parts: list[Any] = []
    for number, (field, inside) in enumerate(zip(column.type, column.flatten(), strict=True)):
        text = _text_of(inside)
        if text is None:
            return None
        parts += [("," if number else "{") + json_text(field.name) + ":", pc.fill_null(text, "null")]
    text = pc.binary_join_element_wise(*parts, "}", "") if parts else None
    return None if text is None else pc.if_else(column.is_valid(), text, None)


def _of_lists(column: Any) -> Any:
    inside = _text_of(column.flatten())
    if inside is None:
        return None
    lengths = pc.fill_null(column.value_lengths(), 0)
    ends = pc.cumulative_sum(lengths.cast(pa.int64())).cast(pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    texts = pa.ListArray.from_arrays(offsets, pc.fill_null(inside, "null"))
    text = pc.binary_join_element_wise("[", pc.binary_join(texts, ","), "]", "")
    return pc.if_else(column.is_valid(), text, None)


_KINDS: Sequence[tuple[Callable[[Any], bool], Callable[[Any], Any]]] = (
    (pa.types.is_string, _of_text),
    (pa.types.is_int64, _of_numbers),
    (pa.types.is_int32, _of_numbers),
    (pa.types.is_boolean, _of_numbers),
    (pa.types.is_timestamp, _of_instants),
    (pa.types.is_floating, _of_floats),
    (pa.types.is_struct, _of_structs),
    (pa.types.is_list, _of_lists),
    (pa.types.is_decimal128, _of_decimals),
)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
