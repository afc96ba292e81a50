"""Rows on their way through the relay: as they came, each beside what can read it.

A row is read as late as it can be: a batch may then be read as columns, and a row that cannot be read is one row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.outbox.pgoutput import Relation, Row
from headwater.outbox.position import Position
from headwater.timeline.instant import Instant


@dataclass(slots=True)
class Run:
    """Rows of one form, one after the other: `read` makes a row of an item, or raises.

    `relation` is the table as it was when these rows were inserted; None where the items are no inserts.
    """

    read: Callable[[Any], Row]
    items: list[Any]
    relation: Relation | None = None

    @classmethod
    def of_rows(cls, rows: Sequence[Row]) -> Run:
        """A run of rows that are read already.

        >>> [run.read(item) for run in [Run.of_rows([(b"1",)])] for item in run.items]
        [(b'1',)]
        """
        return cls(lambda row: row, list(rows))


@dataclass(slots=True)
class Segment:
    """The rows of one transaction, or a part of them: `ordinal` is the number of rows before the first."""

    commit_lsn: int
    committed_at: Instant
    ordinal: int
    end_lsn: int = 0
    recorded_at: int = 0
    runs: list[Run] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum([len(run.items) for run in self.runs])


@dataclass(frozen=True, slots=True)
class Batch:
    """What one Kafka transaction publishes. `marked` is what marks may promise after it; None where none are due."""

    segments: tuple[Segment, ...]
    position: Position
    rows: int
    marked: Instant | None
