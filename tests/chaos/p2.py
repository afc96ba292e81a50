"""P2: a runner stands still within its transaction until another has its partitions, and then wakes.

`run(trials=50, seed=1)`: one of three sleeps before its transaction, with its work done: another takes over within the
session's six seconds and does it too, and the sleeper is told by the group's generation. One sleeps within it, before
its offsets go in, and one after that: the broker lets nobody have the partitions before it has ended the transaction.
At the end every version of every fact is held against the input.
"""

from __future__ import annotations

import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos import downstream
from tests.chaos.counted import counted
from tests.chaos.processors import DERIVED, Processors, answer, judged, processors, stands_still

from headwater.local.stack import LocalStack

# The shortest session that the broker allows; a sleeper sends no heartbeats, so that it is over before the interval is.
SESSION_SECONDS = 6.0
IMPATIENT = {"session.timeout.ms": "6000", "max.poll.interval.ms": "6000"}
STEPS = ("stage.before_begin", "stage.after_outputs", "stage.after_offsets")
STOPS_WITHIN, TAKEN_WITHIN, FOUND_WITHIN = 180.0, 120.0, 30.0
DOES_SECONDS = 2.0  # what a sleeper still does that it should not, it does now


@dataclass(frozen=True)
class Sleep:
    """One sleep: where, how long until another had taken over, how long after waking it was found out, with what."""

    at: str
    taken: float
    found: float
    code: str


def run(*, trials: int = 3, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """Sleep so many times. The saboteur `careless` commits what it has made though its offsets were refused."""
    with processors(stack, seed, saboteur) as made:
        made.reach_kafka_by(IMPATIENT)
        return _result(made, trials)


def _result(made: Processors, trials: int) -> dict[str, Any]:
    started, chance, sleeps = time.monotonic(), random.Random(made.seed), []
    with made.feeder.feeding(size=15):
        for trial in counted("P2", trials):
            sleeps.append(_sleep(made, chance, trial))
        last = made.worker()
        made.moved(max(made.settled(name) for name in DERIVED))
    made.wait_settled(*DERIVED)
    code = made.stop(last)  # type: ignore[arg-type]
    counts = judged(made)
    fenced = [one for one in sleeps if one.code]
    return answer(
        "P2", made, counts, trials=trials,
        asked={"all_found_out": len(fenced) == trials, "runner_ends_well": code == 0},
        fenced=len(fenced),
        fenced_as={name: sum(one.code == name for one in sleeps) for name in sorted({one.code for one in sleeps})},
        taken_over_seconds=[round(one.taken, 1) for one in sleeps],
        found_out_seconds=[round(one.found, 2) for one in sleeps],
        seconds=round(time.monotonic() - started, 1),
        sleeps=[one.at for one in sleeps],
    )  # fmt: skip


def _sleep(made: Processors, chance: random.Random, trial: int) -> Sleep:
    step = STEPS[trial % len(STEPS)]
    at = f"{step}:{chance.randint(2, 10)}:stop"
    log = made.folder / f"sleeper-{trial}.log"
    # Slots of their own: a worker whose slot was there a moment ago has its partitions back without a rebalance.
    sleeper = made.worker(slot=2 * trial, failpoint=at, log=log)
    assert downstream.until(lambda: stands_still(sleeper), STOPS_WITHIN), "the failpoint was not reached"
    from_, before = time.monotonic(), made.changes()
    # Behind a sleeper's open transaction its partition is not restored, so that nothing can be committed in it.
    enough = all if step == "stage.before_begin" else any
    other = made.worker(slot=2 * trial + 1)

    def taken_over() -> bool:
        # Before the session is over nobody can have; what the sleeper had sent may come to the log meanwhile.
        return time.monotonic() - from_ > SESSION_SECONDS and enough(
            end > before[place] for place, end in made.changes().items()
        )

    assert downstream.until(taken_over, TAKEN_WITHIN), "nobody took over"
    taken = time.monotonic() - from_
    from_ = time.monotonic()
    sleeper.send_signal(signal.SIGCONT)
    downstream.until(lambda: bool(_doubt(log)) or sleeper.poll() is not None, FOUND_WITHIN, 0.02)
    found = time.monotonic() - from_
    time.sleep(DOES_SECONDS)
    for one in (sleeper, other):
        one.kill()
        one.wait()
    return Sleep(at, taken, found, _doubt(log))


def _doubt(log: Path) -> str:
    """The code of the first doubt in a log."""
    text = log.read_text(errors="replace") if log.exists() else ""
    _, _, after = text.partition("nothing is lost")
    return after.partition("[")[2].partition("]")[0]
