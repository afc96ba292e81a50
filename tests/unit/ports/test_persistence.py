"""Trouble that passes is waited out, longer each time; what does not pass is raised at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headwater.errors import CallerFault, HeadwaterError, Unreachable
from headwater.ports.persistence import BACKOFF_FIRST, BACKOFF_LAST, pause, persist
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant

AWAY = Unreachable("away", code="HW-R001")


class Served:
    """Calls that end as they are told to: an error, or None for well; with each error, whether something was done."""

    def __init__(self, *ends: tuple[HeadwaterError | None, bool]) -> None:
        self.clock, self.moved, self.waits = ManualClock(Instant(0)), False, list[int]()
        self._ends: Iterator[tuple[HeadwaterError | None, bool]] = iter(ends)

    def run(self, stops_after: int = 1_000) -> None:
        persist(
            self._serve, lambda: len(self.waits) >= stops_after, clock=self.clock, moved=lambda: self.moved,
            waiting=lambda error: self.waits.append(int(self.clock.monotonic())),
        )  # fmt: skip

    def _serve(self) -> None:
        error, self.moved = next(self._ends)
        if error is not None:
            raise error


def test_pauses_grow_to_a_bound_and_begin_anew_where_something_was_done() -> None:
    served = Served(*[(AWAY, False)] * 8, (AWAY, True), (AWAY, False), (None, False))
    served.run()
    pauses = [after - before for before, after in zip(served.waits, served.waits[1:], strict=False)]
    assert pauses[:5] == [BACKOFF_FIRST * 2**number for number in range(1, 6)]
    assert pauses[5:8] == [BACKOFF_LAST] * 3 and pauses[8] == BACKOFF_FIRST


def test_what_waiting_does_not_mend_is_raised() -> None:
    with pytest.raises(CallerFault):
        Served((AWAY, False), (CallerFault("wrong", code="HW-R020"), False)).run()


def test_who_is_told_to_stop_waits_no_longer() -> None:
    served = Served((AWAY, False))
    served.run(stops_after=1)
    assert served.clock.monotonic() == 0
    pause(BACKOFF_LAST, lambda: served.clock.monotonic() >= 2 * BACKOFF_FIRST, clock=served.clock)
    assert served.clock.monotonic() == 2 * BACKOFF_FIRST
