"""P3: workers come and go every few seconds, from one to five and back to two.

`run(trials=200, seed=1)`: so many comings and goings, 2 to 5 s apart; a third of those that go are killed, the rest end
in an orderly way. A stage's group is a classic one with the range assignor, which is what the runner knows.
"""

from __future__ import annotations

import random
import time
from typing import Any

from tests.chaos.counted import counted
from tests.chaos.nursery import Life
from tests.chaos.processors import DERIVED, Processors, answer, judged, processors

from headwater.local.stack import LocalStack

IMPATIENT = {"session.timeout.ms": "6000"}
MOST, LEAST_LATER = 5, 2
EVERY_SECONDS = (2.0, 5.0)


def run(*, trials: int = 6, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """So many comings and goings. The saboteur `clinging` does not let go of what is taken from it."""
    with processors(stack, seed, saboteur) as made:
        made.reach_kafka_by(IMPATIENT)
        return _result(made, trials)


def _result(made: Processors, trials: int) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    workers: dict[int, Life] = {}
    did: list[str] = []
    stalls: list[float] = []
    ended_badly = 0
    with made.feeder.feeding(size=15):
        workers[0] = made.worker(slot=0)
        made.moved(max(made.settled(name) for name in DERIVED))
        rising = True
        for _ in counted("P3", trials):
            rising = len(workers) < MOST if rising else len(workers) <= LEAST_LATER
            if rising:
                slot = chance.choice([number for number in range(MOST) if number not in workers])
                workers[slot] = made.worker(slot=slot)
                did.append("came")
            else:
                leaver = workers.pop(chance.choice(sorted(workers)))
                did.append("killed" if chance.random() < 1 / 3 else "left")
                if did[-1] == "killed":
                    leaver.kill()
                    leaver.wait()
                else:
                    ended_badly += made.stop(leaver) != 0  # type: ignore[arg-type]
            time.sleep(chance.uniform(*EVERY_SECONDS))
            stalls.append(time.time() - min(made.settled(name) for name in DERIVED) / 1_000_000)
        fed_seconds = time.monotonic() - started
        alive = all(life.poll() is None for life in workers.values())
        made.moved(time.time_ns() // 1_000)
    made.wait_settled(*DERIVED)
    ended_badly += sum(made.stop(life) != 0 for life in workers.values())  # type: ignore[arg-type]
    counts = judged(made)
    rising_stalls = sorted(stalls)
    return answer(
        "P3", made, counts, trials=trials,
        asked={"workers_live": alive, "end_well": not ended_badly},
        comings_and_goings={name: did.count(name) for name in ("came", "left", "killed")},
        settled_behind_seconds={"p50": round(rising_stalls[len(stalls) // 2], 1), "max": round(rising_stalls[-1], 1)},
        orders_per_second=round(counts["rows"] / fed_seconds, 1),
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip
