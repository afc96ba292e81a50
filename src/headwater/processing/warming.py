"""A worker that keeps copies joins a stage's group only once its copies are warm, while others process the stage.

The group's assignors are the client library's own, and none of them can leave a partition where it is until somebody
says that its copy is there. So the hand-over is put off where it begins: at the joining.
"""

from __future__ import annotations

from headwater.ports.protocol import Broker
from headwater.processing.reports import claimed
from headwater.processing.standby import Standby
from headwater.processing.steps import Plan, Stage
from headwater.timeline.clock import Clock

LOOK_MICROSECONDS = 5_000_000
IDLE_MICROSECONDS = 20_000  # between two steps that copy nothing


class Warming:
    """Copies until the copies are near the changelogs' ends. The thread of the stage uses it."""

    def __init__(self, plan: Plan, stage: Stage, standby: Standby, broker: Broker, *, clock: Clock, slot: int) -> None:
        self._plan = plan
        self._stage = stage
        self._standby = standby
        self._broker = broker
        self._clock = clock
        self._slot = slot
        self._next = 0

    def step(self) -> bool:
        """Copy for a moment; whether it is time to join: the copies are warm, or nobody else processes the stage."""
        now = self._clock.monotonic()
        if now >= self._next:
            self._next = now + LOOK_MICROSECONDS
            wall = int(self._clock.now())
            if not claimed(self._broker, self._plan, self._stage.name, but=self._slot, now=wall):
                return True
        self._standby.step(())
        if not self._standby.warm:
            self._clock.sleep(IDLE_MICROSECONDS)
        return self._standby.warm
