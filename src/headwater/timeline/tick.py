"""Ticks: half-open buckets of recorded time, counted from the Unix epoch, one length in a mesh."""

from __future__ import annotations

from headwater.timeline.instant import Duration, Instant

TICK_DEFAULT = Duration.from_milliseconds(100)  # `docs/concepts/time.md`: one length in a mesh


def tick_of(recorded_at: int, tick: int) -> int:
    """The number of the tick that holds an instant.

    >>> tick_of(99_999, 100_000), tick_of(100_000, 100_000)
    (0, 1)
    """
    return recorded_at // tick


def tick_end(recorded_at: int, tick: int) -> Instant:
    """The last microsecond of the tick that holds an instant: the `recorded_at` of what the tick makes.

    >>> tick_end(30_000, 100_000)
    99999
    """
    return Instant((recorded_at // tick + 1) * tick - 1)


def settled_tick_end(recorded_at: int, tick: int) -> Instant:
    """The last microsecond of the newest tick that has wholly passed at an instant: T rounded down.

    >>> settled_tick_end(99_999, 100_000), settled_tick_end(100_000, 100_000), settled_tick_end(150_000, 100_000)
    (99999, 99999, 99999)
    """
    return Instant((recorded_at + 1) // tick * tick - 1)
