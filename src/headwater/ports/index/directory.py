"""Which store holds which partition: kept in the first of them."""

from __future__ import annotations

from collections.abc import Collection

from headwater.ports.index.layout import OFFSET, Store, Stores
from headwater.ports.record import TopicPartition

_ROWS, _ROWS_END = b"s", b"t"


class Directory:
    """Gives each partition a store of its own, the same after a restart."""

    def __init__(self, stores: Stores) -> None:
        self._stores, self._rows = stores, stores.task(0)

    def store(self, place: TopicPartition) -> Store:
        """The store of a partition; a free one is taken for one that has none."""
        number = self._known().get(_name(place))
        if number is None:
            taken = set(self._known().values())
            number = next(free for free in range(1, len(taken) + 2) if free not in taken)
            self._rows.apply([(_name(place), OFFSET.pack(number))])
        return self._stores.task(number)

    def keep_only(self, places: Collection[TopicPartition]) -> None:
        """Empty the stores of all others: what is no longer served takes no room."""
        names = {_name(place) for place in places}
        for name, number in self._known().items():
            if name not in names:
                self._stores.task(number).wipe()  # first: a store that is free is empty
                self._rows.apply([(name, None)])

    def _known(self) -> dict[bytes, int]:
        return {key: int(OFFSET.unpack(value)[0]) for key, value in self._rows.scan(_ROWS, _ROWS_END)}


def _name(place: TopicPartition) -> bytes:
    return _ROWS + f"{place.topic}/{place.partition}".encode()
