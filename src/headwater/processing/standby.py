"""Copies of the state of partitions that other workers own, kept near their changelogs' ends, for a take-over at once.

A copy is a store like any other, of which nobody computes anything. When the group gives its partition to this worker,
the usual restore finds how far it came and reads the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from headwater.errors import Unreachable
from headwater.hooks import Hooks
from headwater.ports.serde import RecordReader
from headwater.processing.returning import returning
from headwater.processing.state_form import StateForm
from headwater.processing.state_rocksdb import RocksStates
from headwater.processing.steps import Stage
from headwater.processing.surroundings import Surroundings

EVERY_MICROSECONDS = 3_000_000  # how far a copy may be behind, about
SHORT_MICROSECONDS = 5_000_000
STEP_SECONDS = 0.05  # the worker's own partitions come first


class Standby:
    """Follows the changelog of one stage. The thread of the stage uses it, between its own work."""

    def __init__(
        self,
        product: str,
        stage: Stage,
        states: RocksStates,
        around: Surroundings,
        form: StateForm,
        readers: Mapping[str, RecordReader],
    ) -> None:
        self._names = (product, stage.name)
        self._partitions = stage.partitions
        self._states = states
        self._clock = around.clock
        self._hooks = around.hooks
        self._entries = 0
        # Of its own: what is copied is not what is restored.
        heard = Hooks([self._heard])
        self._restore = returning(product, stage, around, form, readers, heard)
        self._behind: set[int] = set()
        self._next = 0
        self._began = 0
        self.warm = False  # a round of copying was short: whoever takes over misses little

    def step(self, owned: Collection[int]) -> None:
        """Copy for a moment, if it is time; `owned` are the partitions that are this worker's, or about to be."""
        if not self._behind:
            if self._clock.monotonic() < self._next:
                return
            self._began = self._clock.monotonic()
            others = {number: self._states.task(number) for number in range(self._partitions) if number not in owned}
            if others:
                self._behind = self._restore.begin(others, {})
        through = True
        try:
            self._behind -= set(self._restore.step(STEP_SECONDS))
        except Unreachable:  # a transaction of somebody else hangs: later, then
            self.leave(self._behind)
            through = False
        if not self._behind:
            now = self._clock.monotonic()
            self.warm = self.warm or (through and now - self._began <= SHORT_MICROSECONDS)
            self._next = now + (EVERY_MICROSECONDS if self.warm else 0)
            if self._entries:
                product, stage = self._names
                self._hooks.announce("stage.copied", product=product, stage=stage, entries=self._entries)
                self._entries = 0

    def leave(self, partitions: Collection[int]) -> None:
        """These become this worker's own: whoever restores them writes their stores from here on."""
        self._restore.forget(partitions)
        self._behind = self._behind - set(partitions)

    def close(self) -> None:
        """Let go."""
        self._restore.close()

    def _heard(self, happening: str, fields: dict[str, object]) -> None:
        if happening == "stage.restored":
            self._entries += int(str(fields["entries"]))
