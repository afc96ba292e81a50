"""P6: transactions that take longer than they may are aborted and tried again with fewer records, and all is said.

`run(trials=20, seed=1)`: so many times a backlog waits for a runner to which each record costs time. All of it at once
takes several times a transaction's timeout.
"""

from __future__ import annotations

import random
import time
from typing import Any

from tests.chaos.counted import counted
from tests.chaos.processors import DERIVED, Processors, answer, judged, processors

from headwater.local.stack import LocalStack

RUNNER = "tests.chaos.runner_slow --transaction-seconds 3"
BACKLOG = (2_500, 4_000)  # orders: at 4 ms each, three to five times the timeout
AT_ONCE = 250
CODE = "HW-P180"
MOVES_WITHIN = 240.0  # about 70 s on two busy cores
GIVES_UP_AFTER = 90.0  # for one that never moves
TICKS_SECONDS = 0.3  # the last batch closes the ticks of all before it


def run(*, trials: int = 1, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """So many backlogs. The saboteur `steadfast` tries the same records again, however long they took."""
    with processors(stack, seed) as made:
        made.runner_module = f"{RUNNER} {saboteur}".strip()
        return _result(made, trials, GIVES_UP_AFTER if saboteur else MOVES_WITHIN)


def _result(made: Processors, trials: int, within: float) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    smaller, moved, seconds = list[int](), list[bool](), list[float]()
    for trial in counted("P6", trials):
        left = chance.randint(*BACKLOG)
        while left > 0:
            made.feeder.batch(min(left, AT_ONCE))
            left -= AT_ONCE
        until = time.time_ns() // 1_000
        time.sleep(TICKS_SECONDS)
        made.feeder.batch(1, last=trial == trials - 1)
        from_, log = time.monotonic(), made.folder / f"slow-{trial}.log"
        runner = made.worker(log=log)
        moved.append(made.moved(until, seconds=within))
        seconds.append(round(time.monotonic() - from_, 1))
        smaller.append(log.read_text(errors="replace").count(f"[{CODE}]"))
        if trial == trials - 1:
            made.wait_settled(*DERIVED)
        code = made.stop(runner)  # type: ignore[arg-type]
    counts = judged(made)
    return answer(
        "P6", made, counts, trials=trials,
        asked={"each_was_too_slow_at_first": all(smaller), "moved_on": all(moved), "runner_ends_well": code == 0},
        tried_again_with_fewer=smaller, caught_up_seconds=seconds,
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip
