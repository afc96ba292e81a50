"""L1: the lake's writer is killed between its steps and at random moments, and begins again each time.

`run(trials=200, seed=1)`: so many kills, at the points "before files", "before commit", "after commit" and at chance.
The table must hold each record once, name no file twice, and the clean-up must leave no stray.
"""

from __future__ import annotations

import random
import time
from typing import Any

from tests.chaos import lakes
from tests.chaos.counted import counted
from tests.chaos.lakes import Life

POINTS = ("lake.before_files", "lake.before_commit", "lake.after_commit", "")
GROWTH = 40  # records more with each life


def run(*, trials: int = 4, seed: int = 1, saboteur: str = "") -> dict[str, Any]:
    """So many kills. The saboteur `careless` commits rows and progress one after the other."""
    chance, started, killed = random.Random(seed), time.monotonic(), 0
    with lakes.shore() as folder:
        for trial in counted("L1", trials):
            point = POINTS[trial % len(POINTS)]
            failpoint = f"{point}:{chance.randint(1, 3)}:kill" if point else ""
            life = Life(folder, seed, (trial + 1) * GROWTH, failpoint, saboteur, chance=chance.randrange(1 << 30))
            process = lakes.start(life)
            if not point:
                time.sleep(chance.uniform(0.0, 0.6))
                process.kill()
            killed += lakes.end(process) == -9
        last = Life(folder, seed, trials * GROWTH, batch=1_000)  # what the killed ones have left
        well = lakes.end(lakes.start(last), 120.0) == 0
        counts = lakes.judge(folder, seed, trials * GROWTH)
        before, named = lakes.stored(folder), len(lakes.files(folder))
        lakes.tend(folder, ahead=3_600_000_000)  # no snapshot of a compaction is younger, however slow the machine
        after = lakes.judge(folder, seed, trials * GROWTH)
        clean = lakes.stored(folder) == len(set(lakes.files(folder)))
    return lakes.answer(
        "L1", seed, trials, counts,
        {"ends_well": well, "clean": clean, "same_after_clean_up": after == {**counts, "files_twice": 0}},
        kills=killed, strays=before - named, seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip
