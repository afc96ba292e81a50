"""R1: SIGKILL the relay at its failpoints and at random, over steady work; then count what readers see.

`run(trials=300, seed=1)` answers what `make chaos` prints. It starts a stack of its own unless it is given one.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from tests.chaos import verdict
from tests.chaos.counted import counted
from tests.chaos.scene import RELAY, Scene, scene
from tests.chaos.watch import Sight, percentiles

from headwater.local.stack import LocalStack

RATE_LEAST = 500.0  # rows a second that the generator must reach; it is asked for 800
DIES_WITHIN = 45.0  # seconds for a failpoint to be reached, from the start of the process
SABOTEURS = {"early": "tests.chaos.relay_early", "loose": "tests.chaos.relay_loose"}
# Mostly what leaves a transaction open for sure, and what lies between the Kafka commit and the feedback, where random
# kills never fall. (name, the most times it is passed before the kill)
FAILPOINTS = (
    ("relay.in_commit", 12), ("relay.after_commit", 12), ("relay.before_begin", 12), ("relay.in_commit", 12),
    ("relay.after_commit", 12), ("relay.after_send", 12), ("relay.in_commit", 12), ("relay.after_commit", 12),
    ("relay.after_position", 12), ("relay.in_commit", 12), ("relay.after_commit", 12), ("relay.after_feedback", 12),
    ("relay.in_commit", 12), ("relay.after_commit", 12),
)  # fmt: skip


@dataclass(frozen=True)
class Kill:
    """One kill, and what it left: a Kafka transaction open, rows that are published but not acknowledged."""

    at: str
    code: int
    transaction_open: bool
    unacknowledged: bool


def run(
    *, trials: int = 20, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "", timed: bool = True
) -> dict[str, Any]:
    """Kill so many times. Saboteurs: `early` acknowledges before the commit, `loose` writes its position outside it.

    Not `timed`: how many rows a second were written is told, and is nothing against a machine that is slow.
    """
    with scene(stack, seed, SABOTEURS[saboteur] if saboteur else RELAY) as made:
        return _result(made, trials, timed=timed)


def _result(made: Scene, trials: int, *, timed: bool) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    kills: list[Kill] = []
    restarts: list[float] = []
    with made.watch() as watch:
        with made.load() as written:
            from_ = time.monotonic()
            for trial in counted("R1", trials):
                restarts.append(time.monotonic())
                kills.append(_kill(made, chance, trial, trials))
            earlier = verdict.early_reading(made)
            restarts.append(time.monotonic())
            last = made.relay()
            made.reads(last)
            time.sleep(1.0)
            to = time.monotonic()
        made.drain(last)
    evidence = verdict.Evidence(made, earlier)
    sight = Sight(watch, evidence.seen)
    hot = sum(1 for kill in kills if kill.transaction_open or kill.unacknowledged)
    rate = (len(evidence.ledger) + evidence.never_committed) / written["seconds"]
    stall = sight.longest_stall(from_, to)
    return verdict.answer(
        "R1", made, evidence, trials=trials, watch=watch,
        asked={
            "half_of_the_kills_in_doubt": hot * 2 >= trials,
            "rate": rate >= RATE_LEAST or not timed,
            "all_killed": all(kill.code == -signal.SIGKILL for kill in kills),
        },
        kills_in_doubt=hot,
        transactions_left_open=sum(kill.transaction_open for kill in kills),
        published_but_unacknowledged=sum(kill.unacknowledged for kill in kills),
        killed=sum(kill.code == -signal.SIGKILL for kill in kills),
        recovery=percentiles(sight.recoveries(restarts[1:])),
        longest_stall_seconds=round(stall, 2),
        rows_per_second=round(rate, 1),
        savepoints_rolled_back=written["savepoints"],
        seconds=round(time.monotonic() - started, 1),
        kills=[f"{kill.at} -> {kill.code}" for kill in kills],
    )  # fmt: skip


def _kill(made: Scene, chance: random.Random, trial: int, trials: int) -> Kill:
    """One kill: three quarters at failpoints in turn, the rest at random moments of its work."""
    if trial * 4 < trials * 3:
        name, most = FAILPOINTS[trial % len(FAILPOINTS)]
        at = f"{name}:{chance.randint(1, most)}:kill"
        process = made.relay(at)
        try:
            process.wait(DIES_WITHIN)
        except subprocess.TimeoutExpired:
            at = f"{at} not reached"
    else:
        process = made.relay()
        made.reads(process)
        moment = chance.uniform(0.05, 1.5)
        at = f"random {moment * 1_000:.0f} ms"
        time.sleep(moment)
    process.kill()
    code = process.wait()
    return Kill(at, code, made.transaction_open(), made.acknowledged() < made.published())
