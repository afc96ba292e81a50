"""The partition of each key of a topic, remembered: row by row, murmur2 runs once for each."""

from __future__ import annotations

from headwater.ports.keys import partition_of

REMEMBERED = 100_000  # keys


class Partitions(dict[bytes, int]):
    """Key to partition; a key that is not known yet is looked up.

    >>> Partitions(4)[b"JFK"]
    1
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def __missing__(self, key: bytes) -> int:
        if len(self) >= REMEMBERED:
            self.clear()
        partition = self[key] = partition_of(key, self._count)
        return partition
