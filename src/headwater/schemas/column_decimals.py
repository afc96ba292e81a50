"""Decimals between Avro's bytes and Arrow's columns, many at once. `logical` is the rule.

Only such as 64 bits hold without their scale: of others `Unsure` is raised.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from headwater.schemas.unsure import Unsure

DIGITS = 18  # that 64 bits hold, whatever they are
_BYTES = 8


def decimals_of(column: Any, precision: int, scale: int) -> Any:
    """Decimals of two's complement bytes.

    >>> decimals_of(pa.array([bytes([0x04, 0xD2]), bytes([0xFF]), None]), 6, 2).to_pylist()
    [Decimal('12.34'), Decimal('-0.01'), None]
    """
    numbers = _numbers(column)
    if not within(numbers, precision):
        raise Unsure
    return of_unscaled(numbers, pa.decimal128(precision, scale), column)


def within(numbers: Any, digits: int) -> bool:
    """Whether whole numbers of 64 bits have so many digits at most."""
    return digits > DIGITS or bool(((numbers > -(10**digits)) & (numbers < 10**digits)).all())


def of_unscaled(numbers: Any, type_: Any, like: Any = None) -> Any:
    """Decimals of a type from whole numbers of 64 bits, with the nulls of another column."""
    both = np.stack([numbers, numbers >> 63], axis=1).astype("<i8")
    made = pa.Array.from_buffers(type_, len(numbers), [None, pa.py_buffer(both.tobytes())])
    if like is None or not like.null_count:
        return made
    return made.take(pa.array(np.arange(len(made)), mask=~_there(like)))


def unscaled(column: Any) -> Any:
    """The whole numbers that decimals are of, zero for null.

    >>> unscaled(pa.array([None, "12.34"]).cast(pa.decimal128(6, 2))).tolist()
    [0, 1234]
    """
    both = np.frombuffer(column.buffers()[1] or b"", "<i8").reshape(-1, 2)[column.offset : column.offset + len(column)]
    numbers, above = np.where(_there(column)[:, None], both, 0).T
    if (above != numbers >> 63).any():
        raise Unsure
    return numbers.astype(np.int64)


def bytes_of(column: Any) -> Any:
    """Two's complement bytes of decimals, as few as it takes.

    >>> bytes_of(pa.array(["12.34", None, "-0.01"]).cast(pa.decimal128(6, 2))).to_pylist()
    [b'\\x04\\xd2', None, b'\\xff']
    """
    numbers, there = unscaled(column), _there(column)
    size = numbers ^ (numbers >> 63)  # as far from zero, or one less
    needed = 1 + sum((size >> (8 * number - 1) > 0).astype(np.int64) for number in range(1, _BYTES))
    needed = np.where(there, needed, 0)
    whole = np.frombuffer(numbers.astype(">i8").tobytes(), np.uint8).reshape(-1, _BYTES)
    data = whole[np.arange(_BYTES) >= _BYTES - needed[:, None]]
    ends = np.concatenate(([0], np.cumsum(needed))).astype(np.int32)
    valid = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.binary(), len(column), [valid, pa.py_buffer(ends), pa.py_buffer(data.tobytes())])


def _numbers(column: Any) -> Any:
    _, bounds, data = column.buffers()
    ends = np.frombuffer(bounds or b"\0\0\0\0", np.int32)[column.offset : column.offset + len(column) + 1]
    sizes, there = np.diff(ends), _there(column)
    if ((sizes < 1) | (sizes > _BYTES))[there].any():
        raise Unsure
    text = np.frombuffer(data or b"", np.uint8)
    starts, ends = ends[:-1][there], ends[1:][there]
    filling = np.where(text[starts] >= 128, 255, 0).astype(np.uint64)
    found = np.zeros(len(starts), np.uint64)
    for number in range(_BYTES):  # the last byte first
        places = ends - 1 - number
        byte = np.where(places >= starts, text[np.maximum(places, starts)], filling)
        found |= byte.astype(np.uint64) << np.uint64(8 * number)
    numbers = np.zeros(len(column), np.int64)
    numbers[there] = found.view(np.int64)
    return numbers


def _there(column: Any) -> Any:
    return column.is_valid().to_numpy(zero_copy_only=False)
