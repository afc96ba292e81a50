"""Stores of an index in this process: they outlive the index, as a disk outlives a server."""

from __future__ import annotations

from headwater.processing.state import MemoryStore


class Wiped(MemoryStore):
    """A store that can forget."""

    def wipe(self) -> None:
        """Forget everything."""
        self.apply([(key, None) for key, _ in list(self.scan(b"", b"\xff"))])


class MemoryStores:
    """Stores by their numbers."""

    def __init__(self) -> None:
        self.made: dict[int, Wiped] = {}

    def task(self, number: int, /) -> Wiped:
        """The store of this number."""
        return self.made.setdefault(number, Wiped())

    def close(self) -> None:
        """Nothing to let go of."""
