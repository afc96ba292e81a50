"""How far a chaos program is: a line each ten seconds, for whoever waits for three hundred kills."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

EVERY_SECONDS = 10.0


def counted(name: str, trials: int) -> Iterator[int]:
    """The numbers of the trials; how many are done goes to stderr."""
    started = said = time.monotonic()
    for number in range(trials):
        yield number
        now = time.monotonic()
        if now - said >= EVERY_SECONDS:
            sys.stderr.write(f"  {name}: {number + 1} of {trials} after {now - started:.0f} s\n")
            said = now
