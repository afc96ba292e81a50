"""The partition of each key of a topic, remembered: murmur2 runs once for each."""

from __future__ import annotations

from collections.abc import Sequence

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

    def of(self, keys: Sequence[bytes]) -> list[int]:
        """The partition of each of many keys; those that are new are looked up together.

        >>> Partitions(4).of([b"JFK", b"LGA", b"JFK"])
        [1, 0, 1]
        """
        found = list(map(self.get, keys))
        if None not in found:
            return found  # type: ignore[return-value]  # none is None
        from headwater.ports.key_columns import partitions_of

        fresh = list({key for key, partition in zip(keys, found, strict=True) if partition is None})
        if len(self) + len(fresh) > REMEMBERED:
            self.clear()
            fresh = list(set(keys))
        self.update(zip(fresh, partitions_of(fresh, self._count), strict=True))
        return [self[key] for key in keys]
