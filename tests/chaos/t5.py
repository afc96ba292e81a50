"""T5: a product made again from its first input, beside the living one and under live traffic, is the same to the byte.

`run(trials=3, seed=1)`: so many times as many orders (10,000 each) lie in the topic when `shadow`, the flow of `tally`
under another name, begins at offset 0; work goes on meanwhile, and the replay is killed once in the middle.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from tests.chaos import downstream, verdict
from tests.chaos.counted import counted
from tests.chaos.downstream import RUNNER, Downstream
from tests.chaos.history import Row
from tests.chaos.scene import scene

from headwater.local.stack import LocalStack

PRODUCTS = ("tally", "shadow")
SABOTEURS = {"now": "tests.chaos.runner_now"}
ORDERS_A_TRIAL = 10_000
RATE_FILL, RATE_LIVE = 2_000.0, 200.0
CALM_SECONDS, REPLAY_SECONDS = 5.0, 240.0
LAG_EVERY = 0.5


@dataclass
class Lag:
    """How far the living product's settled time lags behind the clock, in seconds, sampled."""

    samples: list[float] = field(default_factory=list)

    def p95(self) -> float:
        rising = sorted(self.samples)
        return round(rising[int(len(rising) * 0.95)], 2) if rising else 0.0


def run(*, trials: int = 3, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """One replay of so many times 10,000 orders. The saboteur `now` stamps what it makes with its own time."""
    with scene(stack, seed, kind=Downstream) as made:
        return _result(made, trials, SABOTEURS[saboteur] if saboteur else RUNNER)


def _result(made: Downstream, trials: int, replay: str) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    relay, living = made.relay(), made.runner("tally")
    with made.load(rate=RATE_FILL):
        for trial in counted("T5 filling", trials):
            downstream.until(lambda done=trial + 1: made.written() >= done * ORDERS_A_TRIAL, 120)
    before, during = Lag(), Lag()
    with made.load(rate=RATE_LIVE, seed=made.seed + 1):
        made.wait_settled("tally")
        with _sampled(made, before):
            time.sleep(CALM_SECONDS)
        behind = len(made.rows("orders"))
        from_, target = time.monotonic(), made.settled("tally")
        with _sampled(made, during):
            at = f"stage.before_commit:{chance.randint(1, 2)}:kill"
            killed = made.runner("shadow", module=replay, failpoint=at).wait(REPLAY_SECONDS) == -signal.SIGKILL
            shadow = made.runner("shadow", module=replay)
            downstream.until(lambda: made.settled("shadow") >= target, REPLAY_SECONDS)
            took = time.monotonic() - from_
    made.drain(relay)
    relay = made.relay()
    made.wait_settled(*PRODUCTS)
    counts = downstream.judged(made, "tally")
    original, copy = made.rows("tally"), made.rows("shadow")
    made.stop(relay)
    codes = [made.stop(process) for process in (living, shadow)]
    evidence = verdict.Evidence(made)
    mismatches = differ(original, copy)
    return verdict.answer(
        "T5", made, evidence, trials=trials,
        asked={
            "mismatches": not mismatches and len(original) > 0,
            "wrong_results": not counts["wrong_results"],
            "killed_in_the_middle": killed,
            "runners_end_well": codes == [0, 0],
        },
        upper_bound_95_percent=round(3 / max(1, len(original)), 6),  # a record
        mismatches=mismatches,
        records_compared=len(original),
        orders_replayed=behind,
        replay_seconds=round(took, 1),
        lag_p95_seconds={"before": before.p95(), "during": during.p95()},
        derived=counts,
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def differ(original: list[Row], copy: list[Row]) -> int:
    """Places at which two products differ, in any byte but the schema's id."""
    count = 0
    for partition in {row.partition for row in original} | {row.partition for row in copy}:
        mine = [row.body for row in original if row.partition == partition]
        theirs = [row.body for row in copy if row.partition == partition]
        count += sum(one != other for one, other in zip_longest(mine, theirs))
    return count


@contextmanager
def _sampled(made: Downstream, lag: Lag) -> Iterator[None]:
    stopping = threading.Event()

    def sample() -> None:
        while not stopping.wait(LAG_EVERY):
            lag.samples.append(time.time() - made.settled("tally") / 1_000_000)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(30)
