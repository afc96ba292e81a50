"""What publishing facts over columns shares: their numbers, and what goes as columns and by rows put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.blocks import OutputBlock
from headwater.processing.column_ends import Ended
from headwater.processing.operators.core import OPEN
from headwater.processing.state import Table
from headwater.processing.work import OutputRecord


def known_numbers(table: Table, keys: Sequence[bytes]) -> Any:
    """The number that a table has of each key, 0 where it has none; few are there, and only they are kept unpacked."""
    known = np.zeros(len(keys), np.int64)
    some = np.flatnonzero(table.has_many(keys)).tolist()
    if some:
        known[some] = table.get_many([keys[place] for place in some])
    return known


def in_order(made: OutputBlock, said: Sequence[OutputRecord], *, moving: bool = False) -> Ended:
    """Records of facts as columns and by rows in the order of `publish`; all by rows where columns cannot hold them."""
    try:
        return Ended(_joined(made, said, moving))
    except (OverflowError, pa.ArrowInvalid, pa.ArrowTypeError):
        return Ended(None, sorted([*made.records(), *said], key=_place_of_moving if moving else _place_of_fact))


def _joined(made: OutputBlock, said: Sequence[OutputRecord], moving: bool) -> OutputBlock | None:
    keys = pa.array([*made.keys, *(one.key for one in said)], pa.binary())
    if not len(keys):
        return None
    recorded = np.concatenate([made.recorded, np.array([one.recorded_at for one in said], np.int64)])
    columns = {
        name: pa.concat_arrays([column, pa.array([one.record[name] for one in said], column.type)])
        for name, column in made.columns.items()
    }
    places = {"recorded_at": recorded, "key": keys}
    if moving:
        places["comes"] = pc.not_equal(columns["kind"], "retract")
    places |= {"from": columns["valid_from"], "to": columns["valid_to"].fill_null(OPEN)}
    order = pc.sort_indices(pa.table(places), [(name, "ascending") for name in places])
    columns = {name: column.take(order) for name, column in columns.items()}
    return OutputBlock(keys.take(order).to_pylist(), recorded[order.to_numpy()], columns)


def _place_of_fact(one: OutputRecord) -> tuple[Any, ...]:
    until = one.record["valid_to"]
    return one.recorded_at, one.key, one.record["valid_from"], OPEN if until is None else until


def _place_of_moving(one: OutputRecord) -> tuple[Any, ...]:
    recorded_at, key, *interval = _place_of_fact(one)
    return recorded_at, key, one.record["kind"] != "retract", *interval
