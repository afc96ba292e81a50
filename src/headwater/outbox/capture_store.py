"""What capturing needs of a database beside the stream: a table's key, and a snapshot of its rows as of a log position.

`capture_memory.py` and `capture_postgres.py` are two of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from headwater.outbox.load_state import Key
from headwater.outbox.pgoutput_changes import Cells, Table
from headwater.outbox.store import SourceAdmin
from headwater.timeline.instant import Instant


@dataclass(frozen=True, slots=True)
class KeyColumns:
    """The columns of a table's primary key and their types, in its order."""

    names: tuple[str, ...]
    types: tuple[int, ...]


class TableSnapshot(Protocol):
    """A table's rows as of `point` in the log: all that was committed before it, and nothing else.

    Rows come in the order of the key as `load_state.key_order` has it.
    """

    point: int
    table: Table

    def rows(self, limit: int) -> Sequence[Cells]:
        """The next rows, at most `limit` and never none while there are some."""

    def now(self) -> Instant:
        """The database's clock."""


class CaptureStore(Protocol):
    """A captured table."""

    def key(self) -> KeyColumns:
        """Its primary key; raises `CallerFault` HW-O154 or HW-O155 where there is no table, or it has none."""

    def snapshot(self, after: Key | None) -> AbstractContextManager[TableSnapshot]:
        """The rows behind a key, or all. The snapshot lives as long as its connection: it never outlives a crash."""


class TableAdmin(SourceAdmin, Protocol):
    """Makes what capturing needs; only `apply` holds one."""

    def log_whole_rows(self) -> None:
        """Let the log carry the whole old row of each update and delete."""
