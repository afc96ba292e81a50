"""Time is handed in: the Clock protocol, the wall clock, and a clock that moves only when it is told to."""

from __future__ import annotations

import time
from typing import Protocol

from headwater.timeline.instant import Duration, Instant


class Clock(Protocol):
    """What may be asked about time."""

    def now(self) -> Instant:
        """The wall clock's time. May step back."""

    def monotonic(self) -> Duration:
        """Time since some start; never steps back."""

    def sleep(self, duration: int) -> None:
        """Wait for that many microseconds."""


class SystemClock:
    """The machine's clock; the only reader of the wall clock in Headwater."""

    def now(self) -> Instant:
        """The machine's time."""
        return Instant(time.time_ns() // 1_000)

    def monotonic(self) -> Duration:
        """The machine's monotonic time."""
        return Duration(time.monotonic_ns() // 1_000)

    def sleep(self, duration: int) -> None:
        """Wait in real time."""
        time.sleep(duration / 1_000_000)


class ManualClock:
    """A clock for tests and simulation.

    >>> clock = ManualClock(Instant(5))
    >>> clock.sleep(10); clock.now(), clock.monotonic()
    (15, 10)
    >>> clock.set(Instant(3)); clock.now(), clock.monotonic()
    (3, 10)
    """

    def __init__(self, start: Instant = Instant(0)) -> None:
        self._now = start
        self._elapsed = Duration(0)

    def now(self) -> Instant:
        """The time it was last set or moved to."""
        return self._now

    def monotonic(self) -> Duration:
        """How far it was moved forward in all."""
        return self._elapsed

    def sleep(self, duration: int) -> None:
        """Move forward by that many microseconds, at once."""
        self._now = Instant(self._now + duration)
        self._elapsed = Duration(self._elapsed + duration)

    def set(self, moment: Instant) -> None:
        """Step the wall clock, also back; monotonic time stays."""
        self._now = moment
