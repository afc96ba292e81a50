"""The partitions of many keys at once: `keys.partition_of` in columns, for keys that are seen for the first time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_SEED, _FACTOR = np.uint32(0x9747B28C), np.uint32(0x5BD1E995)


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """The partition of each key; a tenth of the cost of asking for each by itself where their lengths are few.

    >>> partitions_of([b"JFK", b"LGA", b"EWR"], 4)
    [1, 0, 3]
    """
    lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    found = np.empty(len(keys), np.int64)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        text = np.frombuffer(b"".join([keys[row] for row in rows.tolist()]), np.uint8).reshape(len(rows), length)
        found[rows] = (_murmur2(text) & np.uint32(0x7FFFFFFF)).astype(np.int64) % partitions
    return found.tolist()


def _murmur2(text: Any) -> Any:
    """Kafka's murmur2 of each row of a table of bytes; numbers of 32 bits that lose what is above."""
    rows, length = text.shape
    whole = length & ~3
    words = np.ascontiguousarray(text[:, :whole]).view("<u4")
    hashes = np.full(rows, _SEED ^ np.uint32(length), np.uint32)
    for place in range(whole // 4):
        word = words[:, place] * _FACTOR
        hashes = hashes * _FACTOR ^ (word ^ word >> np.uint32(24)) * _FACTOR
    if length > whole:
        rest = np.zeros(rows, np.uint32)
        for place in range(whole, length):
            rest |= text[:, place].astype(np.uint32) << np.uint32(8 * (place - whole))
        hashes = (hashes ^ rest) * _FACTOR
    hashes = (hashes ^ hashes >> np.uint32(13)) * _FACTOR
    return hashes ^ hashes >> np.uint32(15)
