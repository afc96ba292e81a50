"""State of one task (one partition of one stage): an ordered map of bytes, and what a batch changes in it.

A store is written only after the transaction that carries its changes has committed. Until then the changes lie in an
`Overlay`, through which operators read; dropping the overlay undoes the batch. Keys begin with the name of a table and
a zero byte, so that tables of one task never meet. `state_rocksdb` keeps a store on disk, `state_changelog` mirrors one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

Change = tuple[bytes, bytes | None]
"""A key and its new value; None deletes."""


class StateStore(Protocol):
    """An ordered map of bytes to bytes. One thread uses it."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Entries with `start <= key < end` in order of their bytes, from the last backwards if `reverse`.

        Lazy: a caller that wants the first entry only stops there. The store is not written while a scan is open.
        """

    def apply(self, changes: Iterable[Change]) -> None:
        """Write all of these, as one; called after the transaction that carries them has committed."""

    def close(self) -> None:
        """Let go."""
