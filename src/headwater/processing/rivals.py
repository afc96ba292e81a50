"""Two workers of one slot, told from a worker whose place another took once.

They take transactional ids and places in the groups from each other for as long as both run. Who is replaced for the
third time within a minute stops, so that the other goes on. Of a product's stages the first one alone decides: if each
did, one worker would stop over this stage and the other over that.
"""

from __future__ import annotations

from collections import deque

from headwater.errors import CallerFault, HeadwaterError
from headwater.ports.kafka_errors import reassigned
from headwater.processing.steps import Plan, Stage
from headwater.timeline.clock import Clock

REPLACED = "HW-R003"
LIMIT = 3  # of one worker; the other was replaced twice by then
WINDOW_MICROSECONDS = 60_000_000  # a round takes seconds; a transaction that timed out is one in thirty of them at most


class Rivals:
    """How often another took the place of this stage's worker lately."""

    def __init__(self, plan: Plan, stage: Stage, slot: int, clock: Clock) -> None:
        self._decides = stage.name == plan.stages[0].name
        self._product = str(plan.product)
        self._slot = slot
        self._clock = clock
        self._at: deque[int] = deque(maxlen=LIMIT)

    def note(self, error: HeadwaterError) -> None:
        """An error that ended an incarnation; raises `CallerFault` HW-P195 where it is one replacement too many."""
        if error.code != REPLACED or reassigned(error) or not self._decides:
            return
        self._at.append(self._clock.monotonic())
        if len(self._at) == LIMIT and self._at[-1] - self._at[0] <= WINDOW_MICROSECONDS:
            seconds = max(1, (self._at[-1] - self._at[0]) // 1_000_000)
            raise CallerFault(
                f"{self._product}: another worker with slot {self._slot} took the place of this one {LIMIT} times in "
                f"{seconds} s",
                code="HW-P195",
                detail="a slot names the writer, the member of the group and the state; this one stops, so that the "
                "other can go on",
                hint="give each worker a slot of its own: headwater run --slot N",
            )
