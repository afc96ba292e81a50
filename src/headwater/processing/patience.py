"""A call to the broker at the start of a runner, made again while the broker says that it would work in a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from headwater.errors import Unreachable
from headwater.timeline.clock import Clock

START_MICROSECONDS = 30_000_000  # a broker that is starved of CPU took half of it to know the leader of a partition
AGAIN_MICROSECONDS = 200_000
_PASSING = "HW-R002"  # the call was refused, and may be repeated; a broker that is away is HW-R001, and is said at once

Answer = TypeVar("Answer")


def patiently(call: Callable[[], Answer], clock: Clock, *, microseconds: int = START_MICROSECONDS) -> Answer:
    """What a call answers that may be made again. Raises what it raises, a passing refusal once the time is over.

    A stage at work needs none of this: it begins again from its last commit. Before there is a stage, a command would
    end with what is over in a second.
    """
    until = clock.monotonic() + microseconds
    while True:
        try:
            return call()
        except Unreachable as error:
            if error.code != _PASSING or clock.monotonic() >= until:
                raise
            clock.sleep(AGAIN_MICROSECONDS)
