"""Kafka keys and partitions, so that any client finds a key's partition: murmur2 over the key's UTF-8 text.

One key field is its value as JSON would write it, without quotes; several are a compact JSON array, non-ASCII kept.
Partitions are those of the Java client's default partitioner (`Utils.toPositive(Utils.murmur2(key)) % partitions`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence


def key_text(values: Sequence[object]) -> str:
    """The key of a record from the values of its key fields.

    >>> key_text(["JFK"]), key_text([17]), key_text(["JFK", "LAX"]), key_text([None])
    ('JFK', '17', '["JFK","LAX"]', 'null')
    """
    if len(values) == 1:
        value = values[0]
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))


def key_bytes(values: Sequence[object]) -> bytes:
    """The same as bytes."""
    return key_text(values).encode()


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key.

    >>> [partition_of(key.encode(), 4) for key in ("JFK", "LGA", "EWR")]
    [1, 0, 3]
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Kafka's murmur2, as an unsigned 32-bit number.

    Source: MurmurHash2 by Austin Appleby (public domain), with the seed 0x9747b28c that Kafka's clients use.
    """
    length = len(data)
    hash_ = 0x9747B28C ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * 0x5BD1E995 & 0xFFFFFFFF
        k = (k ^ (k >> 24)) * 0x5BD1E995 & 0xFFFFFFFF
        hash_ = (hash_ * 0x5BD1E995 & 0xFFFFFFFF) ^ k
    if length & 3:
        hash_ = (hash_ ^ int.from_bytes(data[whole:], "little")) * 0x5BD1E995 & 0xFFFFFFFF
    hash_ = (hash_ ^ (hash_ >> 13)) * 0x5BD1E995 & 0xFFFFFFFF
    return hash_ ^ (hash_ >> 15)
