"""A runner of T2: its clock is wrong by the third of the numbers in a file, in microseconds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from headwater.cli.main import main
from headwater.timeline.clock import SystemClock
from headwater.timeline.instant import Instant

VARIABLE = "CHAOS_CLOCKS"
_now = SystemClock.now


def skew_clock(place: int) -> None:
    """From now on this process's clock is off by the number at this place of the file."""

    def now(self: SystemClock) -> Instant:
        return Instant(_now(self) + int(Path(os.environ[VARIABLE]).read_text().split()[place]))

    SystemClock.now = now  # type: ignore[method-assign]


if __name__ == "__main__":
    skew_clock(2)
    sys.argv = ["headwater", "run", *sys.argv[1:]]
    main()
