"""L5: answers to commits get lost, after the deed or before it.

`run(trials=50, seed=1)`: so many lives of a writer whose catalogue is deaf in half of its attempts.
"""

from __future__ import annotations

import random
import time
from typing import Any

from tests.chaos import lakes
from tests.chaos.counted import counted
from tests.chaos.lakes import Life

GROWTH = 100


def run(*, trials: int = 2, seed: int = 1, saboteur: str = "") -> dict[str, Any]:
    """So many lives. The saboteur `repeating` commits again where no answer came."""
    chance, started, well = random.Random(seed), time.monotonic(), True
    with lakes.shore() as folder:
        for trial in counted("L5", trials):
            life = Life(folder, seed, (trial + 1) * GROWTH, table=saboteur or "deaf", chance=chance.randrange(1 << 30))
            well = lakes.end(lakes.start(life)) == 0 and well
        counts = lakes.judge(folder, seed, trials * GROWTH)
    return lakes.answer("L5", seed, trials, counts, {"ends_well": well}, seconds=round(time.monotonic() - started, 1))
