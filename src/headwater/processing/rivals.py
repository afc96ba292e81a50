"""Two workers of one slot, told from a worker whose place another took once.

They take transactional ids and places in the groups from each other for as long as both run. Who is replaced for the
third time within a minute stands back, and stops once it has seen that the other is there: on a busy machine both may
be replaced three times, and a product that both leave has nobody. Of a product's stages the first one alone decides:
if each did, one worker would stop over this stage and the other over that.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping

from headwater.errors import CallerFault, HeadwaterError
from headwater.ports.kafka_errors import reassigned
from headwater.ports.protocol import GroupOffsets
from headwater.ports.record import TopicPartition
from headwater.processing.steps import Plan, Stage, topics_of
from headwater.processing.surroundings import Surroundings

REPLACED = "HW-R003"
LIMIT = 3  # of one worker; the other was replaced twice by then
WINDOW_MICROSECONDS = 60_000_000  # a round takes seconds; a transaction that timed out is one in thirty of them at most
LOOK_MICROSECONDS = 250_000
# A member that is gone is known to the group for ten seconds: who is known for longer lives. Not equally long for both.
BACK_MICROSECONDS = (12_000_000, 18_000_000)


class Rivals:
    """How often another took the place of this stage's worker lately, and whether it is there still."""

    def __init__(self, plan: Plan, stage: Stage, around: Surroundings) -> None:
        self._decides = stage.name == plan.stages[0].name
        self._product = str(plan.product)
        self._stage = stage
        self._around = around
        self._at: deque[int] = deque(maxlen=LIMIT)

    def note(self, error: HeadwaterError, stopping: Callable[[], bool]) -> None:
        """An error that ended an incarnation; raises `CallerFault` HW-P195 where it is one replacement too many, once
        the other is seen. Where nobody is seen, it returns after some seconds: then the place is this worker's.
        """
        if error.code != REPLACED or reassigned(error) or not self._decides:
            return
        self._at.append(self._around.clock.monotonic())
        if len(self._at) < LIMIT or self._at[-1] - self._at[0] > WINDOW_MICROSECONDS:
            return
        seconds = max(1, (self._at[-1] - self._at[0]) // 1_000_000)
        if self._other_is_there(stopping):
            raise CallerFault(
                f"{self._product}: another worker with slot {self._around.slot} took the place of this one {LIMIT} "
                f"times in {seconds} s",
                code="HW-P195",
                detail="a slot names the writer, the member of the group and the state; this one stops, so that the "
                "other can go on",
                hint="give each worker a slot of its own: headwater run --slot N",
            )
        self._at.clear()

    def _other_is_there(self, stopping: Callable[[], bool]) -> bool:
        """Whether the group's offsets move while this worker stands back, or else has members when it has waited.

        Where the broker is away meanwhile nobody can tell, and it is as if nobody were there.
        """
        try:
            return self._seen(stopping)
        except HeadwaterError as error:
            if not error.retriable:
                raise
            return False

    def _seen(self, stopping: Callable[[], bool]) -> bool:
        clock, broker = self._around.clock, self._around.broker
        until = clock.monotonic() + random.randint(*BACK_MICROSECONDS)
        before: Mapping[TopicPartition, int] | None = None
        stage = self._stage
        places = [TopicPartition(topic, number) for topic in topics_of(stage) for number in range(stage.partitions)]
        offsets = broker.group_offsets(stage.group)
        try:
            while clock.monotonic() < until and not stopping():
                now = _asked(offsets, places)
                if before is not None and now is not None and now != before:
                    return True
                before = before or now
                clock.sleep(LOOK_MICROSECONDS)
        finally:
            offsets.close()
        return not stopping() and stage.group in broker.groups()


def _asked(offsets: GroupOffsets, places: list[TopicPartition]) -> Mapping[TopicPartition, int] | None:
    """What the group has committed; None while a transaction is open over it, or the broker is away."""
    try:
        return offsets.committed(places)
    except HeadwaterError as error:
        if not error.retriable:
            raise
        return None
