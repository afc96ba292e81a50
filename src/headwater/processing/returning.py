"""State brought back whole: what its changelog holds, and then what it remembers of its inputs, from these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headwater.hooks import Hooks
from headwater.ports.serde import RecordReader
from headwater.processing.recalling import Recall
from headwater.processing.restoring import Restore
from headwater.processing.state_form import StateForm
from headwater.processing.state_rocksdb import RocksStore
from headwater.processing.steps import Stage
from headwater.processing.surroundings import Surroundings

Offsets = Mapping[int, Mapping[str, int]]


class Returning:
    """Brings the stores of partitions up to what their group has committed, in short steps. One thread uses it."""

    def __init__(self, restore: Restore, recall: Recall) -> None:
        self._restore = restore
        self._recall = recall
        self._restoring: dict[int, RocksStore] = {}
        self._committed: dict[int, Mapping[str, int]] = {}

    def begin(self, stores: Mapping[int, RocksStore], committed: Offsets) -> set[int]:
        """Take these on; the partitions that miss something. `committed` are the group's offsets: {partition:
        {source topic: next offset}}, as far as they are known.
        """
        self._committed.update({number: committed.get(number, {}) for number in stores})
        behind = self._restore.begin(stores, committed)
        self._restoring.update({number: stores[number] for number in behind})
        return behind | self._recall.begin(
            {number: store for number, store in stores.items() if number not in behind}, self._committed
        )

    def step(self, seconds: float) -> list[int]:
        """Read on for about so long; the partitions that are up to date now."""
        restored = self._restore.step(seconds)
        stores = {number: self._restoring.pop(number) for number in restored}
        left = self._recall.begin(stores, self._committed) if stores else set()
        done = [number for number in restored if number not in left]
        return done if self._restoring else [*done, *self._recall.step(seconds)]

    def percents(self) -> Mapping[int, int]:
        """How much of what each partition missed is there."""
        return {**self._recall.percents(), **self._restore.percents()}

    def forget(self, partitions: Iterable[int]) -> None:
        """These are somebody else's now."""
        numbers = list(partitions)
        for number in numbers:
            self._restoring.pop(number, None)
        self._restore.forget(numbers)
        self._recall.forget(numbers)

    def close(self) -> None:
        """Let go."""
        self._restoring.clear()
        self._restore.close()
        self._recall.close()


def returning(
    product: str,
    stage: Stage,
    around: Surroundings,
    form: StateForm,
    readers: Mapping[str, RecordReader],
    hooks: Hooks,
) -> Returning:
    """What brings back the state of a stage; `readers` decode its inputs, `hooks` hear how far it came."""
    restore = Restore(around.broker, stage.changelog, clock=around.clock, hooks=hooks, names=(product, stage.name))
    recall = Recall(stage, product, around.broker, readers, form, clock=around.clock, hooks=hooks)
    return Returning(restore, recall)
