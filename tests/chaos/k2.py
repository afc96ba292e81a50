"""K2: the broker stands still under a relay and a runner, for seconds and beyond every time-out, and goes on.

`run(trials=10, seed=1)`: so many pauses by SIGSTOP, of 5, 30 and 90 seconds in turn; in half of them the relay is
killed meanwhile and started again, as somebody would who finds it stuck. No row may be lost, and neither of the two may
take up what it cannot hand on: their memory stays as it is.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.chaos import downstream, stacks, verdict
from tests.chaos.counted import counted
from tests.chaos.downstream import Downstream
from tests.chaos.scene import RELAY, scene
from tests.chaos.watch import Sight, percentiles

from headwater.local import kafka, processes
from headwater.local.stack import LocalStack

PRODUCTS = ("tally", "ranks")
DEEDS = ((5.0, True), (30.0, False), (90.0, False), (5.0, False), (30.0, True), (90.0, True))  # seconds, relay killed
WORKS_SECONDS, RECOVERS_SECONDS = 2.0, 150.0
GROWTH_MB_LIMIT = 60.0  # one batch and its encoding are far below it; 30 s of rows in memory would not be
RATE = 1_000.0
SABOTEURS = {"early": "tests.chaos.relay_early"}


def run(*, trials: int = 10, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """So many pauses. The saboteur `early` is a relay that acknowledges before it commits."""
    with ExitStack() as held:
        running = stack or held.enter_context(stacks.own_stack())
        module = SABOTEURS[saboteur] if saboteur else RELAY
        return _result(held.enter_context(scene(running, seed, module, kind=Downstream)), trials)


def _result(made: Downstream, trials: int) -> dict[str, Any]:
    started, chance, back = time.monotonic(), random.Random(made.seed), []
    growth = {"relay": 0.0, "runner": 0.0}
    with made.watch() as watch:
        with made.load(rate=RATE, long=False):
            alive = {"relay": made.relay(), "runner": made.runner(*PRODUCTS)}
            downstream.until(lambda: made.settled("ranks") >= 0, 90)
            from_ = time.monotonic()
            for trial in counted("K2", trials):
                time.sleep(WORKS_SECONDS + chance.random())
                for whose, grown in _pause(made, alive, *DEEDS[trial % len(DEEDS)]).items():
                    growth[whose] = max(growth[whose], grown)
                back.append(_recovered(made))
            to = time.monotonic()
        lived = [process.poll() is None for process in alive.values()]
        made.drain(alive["relay"] if lived[0] else None, seconds=120)
    last = made.relay()
    made.wait_settled(*PRODUCTS)
    counts = downstream.judged(made, *PRODUCTS)
    made.stop(last)
    left = made.stop(alive["runner"])
    evidence = verdict.Evidence(made)
    return verdict.answer(
        "K2", made, evidence, trials=trials, watch=watch,
        asked={
            "wrong_results": not counts["wrong_results"],
            "steps_back": not counts["steps_back"],
            "memory_flat": max(growth.values()) < GROWTH_MB_LIMIT,
            "all_lived": all(lived) and left == 0,
            "all_recovered": all(seconds < RECOVERS_SECONDS for seconds in back),
        },
        derived=counts,
        pauses=[f"{seconds:g} s{', relay killed' * killed}" for seconds, killed in (DEEDS * trials)[:trials]],
        growth_mb=growth,
        recovery=percentiles(back),
        longest_stall_seconds=round(Sight(watch, evidence.seen).longest_stall(from_, to), 2),
        doubts=made.log.read_text(errors="replace").count("trying again"),
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _pause(
    made: Downstream, alive: dict[str, subprocess.Popen[bytes]], seconds: float, killed: bool
) -> dict[str, float]:
    """One pause; by how many MB of memory each of those that live through it has grown."""
    broker = processes.find(made.stack.data_folder, kafka.NAME)
    assert broker is not None and broker.alive
    before = {whose: _resident_mb(process.pid) for whose, process in alive.items() if not (killed and whose == "relay")}
    peaks = dict(before)
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        until, half = time.monotonic() + seconds, time.monotonic() + seconds / 2
        while time.monotonic() < until:
            for whose in peaks:
                peaks[whose] = max(peaks[whose], _resident_mb(alive[whose].pid))
            if killed and time.monotonic() > half and alive["relay"].poll() is None:
                alive["relay"].kill()
                alive["relay"].wait()
            time.sleep(0.1)
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    if killed:
        alive["relay"] = made.relay()
    return {whose: round(peak - before[whose], 1) for whose, peak in peaks.items()}


def _recovered(made: Downstream) -> float:
    """Seconds until the products are settled beyond this moment."""
    started, target = time.monotonic(), int(time.time() * 1_000_000)
    downstream.until(lambda: all(made.settled(name) > target for name in PRODUCTS), RECOVERS_SECONDS)
    return time.monotonic() - started


def _resident_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((round(int(line.split()[1]) / 1_024, 1) for line in lines if line.startswith("VmRSS")), 0.0)
