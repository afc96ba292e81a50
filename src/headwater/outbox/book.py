"""An outbox table as a book to reconcile topics with: what it holds in a window, counted and digested.

A digest is the sum of a hash of each row's id, so that it depends on no order. Ids fall into buckets by the same hash:
two sides that differ need be compared id by id only in the buckets that do. `book_memory.py` and `book_postgres.py`
are two books; each reads the table as it was at one moment. What is on its way to the relay then, a `Log` says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import Literal, Protocol

from headwater.outbox.position import Position
from headwater.timeline.instant import Instant

BUCKETS = 4_096
_DIGITS = 15  # of md5's hexadecimal text: 60 bits, a positive bigint


@dataclass(frozen=True, slots=True)
class Window:
    """Rows whose `created_at` is at or after `since` and before `until`; None leaves a side open."""

    since: Instant | None = None
    until: Instant | None = None

    def holds(self, moment: int) -> bool:
        """Whether a moment lies in it."""
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)


def hash_of(row_id: str) -> int:
    """The hash of a row's id, as the database computes it too; its bucket is the rest by `BUCKETS`.

    >>> hash_of("7f3f8f86-6a53-4a0c-9d2b-0a3f5d6b8c11") % BUCKETS
    1326
    """
    return int(md5(row_id.encode(), usedforsecurity=False).hexdigest()[:_DIGITS], 16)


@dataclass(slots=True)
class Tally:
    """How many rows, and the sum of their hashes."""

    count: int = 0
    total: int = 0

    def add(self, count: int, total: int) -> None:
        """Take in some more, or with a minus some less."""
        self.count += count
        self.total += total

    @property
    def digest(self) -> str:
        """The sum as text."""
        return f"{self.total % (1 << 64):016x}"


class Book(Protocol):
    """The rows of one outbox table, as they were when it was opened."""

    def totals(self, window: Window) -> Mapping[int, Tally]:
        """The rows of a window, by bucket."""

    def known(self, ids: Sequence[str], window: Window) -> Mapping[str, Literal["in", "out"]]:
        """Which of these ids are rows in the window, or rows outside of it or newer than the book; others are none."""

    def ids(self, window: Window, buckets: Collection[int]) -> Iterator[str]:
        """The ids of the window's rows in these buckets."""

    def oldest(self) -> Instant | None:
        """When the oldest row was created that the table still has."""

    def written(self) -> int:
        """A place in the database's log behind every transaction that the book holds."""

    def close(self) -> None:
        """Let go."""


class Log(Protocol):
    """Where rows come from on their way to the relay, beside a book: what of it the relay has not come to yet."""

    def passed(self, position: Position) -> bool:
        """Whether the relay has come to every transaction that the book holds."""

    def waiting(self, position: Position) -> Iterator[str] | None:
        """The ids of rows behind the position; None where they cannot be told yet: ask again."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """One outbox: its table, and what of it is on its way."""

    book: Book
    log: Log
