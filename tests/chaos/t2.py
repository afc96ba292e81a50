"""T2: clocks that are wrong, step and drift, of the database, of the relay and of the runner, under load.

`run(trials=12, seed=1)`: so many phases. Each sets the three clocks: right, an hour behind, five seconds ahead, an hour
ahead (then rows wait: such a stamp would hold the source for as long), drifting, or each by itself. The relay is killed
in every third. Recorded time must never fall, be one in a transaction and the record's timestamp, and no row be lost;
the runner must say what its input says, whatever its own clock does.

The database's clock is wrong where the relay meets it, in its stream; PostgreSQL itself goes by the machine's clock.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

from tests.chaos import downstream, verdict
from tests.chaos.counted import counted
from tests.chaos.downstream import Downstream
from tests.chaos.runner_skewed import VARIABLE
from tests.chaos.scene import scene

from headwater.local.stack import LocalStack

RELAY = "tests.chaos.relay_skewed"
SABOTEURS = {"trusting": f"{RELAY} trusting"}
RUNNER = "tests.chaos.runner_skewed"
PRODUCTS = ("tally", "ranks")
RATE = 200.0
SECOND, HOUR = 1_000_000, 3_600_000_000
AHEAD = 5 * SECOND  # less than what a relay believes of a database
PHASES = ("right", "behind", "ahead", "far ahead", "drifting", "apart")
PHASE_SECONDS, STEPS = 3.0, 6
PUBLISHES_SECONDS = 20.0  # a phase in which a relay that is short of CPU reads nothing would be none


@dataclass
class Clocks(Downstream):
    """A scene whose processes read their clocks' errors from a file."""

    runner_module: str = RUNNER

    def __post_init__(self) -> None:
        self.set()
        super().__post_init__()

    def environment(self, failpoint: str = "") -> dict[str, str]:
        return {**super().environment(failpoint), VARIABLE: str(self.folder / "clocks")}

    def set(self, database: int = 0, relay: int = 0, runner: int = 0) -> None:
        """What the clocks are off by, from now on; in one step, for somebody reads it."""
        draft = self.folder / "clocks.draft"
        draft.write_text(f"{database} {relay} {runner}")
        draft.replace(self.folder / "clocks")


def run(*, trials: int = 12, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """So many phases. The saboteur `trusting` stamps with the database's clock as it is."""
    with scene(stack, seed, SABOTEURS[saboteur] if saboteur else RELAY, kind=Clocks) as made:
        return _result(made, trials)


def _result(made: Clocks, trials: int) -> dict[str, Any]:
    started, chance, did = time.monotonic(), random.Random(made.seed), []
    with made.load(rate=RATE):
        relay, runner = made.relay(), made.runner(*PRODUCTS)
        made.reads(relay)
        for trial in counted("T2", trials):
            did.append(PHASES[trial % len(PHASES)])
            _phase(made, did[-1], chance)
            if trial % 3 == 2:
                relay.kill()
                relay.wait()
                relay = made.relay()
        made.set()
    made.drain(relay if relay.poll() is None else None)
    last = made.relay()
    made.wait_settled(*PRODUCTS)
    counts = downstream.judged(made, *PRODUCTS)
    made.stop(last)
    left = made.stop(runner)
    evidence = verdict.Evidence(made)
    return verdict.answer(
        "T2", made, evidence, trials=trials,
        asked={
            "wrong_results": not counts["wrong_results"],
            "steps_back": not counts["steps_back"],
            "runner_ends_well": left == 0,
        },
        derived=counts,
        phases={name: did.count(name) for name in PHASES},
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _phase(made: Clocks, name: str, chance: random.Random) -> None:
    """One phase: in a few steps, each of which may set the clocks anew."""
    for step in range(STEPS):
        if name == "drifting":
            off = (step - STEPS // 2) * SECOND
            made.set(off, off // 2, -off)
        elif name == "apart":
            made.set(chance.randint(-AHEAD, AHEAD), chance.randint(-AHEAD, AHEAD), chance.choice([-HOUR, HOUR]))
        elif step == 0:
            off = {"behind": -HOUR, "ahead": AHEAD, "far ahead": HOUR}.get(name, 0)
            made.set(off, 0, -off)
        time.sleep(PHASE_SECONDS / STEPS)
    if name != "far ahead":  # then rows wait
        before = made.published()
        downstream.until(lambda: made.published() > before, PUBLISHES_SECONDS)
