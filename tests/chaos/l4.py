"""L4: the table is compacted, expired and cleaned, and others put snapshots on top, while the writer appends.

`run(trials=20, seed=1)`: so many rounds of maintenance beside a writer; its offsets must be found each time.
"""

from __future__ import annotations

import random
import time
from typing import Any

from tests.chaos import lakes
from tests.chaos.counted import counted
from tests.chaos.lakes import PRODUCT, Life

GROWTH = 150


def run(*, trials: int = 2, seed: int = 1, saboteur: str = "") -> dict[str, Any]:
    """So many rounds. The saboteur `topmost` reads its progress from the current snapshot alone."""
    chance, started, tended, well = random.Random(seed), time.monotonic(), 0, True
    with lakes.shore() as folder:
        for trial in counted("L4", trials):
            process = lakes.start(Life(folder, seed, (trial + 1) * GROWTH, table=saboteur, batch=15))
            before = lakes.lake(folder).table(PRODUCT).look().head
            while process.is_alive():
                if lakes.lake(folder).table(PRODUCT).look().head != before:  # the writer has found its place
                    tended += lakes.tend(folder, strays=60_000_000).files_before
                time.sleep(chance.uniform(0.0, 0.1))
            well = lakes.end(process) == 0 and well
            tended += lakes.tend(folder, strays=60_000_000).files_before  # what a quick writer left
            table = lakes.lake(folder).table(PRODUCT).load()
            with table.transaction() as transaction, transaction.update_snapshot().fast_append():
                pass  # a snapshot of somebody else's, on top
        counts = lakes.judge(folder, seed, trials * GROWTH)
    return lakes.answer(
        "L4", seed, trials, counts, {"ends_well": well, "tended": tended > 0},
        compacted=tended, seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip
