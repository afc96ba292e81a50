"""Serving on through trouble that passes: what is away is waited for, longer each time that nothing came of it."""

from __future__ import annotations

from collections.abc import Callable

from headwater.errors import HeadwaterError
from headwater.timeline.clock import Clock

BACKOFF_FIRST, BACKOFF_LAST = 100_000, 5_000_000  # microseconds


def persist(
    serve: Callable[[], None],
    stopping: Callable[[], bool],
    *,
    clock: Clock,
    moved: Callable[[], bool],
    waiting: Callable[[HeadwaterError], None],
) -> None:
    """Call `serve` until it returns, or `stopping` says so; again after each error that may be tried again.

    `waiting` is told of each such error. The pause begins anew where `moved` says that the call got something done.
    Raises what waiting does not mend.
    """
    backoff = BACKOFF_FIRST
    while not stopping():
        try:
            serve()
            return
        except HeadwaterError as error:
            if not error.retriable:
                raise
            backoff = BACKOFF_FIRST if moved() else min(backoff * 2, BACKOFF_LAST)
            waiting(error)
        pause(backoff, stopping, clock=clock)


def pause(duration: int, stopping: Callable[[], bool], *, clock: Clock) -> None:
    """Wait so many microseconds, or until `stopping` says so: it is asked every tenth of a second."""
    while duration > 0 and not stopping():
        clock.sleep(min(duration, BACKOFF_FIRST))
        duration -= BACKOFF_FIRST
