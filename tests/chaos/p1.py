"""P1: SIGKILL runners at each step of their transaction and at random, over steady work; then count what was said.

`run(trials=300, seed=1)` answers what `make chaos` prints. After each kill the stores on disk are held against a fresh
replay of their changelogs, up to where each store says that it stands.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from tests.chaos import kept, runner_apart
from tests.chaos.counted import counted
from tests.chaos.processors import DERIVED, Processors, answer, judged, processors

from headwater.local.stack import LocalStack

DIES_WITHIN = 45.0  # seconds for a failpoint to be reached, from the start of the process
LOOKS_EVERY = 10  # kills: to hold stores against changelogs costs more than a kill, later ones most
Failpoints = tuple[tuple[str, int], ...]
# (name, the most times it is passed before the kill); three stages pass it, each in its thread
FAILPOINTS: Failpoints = (
    ("stage.after_commit", 12), ("stage.before_commit", 12), ("stage.in_store", 12), ("stage.after_offsets", 12),
    ("stage.after_commit", 12), ("stage.after_outputs", 12), ("stage.in_store", 12), ("stage.after_store", 12),
    ("stage.after_commit", 12), ("stage.before_begin", 12),
)  # fmt: skip
FAILPOINTS_OF: dict[str, Failpoints] = {"apart": ((runner_apart.FAILPOINT, 3),)}  # a saboteur's


@dataclass(frozen=True)
class Kill:
    """One kill, and what it left."""

    at: str
    code: int
    transaction_open: bool
    stores_behind: int = 0
    stale: int = 0


def run(*, trials: int = 20, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """Kill so many times. Saboteurs: `apart` commits offsets by themselves, `hasty` writes its store before the commit
    and believes it."""
    with processors(stack, seed, saboteur) as made:
        return _result(made, trials, FAILPOINTS_OF.get(saboteur, FAILPOINTS))


def _result(made: Processors, trials: int, failpoints: Failpoints) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    kills: list[Kill] = []
    back: list[float] = []
    with made.feeder.feeding():
        for trial in counted("P1", trials):
            at = failpoints[trial % len(failpoints)] if trial * 4 < trials * 3 else None
            kills.append(_kill(made, chance, trial, at, back))
        last = made.worker()
        back.append(_until_moved(made))
        fed_seconds = time.monotonic() - started
    made.wait_settled(*DERIVED)
    code = made.stop(last)  # type: ignore[arg-type]
    counts = judged(made)
    counts["stale_state"] = sum(kill.stale for kill in kills) + sum(_stale(made, stage) for stage in made.stages())
    rising = sorted(back)
    return answer(
        "P1", made, counts, trials=trials,
        asked={"all_killed": all(kill.code == -signal.SIGKILL for kill in kills), "runner_ends_well": code == 0},
        killed=sum(kill.code == -signal.SIGKILL for kill in kills),
        transactions_left_open=sum(kill.transaction_open for kill in kills),
        kills_looked_at=sum(1 for trial in range(trials) if _looked_at(trial)),
        of_them_a_store_behind=sum(kill.stores_behind > 0 for kill in kills),
        recovery={"n": len(back), "p50_s": round(rising[len(back) // 2], 2), "max_s": round(rising[-1], 2)},
        orders_per_second=round(counts["rows"] / fed_seconds, 1),
        seconds=round(time.monotonic() - started, 1),
        kills=[f"{kill.at} -> {kill.code}" for kill in kills],
    )  # fmt: skip


def _kill(
    made: Processors, chance: random.Random, trial: int, failpoint: tuple[str, int] | None, back: list[float]
) -> Kill:
    """One kill: three quarters at failpoints in turn, the rest at random moments of its work."""
    if failpoint is not None:
        name, most = failpoint
        at = f"{name}:{chance.randint(1, most)}:kill"
        process = made.worker(failpoint=at)
        try:
            process.wait(DIES_WITHIN)
        except subprocess.TimeoutExpired:
            at = f"{at} not reached"
    else:
        process = made.worker()
        back.append(_until_moved(made))
        moment = chance.uniform(0.0, 0.8)
        at = f"random {moment * 1_000:.0f} ms"
        time.sleep(moment)
    process.kill()
    code = process.wait()
    if not _looked_at(trial):
        return Kill(at, code, made.open_transactions())
    state, kafka = made.folder / "state" / "state", made.stack.kafka_address
    behind = sum(kept.behind(kafka, stage, state) for stage in made.stages())
    return Kill(at, code, made.open_transactions(), behind, sum(_stale(made, stage) for stage in made.stages()))


def _looked_at(trial: int) -> bool:
    return trial % LOOKS_EVERY in (0, 2)  # a commit without its store, and a store of which some partitions are written


def _stale(made: Processors, stage: kept.Stage) -> int:
    return kept.stale(made.stack.kafka_address, stage, made.folder / "state" / "state")


def _until_moved(made: Processors) -> float:
    """How long until both products have moved on, from now."""
    from_ = time.monotonic()
    made.moved(max(made.settled(name) for name in DERIVED))
    return time.monotonic() - from_
