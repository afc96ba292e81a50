"""Kafka keys and partitions of many rows at once. `ports/keys` is the rule; `tests/unit/processing/test_column_keys.py`
holds both together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headwater.processing.column_state import json_texts, packed_column

_SEED = np.uint32(0x9747B28C)
_MIX = np.uint32(0x5BD1E995)
_POSITIVE = np.uint32(0x7FFFFFFF)


def key_column(columns: Sequence[Any]) -> Any:
    """What `key_bytes` makes of each row of these columns, as an array of bytes.

    >>> key_column([pa.array(["JFK", "LGA"])]).to_pylist(), key_column([pa.array(["a"]), pa.array([7])]).to_pylist()
    ([b'JFK', b'LGA'], [b'["a",7]'])
    """
    if len(columns) > 1:
        return packed_column(columns)
    only = columns[0]
    text = only.fill_null("null") if only.type == pa.string() else json_texts(only)
    return text.cast(pa.binary())


def partitions_of(keys: Any, partitions: int) -> Any:
    """What `partition_of` makes of each key.

    >>> partitions_of(pa.array([b"JFK", b"LGA", b"EWR"]), 4).tolist()
    [1, 0, 3]
    """
    coded = keys.dictionary_encode()
    hashes = _murmur2(coded.dictionary)
    places = (hashes & _POSITIVE) % np.uint32(partitions)
    return places.astype(np.int64)[coded.indices.to_numpy()]


def _murmur2(keys: Any) -> Any:
    """The hash of each of these bytes: word by word, of all that are long enough at once, the longest first."""
    bounds = np.frombuffer(keys.buffers()[1], np.int32)[keys.offset : keys.offset + len(keys) + 1].astype(np.int64)
    data = keys.buffers()[2]
    octets = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    lengths = np.diff(bounds)
    order = np.argsort(-lengths, kind="stable")
    starts, lengths = bounds[:-1][order], lengths[order]
    hashes = _SEED ^ lengths.astype(np.uint32)
    words = lengths // 4
    for word in range(int(words[0]) if len(words) else 0):
        many = int(np.searchsorted(-words, -word, side="left"))  # those with more words than this
        at = starts[:many] + 4 * word
        mixed = _little(octets, at, 4) * _MIX
        mixed = (mixed ^ (mixed >> np.uint32(24))) * _MIX
        hashes[:many] = (hashes[:many] * _MIX) ^ mixed
    for size in (1, 2, 3):
        rest = np.flatnonzero(lengths % 4 == size)
        at = starts[rest] + 4 * words[rest]
        hashes[rest] = (hashes[rest] ^ _little(octets, at, size)) * _MIX
    hashes = (hashes ^ (hashes >> np.uint32(13))) * _MIX
    hashes ^= hashes >> np.uint32(15)
    found = np.empty_like(hashes)
    found[order] = hashes
    return found


def _little(octets: Any, at: Any, size: int) -> Any:
    """The number in so many octets from each of these places, the first octet the least."""
    value = octets[at].astype(np.uint32)
    for place in range(1, size):
        value |= octets[at + place].astype(np.uint32) << np.uint32(8 * place)
    return value
