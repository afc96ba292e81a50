"""R6: a relay sleeps with a transaction open, another takes over, and the sleeper wakes: none of its rows may be seen.

`run(trials=50, seed=1)`: so many sleepers. Each is frozen by SIGSTOP just before a commit; the server takes slot and
lease from it after `wal_sender_timeout`; the second relay publishes a thousand transactions; SIGCONT wakes the first.
"""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import psycopg
from tests.chaos import stacks, verdict
from tests.chaos.counted import counted
from tests.chaos.scene import RELAY, Scene, free_port, metric, scene
from tests.chaos.segments import fence_breaks
from tests.chaos.service import PARTITIONS
from tests.chaos.watch import percentiles

from headwater.local.stack import LocalStack

SABOTEURS = {"unfenced": "tests.chaos.relay_unfenced"}
SENDER_TIMEOUT = "3s"
COMMITS_OF_THE_SECOND = 1_000
FENCED_SECONDS = 10.0
WAIT_SECONDS = 90.0
COMMITTED = "headwater_relay_transactions_total"
WAITING = "headwater_relay_waiting_total"


def run(*, trials: int = 50, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """So many sleepers. The saboteur `unfenced` takes over under a transactional id of its own."""
    with scene(stack, seed) as made:
        with psycopg.connect(stacks.address(made.stack), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {made.database} SET wal_sender_timeout = '{SENDER_TIMEOUT}'")
        return _result(made, trials, SABOTEURS[saboteur] if saboteur else RELAY)


def _result(made: Scene, trials: int, second: str) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    fenced: list[float] = []
    taken_over: list[float] = []
    left_open = 0
    # Small transactions: the second relay has its thousand soon.
    with made.watch() as watch:
        with made.load(rows=1, rate=600.0, long=False) as written:
            for _ in counted("R6", trials):
                opened, taken, woken = _round(made, chance, second)
                left_open += opened
                taken_over.append(taken)
                fenced.append(woken)
            earlier = verdict.early_reading(made)
        made.drain()
    evidence = verdict.Evidence(made, earlier)
    places = [(topic, number) for topic in made.topics for number in range(PARTITIONS)]
    breaks = fence_breaks(Path(made.stack.kafka_folder), places)
    return verdict.answer(
        "R6", made, evidence, trials=trials, watch=watch,
        asked={
            "no_record_of_a_sleeper_after_the_fence": breaks == 0,
            "transactions_left_open": left_open == trials,
            "all_fenced": all(seconds < FENCED_SECONDS for seconds in fenced),
        },
        fenced=sum(seconds < FENCED_SECONDS for seconds in fenced),
        fenced_after=percentiles(fenced),
        taken_over_after=percentiles(taken_over),
        transactions_left_open=left_open,
        records_of_a_sleeper_after_the_fence=breaks,
        transactions_per_second=round(written["transactions"] / written["seconds"], 1),
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _round(made: Scene, chance: random.Random, second: str) -> tuple[bool, float, float]:
    """One sleeper: did it leave a transaction open, seconds until the second took over, and until the first gave up."""
    ports = free_port(), free_port()
    sleeper = made.relay(f"relay.in_commit:{chance.randint(2, 15)}:stop", metrics_port=ports[0])
    _until(lambda: _state(sleeper.pid) == "T", "the first relay does not fall asleep")
    opened, asleep_at = made.transaction_open(), time.monotonic()
    follower = made.relay(metrics_port=ports[1], module=second)
    _until(lambda: metric(ports[1], COMMITTED) > 0, "the second relay does not take over")
    taken = time.monotonic() - asleep_at
    _until(lambda: metric(ports[1], COMMITTED) >= COMMITS_OF_THE_SECOND, "the second relay is slow")
    sleeper.send_signal(signal.SIGCONT)
    woken_at = time.monotonic()
    _until(lambda: sleeper.poll() is not None or metric(ports[0], WAITING) > 0, "the first relay does not give up")
    woken = time.monotonic() - woken_at
    time.sleep(chance.uniform(0.0, 1.0))  # it may try again, and must go on standing by
    sleeper.kill()
    sleeper.wait()
    made.stop(follower)
    return opened, taken, woken


def _until(condition: Any, otherwise: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]
