"""L2: a writer is frozen between its files and its commit while another commits many batches from the same offset.

`run(trials=50, seed=1)`: when the first one goes on it must be refused, remove its files, and stop with HW-I001.
"""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any

from tests.chaos import lakes
from tests.chaos.counted import counted
from tests.chaos.lakes import Life

GROWTH = 60


def run(*, trials: int = 2, seed: int = 1, saboteur: str = "") -> dict[str, Any]:
    """So many freezes. The saboteur `unfenced` has PyIceberg's own retries."""
    chance, started, refused, left = random.Random(seed), time.monotonic(), 0, 0
    with lakes.shore() as folder:
        for trial in counted("L2", trials):
            count = (trial + 1) * GROWTH
            frozen = lakes.start(Life(folder, seed, count, f"lake.before_commit:{chance.randint(1, 2)}:stop", saboteur))
            _wait_stopped(frozen.pid or 0)
            other = lakes.start(Life(folder, seed, count, table=saboteur, batch=5))
            assert lakes.end(other) in (0, lakes.STOPPED)
            before = lakes.stored(folder)
            os.kill(frozen.pid or 0, signal.SIGCONT)
            refused += lakes.end(frozen) == lakes.STOPPED and lakes.stopped_by(folder) == "HW-I001"
            left += lakes.stored(folder) >= before
        counts = lakes.judge(folder, seed, trials * GROWTH)
    return lakes.answer(
        "L2", seed, trials, counts, {"refused": refused == trials, "its_files_are_gone": not left},
        refused=refused, seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _wait_stopped(pid: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with open(f"/proc/{pid}/stat") as stat:
            if stat.read().rpartition(")")[2].split()[0] == "T":
                return
        time.sleep(0.02)
    raise AssertionError("the writer did not come to its commit")
