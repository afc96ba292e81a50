"""R2: PostgreSQL crashes under load, its slot goes back, and the server sends again what is published already.

A slot's position is saved only at a checkpoint, and none comes: after each crash the server believes what it knew at
the last start. The relay stays through most crashes and is killed with some. `run(trials=50, seed=1)`.
"""

from __future__ import annotations

import random
import signal
import time
from typing import Any

from tests.chaos import downstream, stacks, verdict
from tests.chaos.counted import counted
from tests.chaos.scene import RELAY, Scene, free_port, metric, scene

from headwater.local.stack import LocalStack

SABOTEURS = {"trusting": "tests.chaos.relay_trusting"}
STARVED = {"checkpoint_timeout": "1h", "max_wal_size": "10GB"}
WORKS_SECONDS = (1.0, 2.5)
SKIPPED = "headwater_relay_skipped_rows_total"
CATCH_UP_SECONDS = 30.0
CHECKPOINT_EACH = 10  # crashes


def run(*, trials: int = 50, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """Crash so many times. The saboteur `trusting` publishes whatever its slot sends."""
    with scene(stack, seed, SABOTEURS[saboteur] if saboteur else RELAY) as made:
        stacks.configure(made.stack, STARVED)
        try:
            return _result(made, trials)
        finally:
            stacks.configure(made.stack, dict.fromkeys(STARVED, ""))


def _result(made: Scene, trials: int) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    port, relay, skipped, went_back, crashes = free_port(), None, 0.0, [], []
    with made.watch() as watch:
        with made.load() as written:
            for trial in counted("R2", trials):
                if relay is None:
                    relay = made.relay(metrics_port=port)
                made.reads(relay)
                since = made.acknowledged()
                time.sleep(chance.uniform(*WORKS_SECONDS))
                _await_more(made, since)
                how = signal.SIGQUIT if trial % 2 == 0 else signal.SIGKILL
                with_relay = trial % 5 == 4
                if with_relay:
                    skipped += metric(port, SKIPPED)
                    relay.kill()
                    relay.wait()
                    relay = None
                if trial % CHECKPOINT_EACH == CHECKPOINT_EACH - 1:
                    stacks.checkpoint(made.stack)  # else what is sent again grows with every crash
                acknowledged = made.acknowledged()
                stacks.end_postgres(made.stack, how)
                stacks.start_postgres(made.stack)
                went_back.append(acknowledged - made.acknowledged())
                crashes.append(f"{how.name}{' and the relay' if with_relay else ''}: {went_back[-1]} bytes back")
            _catch_up(made, relay := relay or made.relay(metrics_port=port))
        skipped += metric(port, SKIPPED)
        made.drain(relay)
    evidence = verdict.Evidence(made)
    return verdict.answer(
        "R2", made, evidence, trials=trials, watch=watch,
        asked={"rows_skipped": skipped > 0, "slots_gone_back": max(went_back, default=0) > 0},
        rows_skipped=int(skipped),
        slots_gone_back=sum(size > 0 for size in went_back),
        bytes_gone_back=sum(size for size in went_back if size > 0),
        reconnects=written["reconnects"],
        seconds=round(time.monotonic() - started, 1),
        crashes=crashes,
    )  # fmt: skip


def _await_more(made: Scene, since: int) -> None:
    """Until the relay has acknowledged something: a crash takes back nothing else."""
    downstream.until(lambda: made.acknowledged() > since, CATCH_UP_SECONDS)


def _catch_up(made: Scene, relay: Any) -> None:
    """Until what the crash took back is passed again: only then are all skipped rows counted."""
    deadline = time.monotonic() + CATCH_UP_SECONDS
    published = made.published()
    while made.acknowledged() <= published and relay.poll() is None:
        assert time.monotonic() < deadline, "the relay does not catch up"
        time.sleep(0.1)
