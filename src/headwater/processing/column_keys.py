"""Kafka keys and partitions of many rows at once, as Arrow's columns. `ports/keys` is the rule;
`tests/unit/processing/test_column_keys.py` holds both together.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.ports import key_columns
from headwater.processing.column_state import json_texts, packed_column


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


def tells_value(column: Any, others: Collection[Any] = ()) -> bool:
    """Whether the key of this one column, and of other values of it, tells which value a row has: not where some are
    null and others the text of that.

    >>> tells_value(pa.array(["null", "a"])), tells_value(pa.array(["null", "a"]), [None])
    (True, False)
    """
    if column.type != pa.string() or not (column.null_count or None in others):
        return True
    return "null" not in others and not pc.any(pc.equal(column, "null")).as_py()


def partitions_of(keys: Any, partitions: int) -> Any:
    """What `partition_of` makes of each key.

    >>> partitions_of(pa.array([b"JFK", b"LGA", b"EWR"]), 4).tolist()
    [1, 0, 3]
    """
    coded = keys.dictionary_encode()
    places = np.array(key_columns.partitions_of(coded.dictionary.to_pylist(), partitions), np.int64)
    return places[coded.indices.to_numpy()]
