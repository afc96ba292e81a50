"""Rows in columns to the bytes that state keeps of them: keys of parts, and the JSON that `packing` makes of a row.

`packing` is the rule; `tests/unit/processing/test_column_state.py` holds both together.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.field_types import FieldType
from headwater.processing.operators.core import OPEN
from headwater.schemas.column_decimals import DIGITS
from headwater.schemas.unsure import Unsure

_ARROW = {"string": pa.string(), "integer": pa.int64(), "instant": pa.int64(), "boolean": pa.bool_()}
_QUOTE, _BACKSLASH, _SPACE = 0x22, 0x5C, 0x20
_NOTHING = pa.scalar(b"", pa.binary())
_LENGTHS = 1 << 16  # of parts of a key lie in two bytes
_PLACES = 6  # of decimals: smaller ones are written with an exponent
_SIGN = np.uint64(1 << 63)


def packable(types: Sequence[FieldType]) -> bool:
    """Whether rows of these types can be packed as columns.

    >>> packable([FieldType("string"), FieldType("instant")]), packable([FieldType("double")])
    (True, False)
    """
    return all(type_.kind in _ARROW for type_ in types)


def keepable(types: Sequence[FieldType]) -> bool:
    """Whether rows of these types can be packed as columns: decimals too, and arrays and records of what is packable.

    >>> from headwater.processing.field_types import from_avro
    >>> [keepable([from_avro({"type": "array", "items": items})]) for items in ("long", "bytes")]
    [True, False]
    """
    return all(keepable(inside) if (inside := _inside(type_)) else _plain(type_) for type_ in types)


def arrow_type(type_: FieldType) -> Any:
    """What a column of a keepable type lies in."""
    if type_.items is not None:
        return pa.list_(arrow_type(type_.items))
    if type_.members:
        return pa.struct([(name, arrow_type(member)) for name, member in type_.members])
    return pa.decimal128(type_.precision, type_.scale) if type_.kind == "decimal" else _ARROW[type_.kind]


def require_types(columns: Mapping[str, Any], names: Sequence[str], types: Sequence[FieldType]) -> None:
    """Raises `Unsure` where a column does not lie in what its type is kept in."""
    if any(columns[name].type != arrow_type(type_) for name, type_ in zip(names, types, strict=True)):
        raise Unsure


def held_column(values: Sequence[Any], type_: Any) -> Any:
    """A column of values that the row road kept; raises `Unsure` where 64 bits do not hold one."""
    try:
        return pa.array(values, type_)
    except OverflowError:
        raise Unsure from None


def differ(one: Any, other: Any) -> Any:
    """Whether each value is another than its fellow; null is itself alone.

    >>> differ(pa.array([1, 2, None]), pa.array([1, 3, None])).tolist()
    [False, True, False]
    """
    found = pc.or_(pc.fill_null(pc.not_equal(one, other), False), pc.xor(pc.is_null(one), pc.is_null(other)))
    return found.to_numpy(zero_copy_only=False)


def _plain(type_: FieldType) -> bool:
    """Whether a type is packable, or of decimals that are read as columns and whose text has no exponent."""
    short = type_.kind == "decimal" and type_.precision <= DIGITS and 0 <= type_.scale <= _PLACES
    return short or type_.kind in _ARROW


def _inside(type_: FieldType) -> list[FieldType]:
    return [type_.items] if type_.items is not None else [member for _, member in type_.members]


def packed_rows(columns: Sequence[Any]) -> list[bytes]:
    """What `pack` makes of each row.

    >>> packed_rows([pa.array(["a", None]), pa.array([1, -2]), pa.array([True, None])])
    [b'["a",1,true]', b'[null,-2,null]']
    """
    found: list[bytes] = packed_column(columns).to_pylist()
    return found


def packed_column(columns: Sequence[Any]) -> Any:
    """The same as an array."""
    made = pc.binary_join_element_wise(*[json_texts(column) for column in columns], ",")
    return pc.binary_join_element_wise("[", made, "]", "").cast(pa.binary())


def json_texts(column: Any) -> Any:
    """Each value of a column as JSON writes it.

    >>> json_texts(pa.array(["a", None])).to_pylist()
    ['"a"', 'null']
    >>> json_texts(pa.array([["a", None], [], None])).to_pylist()
    ['["a",null]', '[]', 'null']
    >>> json_texts(pa.array([b"a"])).to_pylist()  # as `packing` has them
    ['"YQ=="']
    """
    if pa.types.is_list(column.type):
        return _listed(column, _arrays(column))
    if pa.types.is_struct(column.type):
        return _listed(column, _members(column))
    if column.type == pa.string():
        if _escaped(column):
            encode = json.encoder.encode_basestring
            quoted = [None if value is None else encode(value) for value in column.to_pylist()]
            text = pa.array(quoted, pa.string())
        else:
            text = pc.binary_join_element_wise('"', column, '"', "")
    elif column.type == pa.binary():
        encoded = [None if value is None else base64.b64encode(value).decode() for value in column.to_pylist()]
        text = pc.binary_join_element_wise('"', pa.array(encoded, pa.string()), '"', "")
    elif pa.types.is_decimal(column.type):
        text = pc.binary_join_element_wise('"', column.cast(pa.string()), '"', "")
    else:
        text = column.cast(pa.string())  # of a boolean it is true or false, as in JSON
    return text.fill_null("null") if text.null_count else text


def _listed(column: Any, inside: Any) -> Any:
    """What stands in each value of a column between brackets, with them; null where there is none."""
    text = pc.binary_join_element_wise("[", inside, "]", "")
    return pc.if_else(pc.is_valid(column), text, "null") if column.null_count else text


def _arrays(column: Any) -> Any:
    """The elements of each array."""
    ends = np.cumsum(list_sizes(column))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    return pc.binary_join(pa.ListArray.from_arrays(offsets, json_texts(column.flatten())), ",")


def _members(column: Any) -> Any:
    """The members of each record, in their order."""
    texts = [json_texts(pc.struct_field(column, place)) for place in range(column.type.num_fields)]
    return pc.binary_join_element_wise(*texts, ",")


def list_sizes(column: Any) -> Any:
    """How many elements each array of a column has; none where it is null."""
    return pc.list_value_length(column).fill_null(0).to_numpy().astype(np.int64)


def joined_keys(parts: Sequence[Any]) -> list[bytes]:
    """The parts of each key, arrays of bytes or one bytes for all, one after another."""
    found: list[bytes] = joined_column(parts).to_pylist()
    return found


def joined_column(parts: Sequence[Any]) -> Any:
    """The same as an array, null where a part is.

    >>> joined_column([b"k", pa.array([b"a", None])]).to_pylist()
    [b'ka', None]
    """
    scalars = [pa.scalar(part, pa.binary()) if isinstance(part, bytes) else part for part in parts]
    return pc.binary_join_element_wise(*scalars, _NOTHING)


def closed_text(texts: Any) -> Any:
    """What `multisets.closed` makes of each of these bytes.

    >>> closed_text(pa.array([b"a\\0", None])).to_pylist()
    [b'a\\x00\\xff\\x00\\x00', None]
    """
    return joined_column([pc.replace_substring(texts, pattern=b"\0", replacement=b"\0\xff"), b"\0\0"])


def sized_keys(parts: Any) -> Any:
    """What `sized` makes of each of these bytes; raises `Unsure` where one is too long for that.

    >>> sized_keys(pa.array([b"JFK", b""])).to_pylist()
    [b'\\x00\\x03JFK', b'\\x00\\x00']
    """
    lengths = pc.binary_length(parts).to_numpy()
    if len(lengths) and int(lengths.max()) >= _LENGTHS:
        raise Unsure
    return pc.binary_join_element_wise(_fixed(lengths.astype(">u2"), 2), parts, _NOTHING)


def rest_columns(shape: str, columns: Mapping[str, Any]) -> list[Any]:
    """What `rest_function` makes of each row, as parts of a key.

    >>> joined_keys(rest_columns("event", {"event_id": pa.array(["e1", "e2"])}))
    [b'e1', b'e2']
    """
    if shape == "event":
        return [columns["event_id"].cast(pa.binary())]
    return [ordered_integers(columns["valid_from"].to_numpy()), ordered_integers(ends_of(columns["valid_to"]))]


def ends_of(valid_to: Any) -> Any:
    """Where intervals end: open ones above every instant.

    >>> ends_of(pa.array([7, None])).tolist() == [7, OPEN]
    True
    """
    return valid_to.fill_null(OPEN).to_numpy()


def ordered_integers(values: Any) -> Any:
    """What `ordered_integer` makes of each number."""
    turned = (values.astype(np.int64).view(np.uint64) ^ _SIGN).astype(">u8")
    return _fixed(turned, 8)


def _fixed(numbers: Any, size: int) -> Any:
    fixed = pa.Array.from_buffers(pa.binary(size), len(numbers), [None, pa.py_buffer(numbers.tobytes())])
    return fixed.cast(pa.binary())


def _escaped(column: Any) -> bool:
    """Whether JSON writes some character of a column of text other than it stands."""
    _, ends, data = column.buffers()
    if data is None or not len(column):
        return False
    bounds = np.frombuffer(ends, np.int32)[column.offset : column.offset + len(column) + 1]
    text = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]
    return bool(((text < _SPACE) | (text == _QUOTE) | (text == _BACKSLASH)).any())
