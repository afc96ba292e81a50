"""P4: a state is restored behind an open transaction, which hides from readers what was committed after it.

`run(trials=100, seed=1)`: so many times a worker stands still before its transaction until a second one has its
partitions, wakes, writes its changes and dies; the second commits behind them and dies too; a third begins with an
empty disk while the first one's transaction still is open. What it restores must hold what the second committed. A
hand-over that ends with nothing open is judged all the same, and does not count.
"""

from __future__ import annotations

import random
import signal
import time
from typing import Any

from tests.chaos import downstream, kept, runner_late, topics
from tests.chaos.counted import counted
from tests.chaos.processors import DERIVED, Processors, answer, judged, processors, stands_still
from tests.chaos.topics import Isolation

from headwater.local.stack import LocalStack

IMPATIENT = {"session.timeout.ms": "6000"}
COMMITS_AT_LEAST = 500  # entries of the changelog, by the second worker
STOPS_WITHIN, TAKEN_WITHIN, DIES_WITHIN, COMMITS_WITHIN, MOVES_WITHIN = 150.0, 90.0, 30.0, 20.0, 150.0
TRIES = 3  # hand-overs for each that counts: on a starved machine the first worker's transaction may end too soon
READ_COMMITTED, READ_UNCOMMITTED = Isolation.READ_COMMITTED, Isolation.READ_UNCOMMITTED
Ends = dict[tuple[str, int], int]


def run(*, trials: int = 1, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """Restore so many times. The saboteur `bounded` restores to the last stable offset, as a common reader would."""
    with processors(stack, seed, saboteur) as made:
        made.reach_kafka_by(IMPATIENT)
        return _result(made, trials)


def _result(made: Processors, trials: int) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    stages, state = made.stages(), made.folder / "state" / "state"
    hidden, moved = list[int](), list[bool]()
    with made.feeder.feeding(size=20):
        for trial in counted("P4", trials * TRIES):
            hidden.append(_hand_over_twice(made, stages[trial % len(stages)], chance.randint(3, 12), slot=3 * trial))
            third = made.worker(slot=3 * trial + 2)
            moved.append(made.moved(time.time_ns() // 1_000, seconds=MOVES_WITHIN))
            behind = sum(entries > 0 for entries in hidden)
            if behind >= trials:
                break
            third.kill()
            third.wait()
        else:
            third = made.worker()
    made.wait_settled(*DERIVED)
    code = made.stop(third)  # type: ignore[arg-type]
    counts = judged(made)
    counts["stale_state"] = sum(kept.stale(made.stack.kafka_address, stage, state) for stage in stages)
    return answer(
        "P4", made, counts, trials=trials,
        asked={"as_many_behind_an_open_transaction": behind >= trials, "moved_on": all(moved),
               "runner_ends_well": code == 0},
        restored_behind_an_open_transaction=behind,
        entries_hidden=hidden,
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _hand_over_twice(made: Processors, stage: kept.Stage, nth: int, *, slot: int) -> int:
    """How many entries of the second worker lie behind the first one's transaction, which is open still."""
    first = made.worker(slot=slot, module="tests.chaos.runner_late",
                        **{runner_late.VARIABLE: f"{stage.changelog}:{nth}"})  # fmt: skip
    assert downstream.until(lambda: stands_still(first), STOPS_WITHIN), "the worker does not come to its transaction"
    before = _ends(made, stage, READ_UNCOMMITTED)
    second = made.worker(slot=slot + 1)
    assert downstream.until(
        lambda: all(end > before[place] for place, end in _ends(made, stage, READ_UNCOMMITTED).items()),
        TAKEN_WITHIN,
    ), "nobody took over"
    first.send_signal(signal.SIGCONT)
    first.wait(DIES_WITHIN)
    written = _ends(made, stage, READ_UNCOMMITTED)
    downstream.until(
        lambda: sum(_ends(made, stage, READ_UNCOMMITTED).values()) - sum(written.values()) >= COMMITS_AT_LEAST,
        COMMITS_WITHIN,
    )
    second.kill()
    second.wait()
    now = _ends(made, stage, READ_UNCOMMITTED)
    # What was open before the first died, and is open still, is its transaction: the second has ended its own since.
    pinned = [place for place, end in _ends(made, stage, READ_COMMITTED).items() if end < written[place]]
    return sum(now[place] - written[place] for place in pinned)


def _ends(made: Processors, stage: kept.Stage, isolation: Isolation) -> Ends:
    return topics.ends(made.stack.kafka_address, topics.places_of([stage.changelog], stage.partitions), isolation)
