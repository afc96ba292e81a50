"""P8 for runners: two workers of one slot, on two machines that do not know of each other.

`run(trials=10, seed=1)`: so many times two workers with slot 0 and a disk each take each other's place. Of each product
one must stop and say why before its first stage was replaced more than five times, and the other must go on. The
relay's P8 is an integration test.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos import downstream
from tests.chaos.counted import counted
from tests.chaos.processors import DERIVED, Processors, answer, judged, processors

from headwater.local.stack import LocalStack

FENCES_MOST = 5  # both workers together
_DOUBT = re.compile(r"^(\S+ \w+): in doubt.*\[HW-R003\]", re.MULTILINE)
STOPS_WITHIN, MOVES_WITHIN = 150.0, 60.0


def run(*, trials: int = 1, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """So many pairs. The saboteur `stubborn` takes its place back for ever."""
    with processors(stack, seed, saboteur) as made:
        return _result(made, trials)


def _result(made: Processors, trials: int) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    fences, stopped, told, moved = list[int](), list[float](), list[bool](), list[bool]()
    with made.feeder.feeding(size=15):
        for trial in counted("P8R", trials):
            logs = [made.folder / f"{trial}-{name}.log" for name in ("one", "other")]
            pair = []
            for log in logs:
                pair.append(made.worker(log=log, data=str(made.folder / log.stem)))
                time.sleep(chance.uniform(0.0, 2.0))
            from_ = time.monotonic()
            downstream.until(partial(_decided, made, logs), STOPS_WITHIN)
            stopped.append(round(time.monotonic() - from_, 1))
            moved.append(made.moved(time.time_ns() // 1_000, seconds=MOVES_WITHIN))
            told += [_said(made, name, logs) == 1 for name in DERIVED]
            fences.append(_fences(made, logs))
            for life in pair:
                life.kill()
                life.wait()
        last = made.worker()
        made.moved(max(made.settled(name) for name in DERIVED))
    made.wait_settled(*DERIVED)
    code = made.stop(last)  # type: ignore[arg-type]
    return answer(
        "P8R", made, judged(made), trials=trials,
        asked={"one_says_why": all(told), "the_other_goes_on": all(moved), "fences_are_few": max(fences) <= FENCES_MOST,
               "runner_ends_well": code == 0},
        fences=fences, stopped_after_seconds=stopped,
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _decided(made: Processors, logs: list[Path]) -> bool:
    return all(_said(made, name, logs) for name in DERIVED)


def _said(made: Processors, name: str, logs: list[Path]) -> int:
    """How many of the two stopped running a product, and said that it is for the slot."""
    sentence = f"{made.derived(name)}: another worker with slot 0 took the place of this one"
    return sum(sentence in log.read_text(errors="replace") for log in logs if log.exists())


def _fences(made: Processors, logs: list[Path]) -> int:
    """How often a product's first stage was replaced, the last time included, with which one of the two stopped."""
    text = "".join(log.read_text(errors="replace") for log in logs)
    counts = Counter(_DOUBT.findall(text))
    firsts = [f"{made.derived('tally')} aggregate", f"{made.derived('ranks')} changes"]
    return max(counts[first] for first in firsts) + 1
