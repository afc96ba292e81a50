"""What is asked of a table of the lake, and what comes back: rows filtered where they lie, or files to scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from headwater.ports.lake.progress import Progress
from headwater.timeline.instant import Instant


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows recorded up to `recorded_to`, of a key (its fields with their values), whose interval holds `valid_at`.

    None and an empty key leave a side open.
    """

    recorded_to: Instant | None = None
    key: Mapping[str, Any] = field(default_factory=dict)
    valid_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one snapshot with the columns of the contract and their places, and that snapshot's progress."""

    table: pa.Table
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column as files have it: the id of its field, its name now, its type in DuckDB's SQL, and what a row has that
    was written before there was such a column."""

    id: int
    name: str
    type: str
    default: Any = None


@dataclass(frozen=True, slots=True)
class Scan:
    """The Parquet files of one snapshot that may hold what is wanted, on this machine, and how to read them."""

    paths: tuple[str, ...]
    columns: tuple[Column, ...]
    progress: Progress | None


class LakeSource(Protocol):
    """A table of the lake as its readers need it."""

    def rows(self, wanted: Wanted) -> Rows:
        """The rows that are wanted, as the newest snapshot has them."""

    def scan(self, recorded_to: Instant | None) -> Scan | None:
        """The files with rows recorded up to then; None where they are not files of this machine, or their columns
        are not those of the contract one by one."""
