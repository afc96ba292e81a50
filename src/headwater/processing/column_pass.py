"""A product that only maps and filters, over columns: many records at once. `operators/passing` is the rule.

A block is passed whole or not at all: where one of its records would be refused, or is not sure, the row road looks at
each. `tests/simulation/test_column_pass.py` holds both together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.blocks import Block, OutputBlock
from headwater.processing.column_steps import ColumnSteps, column_steps
from headwater.processing.graph import Map
from headwater.processing.operators.core import OPEN
from headwater.processing.operators.passing import PassSpec
from headwater.schemas.unsure import Unsure

_KINDS = pa.array(["assert", "correct", "retract"])
_KIND = pa.scalar("retract")


def passable(spec: PassSpec) -> bool:
    """Whether what this does to records can be done over columns."""
    return not spec.conversions and _steps(spec, filtered=True) is not None


class ColumnPass:
    """Blocks of records to blocks of what is published of them."""

    def __init__(self, spec: PassSpec) -> None:
        steps, mapping = _steps(spec, filtered=True), _steps(spec, filtered=False)
        assert steps is not None and mapping is not None
        self._steps, self._mapping = steps, mapping
        self._fields, self._columns = list(spec.fields), spec.columns
        self._fact = spec.shape == "fact"
        self._instant = "valid_from" if self._fact else "occurred_at"
        self._accept_late = spec.accept_late
        self._overrides = spec.overrides

    def __call__(self, block: Block, last: int) -> OutputBlock:
        """What is published of these records, none of which was recorded before `last`; raises `Unsure`."""
        batch, recorded = block.columns, block.integers("recorded_at")
        revision, kind = block.integers("revision"), batch.column("kind")
        if recorded[0] < last or (np.diff(recorded) < 0).any() or (revision < 1).any():
            raise Unsure
        if not pc.all(pc.is_in(kind, _KINDS)).as_py() or self._refused(block, recorded):
            raise Unsure
        made, kept = self._steps(batch.select(self._fields))  # others that lie there are of other outputs
        taken_back = pc.equal(kind, _KIND).to_numpy(zero_copy_only=False)
        failed = np.ones(batch.num_rows, bool)
        failed[kept] = False
        gone = taken_back | (failed & ((revision > 1) | self._overrides))
        columns = {name: made.column(name) for name in self._columns}
        places = kept
        if gone.any():
            stays = ~taken_back[kept]
            columns, places = self._with_retracts(columns, kept, stays, batch, np.flatnonzero(gone))
            kind = pc.if_else(pa.array(gone), _KIND, kind)
        which = pa.array(places)
        columns["recorded_at"] = pa.array(recorded[places])
        columns["kind"] = kind.take(which)
        columns["revision"] = pa.array(revision[places])
        return OutputBlock(block.keys.take(which).to_pylist(), recorded[places], columns)

    def _refused(self, block: Block, recorded: Any) -> bool:
        """Whether one of the records is late or holds for no instant."""
        if self._fact:
            until = block.columns.column("valid_to").fill_null(OPEN).to_numpy()
            if (block.integers("valid_from") >= until).any():
                return True
        limit = self._accept_late
        return limit is not None and bool((recorded - block.integers(self._instant) > limit).any())

    def _with_retracts(
        self, columns: dict[str, Any], kept: Any, stays: Any, batch: Any, gone: Any
    ) -> tuple[dict[str, Any], Any]:
        """The columns and places of what holds and of what is taken back, in the order of the records."""
        whole, _ = self._mapping(batch.select(self._fields).take(pa.array(gone)))
        places = np.concatenate([kept[stays], gone])
        order = np.argsort(places, kind="stable")
        mask, which = pa.array(stays), pa.array(order)
        merged = {
            name: pa.concat_arrays([column.filter(mask), whole.column(name)]).take(which)
            for name, column in columns.items()
        }
        return merged, places[order]


def _steps(spec: PassSpec, *, filtered: bool) -> ColumnSteps | None:
    rows = spec.rows if filtered else tuple(step for step in spec.rows if isinstance(step, Map))
    given = dict(zip(spec.fields, spec.given, strict=True))
    return column_steps(rows, given, dict(zip(spec.columns, spec.types, strict=True)))
