"""K2, light: the broker stands still under load, for seconds and beyond every time-out, and goes on.

`run(trials=10, seed=1)`: so many pauses by SIGSTOP, of 5 and of 30 seconds in turn (of 5 alone where there are few).
The relay must neither lose a row nor take up what it cannot publish: its memory stays as it is.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from tests.chaos import verdict
from tests.chaos.counted import counted
from tests.chaos.scene import RELAY, Scene, scene
from tests.chaos.watch import Sight

from headwater.local import kafka, processes
from headwater.local.stack import LocalStack

PAUSES_SECONDS = (5.0, 30.0)
LONG_FROM = 2
WORKS_SECONDS = 2.0
GROWTH_MB_LIMIT = 60.0  # one batch and its encoding are far below it; 30 s of rows in memory would not be
RATE = 1_500.0


def run(*, trials: int = 10, seed: int = 1, stack: LocalStack | None = None) -> dict[str, Any]:
    """So many pauses."""
    with scene(stack, seed, RELAY) as made:
        return _result(made, trials)


def _result(made: Scene, trials: int) -> dict[str, Any]:
    started, chance, pauses = time.monotonic(), random.Random(made.seed), []
    broker = processes.find(made.stack.data_folder, kafka.NAME)
    assert broker is not None and broker.alive
    with made.watch() as watch:
        with made.load(rate=RATE):
            relay = made.relay()
            made.reads(relay)
            from_ = time.monotonic()
            time.sleep(WORKS_SECONDS + chance.random())
            before, peak = _resident_mb(relay.pid), 0.0
            for trial in counted("K2", trials):
                pauses.append(PAUSES_SECONDS[trial % 2] if trials >= LONG_FROM else PAUSES_SECONDS[0])
                os.kill(broker.pid, signal.SIGSTOP)
                until = time.monotonic() + pauses[-1]
                while time.monotonic() < until:
                    peak = max(peak, _resident_mb(relay.pid))
                    time.sleep(0.1)
                os.kill(broker.pid, signal.SIGCONT)
                time.sleep(WORKS_SECONDS + chance.random())
                peak = max(peak, _resident_mb(relay.pid))
            to = time.monotonic()
        made.drain(relay)
    evidence = verdict.Evidence(made)
    return verdict.answer(
        "K2", made, evidence, trials=trials, watch=watch,
        asked={"memory_flat": peak - before < GROWTH_MB_LIMIT, "relay_lives": relay.returncode == 0},
        pauses_seconds=pauses,
        resident_mb={"before": before, "peak": peak},
        longest_stall_seconds=round(Sight(watch, evidence.seen).longest_stall(from_, to), 2),
        doubts=made.log.read_text(errors="replace").count("trying again"),
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _resident_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((round(int(line.split()[1]) / 1_024, 1) for line in lines if line.startswith("VmRSS")), 0.0)
