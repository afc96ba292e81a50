"""What publishing over columns shares: known numbers, what goes by rows, and both roads' records put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.blocks import OutputBlock
from headwater.processing.column_intake import Ended
from headwater.processing.operators.core import OPEN, Change, RowStep, stepped
from headwater.processing.operators.publish import Publish
from headwater.processing.state import Table
from headwater.processing.work import OutputRecord

KINDS = pa.array(["assert", "correct", "retract"])


def kinds_of(fresh: Any, comes: Any) -> Any:
    """What each record is called: whether nothing held before it, and whether something does now.

    >>> kinds_of(np.array([True, False, False]), np.array([True, True, False])).to_pylist()
    ['assert', 'correct', 'retract']
    """
    return KINDS.take(pa.array(np.where(comes, np.where(fresh, 0, 1), 2)))


def known_numbers(table: Table, keys: Sequence[bytes]) -> Any:
    """The number that a table has of each key, 0 where it has none; few are there, and only they are kept unpacked."""
    known = np.zeros(len(keys), np.int64)
    some = np.flatnonzero(table.has_many(keys)).tolist()
    if some:
        known[some] = table.get_many([keys[place] for place in some])
    return known


def said_by_rows(
    changes: Mapping[int, Sequence[Change]],
    publish: Publish,
    length: int,
    operator: Any = None,
    step: RowStep | None = None,
) -> list[OutputRecord]:
    """The records of the changes of ticks of this length, oldest first, after an operator and the step behind it."""
    said: list[OutputRecord] = []
    for tick, some in sorted(changes.items()):
        end = (tick + 1) * length - 1
        made = some if operator is None else operator.tick(some)
        if step is not None:
            made = stepped(made, step)
        said += [OutputRecord(key, record, end) for key, record in publish.tick(made, end)]
    return said


def in_order(made: OutputBlock, said: Sequence[OutputRecord], *, moving: bool = False) -> Ended:
    """Records of facts as columns and by rows in the order of `publish`; all by rows where columns cannot hold them."""
    if not (len(made) or said):
        return Ended()
    try:
        return Ended(merged(pa.array(made.keys, pa.binary()), made.recorded, made.columns, said, moving=moving))
    except (OverflowError, pa.ArrowInvalid, pa.ArrowTypeError):
        return Ended(None, by_place([*made.records(), *said], moving=moving))


def merged(
    keys: Any,
    recorded: Any,
    columns: Mapping[str, Any],
    said: Sequence[OutputRecord],
    *,
    moving: bool = False,
    event: bool = False,
) -> OutputBlock:
    """Records as columns and by rows, one at least, in the order of `publish`; Arrow's errors where columns cannot hold
    what is said.
    """
    if said:
        keys = pa.concat_arrays([keys, pa.array([one.key for one in said], pa.binary())])
        recorded = np.concatenate([recorded, np.array([one.recorded_at for one in said], np.int64)])
        columns = {
            name: pa.concat_arrays([column, pa.array([one.record[name] for one in said], column.type)])
            for name, column in columns.items()
        }
    places = {"recorded_at": recorded, "key": keys}
    if moving:
        places["comes"] = pc.not_equal(columns["kind"], "retract")
    if event:
        places["event"] = columns["event_id"]
    else:
        places |= {"from": columns["valid_from"], "to": columns["valid_to"].fill_null(OPEN)}
    order = pc.sort_indices(pa.table(places), [(name, "ascending") for name in places])
    columns = {name: column.take(order) for name, column in columns.items()}
    return OutputBlock(keys.take(order).to_pylist(), recorded[order.to_numpy()], columns)


def by_place(records: Sequence[OutputRecord], *, moving: bool = False, event: bool = False) -> list[OutputRecord]:
    """Records in the same order."""

    def place(one: OutputRecord) -> tuple[Any, ...]:
        comes = moving and one.record["kind"] != "retract"
        if event:
            return one.recorded_at, one.key, comes, one.record["event_id"].encode()
        until = one.record["valid_to"]
        return one.recorded_at, one.key, comes, one.record["valid_from"], OPEN if until is None else until

    return sorted(records, key=place)
