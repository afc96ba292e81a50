"""Many records at once, as columns: what a reader hands to a task, and what a task hands to a writer.

A block is only ever another form of the records that it stands for: `versions` and `records` give those back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.operators.changes import Version
from headwater.processing.work import OutputRecord


@dataclass(frozen=True, slots=True)
class Block:
    """Records of one partition of an input, in its order; `columns` is a record batch with a row for each."""

    offsets: Sequence[int]
    keys: Any
    columns: Any

    @staticmethod
    def of(offsets: Sequence[int], keys: Sequence[bytes | None], columns: Any) -> Block:
        """Of messages; no key is an empty one."""
        return Block(offsets, pa.array(keys, pa.binary()).fill_null(b""), columns)

    def slice(self, start: int, end: int) -> Block:
        """Those from row `start` to before row `end`."""
        if start == 0 and end == len(self.offsets):
            return self
        size = end - start
        return Block(self.offsets[start:end], self.keys.slice(start, size), self.columns.slice(start, size))

    def integers(self, name: str) -> Any:
        """A column of integers without nulls."""
        return self.columns.column(name).to_numpy()


@dataclass(frozen=True, slots=True)
class Made:
    """What is left of a block's records as rows of a flow; `kept` says of which records (None: of all)."""

    keys: Any
    columns: Any
    kept: Any = None


@dataclass(frozen=True, slots=True)
class Part:
    """The records of one tick in a block, from row `start` to before row `end`.

    `made` is what the flow's row steps made of the block, from row `first` to before row `last` of these records.
    """

    block: Block
    tick: int
    start: int
    end: int
    made: Made
    first: int
    last: int

    def keys(self) -> Any:
        """The keys of its rows."""
        return self.made.keys.slice(self.first, self.last - self.first)

    def column(self, name: str) -> Any:
        """One column of its rows."""
        return self.made.columns.column(name).slice(self.first, self.last - self.first)

    def versions(self, fields: Sequence[str], intake: Callable[[bytes, Mapping[str, Any]], Version]) -> list[Version]:
        """What the row road makes of the same records."""
        rows = self.block.columns.select(fields).slice(self.start, self.end - self.start).to_pylist()
        keys = self.block.keys.slice(self.start, self.end - self.start).to_pylist()
        return [intake(key, row) for key, row in zip(keys, rows, strict=True)]


def parts(block: Block, ticks: Any, made: Made) -> list[Part]:
    """A block cut where the tick changes; `ticks` has one number for each record."""
    cuts = [0, *(np.flatnonzero(ticks[1:] != ticks[:-1]) + 1).tolist(), len(ticks)]
    left = cuts if made.kept is None else np.searchsorted(made.kept, cuts).tolist()
    return [
        Part(block, int(ticks[start]), start, end, made, first, last)
        for (start, end), (first, last) in zip(pairwise(cuts), pairwise(left), strict=True)
    ]


@dataclass(frozen=True, slots=True)
class OutputBlock:
    """Records for the product's topic, in the order to be written: every field of the schema is a column."""

    keys: list[bytes]
    recorded: Any
    columns: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.keys)

    def corrections(self) -> int:
        """How many of them correct what was said before."""
        return len(self) - int(pc.sum(pc.equal(self.columns["kind"], "assert")).as_py() or 0)

    def timestamps(self) -> list[int]:
        """Of Kafka, in milliseconds."""
        made: list[int] = (self.recorded // 1_000).tolist()
        return made

    def records(self) -> list[OutputRecord]:
        """The same one by one."""
        names = list(self.columns)
        rows = zip(*(self.columns[name].to_pylist() for name in names), strict=True)
        return [
            OutputRecord(key, dict(zip(names, row, strict=True)), recorded_at)
            for key, row, recorded_at in zip(self.keys, rows, self.recorded.tolist(), strict=True)
        ]
