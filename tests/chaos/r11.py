"""R11: R1's schedule on the Debezium lane. SIGKILL of Connect's worker and of our relay in turn, over steady work.

`run(trials=20, seed=1)` answers what `make chaos` prints. With `exactly_once=False` the worker and the connector are as
Connect has them by default: the control, in which what was sent since the last flush comes again.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from tests.chaos import downstream, topics, verdict
from tests.chaos.counted import counted
from tests.chaos.r1 import FAILPOINTS
from tests.chaos.scene import Scene, scene

from headwater import naming
from headwater.local import connect, processes
from headwater.local.java import find_java, jars
from headwater.local.stack import LocalStack
from headwater.outbox.debezium_connect import Connect
from headwater.timeline.clock import SystemClock

RATE = 400  # rows a second: two JVMs, a database and the checkers share the machine
RATE_LEAST = 150.0
DIES_WITHIN = 45.0
RUNS_SECONDS = 90.0
DRAIN_SECONDS = 120.0


@dataclass(frozen=True)
class Kill:
    """One kill: whom, at what, how long until the connector ran again, and whether a Kafka transaction was open."""

    at: str
    code: int
    transaction_open: bool
    seconds: float = 0.0


class Lane:
    """Connect's worker with the connector of a scene."""

    def __init__(self, made: Scene, *, exactly_once: bool) -> None:
        self.made, self.exactly_once = made, exactly_once
        self.rest = Connect(made.stack.connect_url, clock=SystemClock())
        self.name = naming.connector(made.source)
        self.capture = naming.capture_topic(made.source)
        self.java, self.class_path = find_java(), jars("connect")
        self.plugin = jars("debezium", without=("connect",))

    def start(self) -> None:
        """The worker, with exactly-once or without."""
        stack = self.made.stack
        connect.prepare(stack, self.plugin)
        if not self.exactly_once:
            file = stack.data_folder / "connect" / "worker.properties"
            text = file.read_text().replace("source.support=enabled", "source.support=disabled")
            file.write_text(text + "offset.flush.interval.ms=5000\n")
        connect.start(stack, self.java, self.class_path)

    def deploy(self) -> None:
        """The connector that `connector generate` prints; in the control without its demand."""
        done = subprocess.run(
            [sys.executable, "-m", "headwater", "connector", "generate"],
            env=self.made.environment(), capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        config = next(iter(json.loads(done.stdout).values()))
        if not self.exactly_once:
            config["exactly.once.support"] = "requested"
        self.rest.put(self.name, config)

    def await_running(self) -> float:
        """Until the connector's task runs and has the slot; the seconds that took."""
        started = time.monotonic()
        query = "SELECT active::int FROM pg_replication_slots WHERE slot_name = %s"
        while time.monotonic() - started < RUNS_SECONDS:
            if connect.answers(self.made.stack):
                state = self.rest.status(self.name)
                if state is not None and state.running and self.made.number(query, self.made.slot):
                    return time.monotonic() - started
                if state is not None and any(task == "FAILED" for task, _ in state.tasks):
                    raise AssertionError(state)
            time.sleep(0.1)
        raise AssertionError(f"the connector does not run: {self.rest.status(self.name)}")

    def kill(self) -> int:
        """SIGKILL the worker."""
        process = processes.find(self.made.stack.data_folder, connect.NAME)
        assert process is not None and process.alive
        os.kill(process.pid, signal.SIGKILL)
        assert processes.wait_for_end(process, seconds=20)
        return -signal.SIGKILL

    def transaction_open(self) -> bool:
        return topics.open_transactions(self.made.stack.kafka_address, topics.places_of([self.capture], 1))

    def close(self) -> None:
        """The slot is let go with the connector; the worker stays as the stack has it."""
        self.rest.act(self.name, "delete")
        query = "SELECT active::int FROM pg_replication_slots WHERE slot_name = %s"
        until = time.monotonic() + 30
        while self.made.number(query, self.made.slot) and time.monotonic() < until:
            time.sleep(0.1)


def run(
    *, trials: int = 20, seed: int = 1, stack: LocalStack | None = None, exactly_once: bool = True, timed: bool = True
) -> dict[str, Any]:
    """Kill so many times, worker and relay in turn.

    Not `timed`: how many rows a second were written is told, and is nothing against a machine that is slow.
    """
    with scene(stack, seed, lane="debezium") as made:
        lane = Lane(made, exactly_once=exactly_once)
        connect.stop(made.stack)
        lane.start()
        try:
            return _result(made, lane, trials, timed=timed)
        finally:
            connect.stop(made.stack)


def _result(made: Scene, lane: Lane, trials: int, *, timed: bool) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    assert downstream.until(lambda: connect.answers(made.stack), RUNS_SECONDS), "the worker does not answer"
    lane.deploy()
    lane.await_running()
    kills: list[Kill] = []
    with made.watch() as watch:
        with made.load(rate=RATE) as written:
            relay = made.relay()
            for trial in counted("R11", trials):
                if trial % 2:
                    kills.append(_kill_relay(made, chance, trial, relay))
                    relay = made.relay()
                else:
                    kills.append(_kill_worker(lane, chance))
                if relay.poll() is not None:
                    raise AssertionError(f"the relay ended by itself with {relay.returncode}")
            earlier = verdict.early_reading(made)
        left = _drain(made, lane, relay)
        lane.close()
    evidence = verdict.Evidence(made, earlier)
    rate = (len(evidence.ledger) + evidence.never_committed) / written["seconds"]
    back = sorted(kill.seconds for kill in kills if kill.seconds)
    return verdict.answer(
        "R11", made, evidence, trials=trials, watch=watch,
        asked={
            "rate": rate >= RATE_LEAST or not timed,
            "all_killed": all(kill.code == -signal.SIGKILL for kill in kills),
        },
        exactly_once=lane.exactly_once,
        workers_killed=sum(kill.at.startswith("worker") for kill in kills),
        relays_killed=sum(kill.at.startswith("relay") for kill in kills),
        transactions_left_open=sum(kill.transaction_open for kill in kills),
        worker_back_seconds_median=round(back[len(back) // 2], 1) if back else 0.0,
        rows_per_second=round(rate, 1),
        seconds=round(time.monotonic() - started, 1),
        at_the_end=left,
        kills=[f"{kill.at} -> {kill.code}" for kill in kills],
    )  # fmt: skip


def _kill_worker(lane: Lane, chance: random.Random) -> Kill:
    moment = chance.uniform(0.0, 1.5)
    time.sleep(moment)
    code = lane.kill()
    was_open = lane.transaction_open()
    lane.start()
    return Kill(f"worker {moment * 1_000:.0f} ms", code, was_open, lane.await_running())


def _kill_relay(made: Scene, chance: random.Random, trial: int, relay: subprocess.Popen[bytes]) -> Kill:
    """Half at failpoints, half at random moments; the relay that ran is killed first, so that one is armed."""
    if trial % 4 == 1:
        moment = chance.uniform(0.05, 1.5)
        at = f"relay random {moment * 1_000:.0f} ms"
        time.sleep(moment)
        process = relay
    else:
        relay.kill()
        relay.wait()
        name, most = FAILPOINTS[(trial // 2) % len(FAILPOINTS)]
        at = f"{name}:{chance.randint(1, most)}:kill"
        process = made.relay(at)
        try:
            process.wait(DIES_WITHIN)
        except subprocess.TimeoutExpired:
            at = f"{at} not reached"
    process.kill()
    return Kill(at, process.wait(), made.transaction_open())


def _drain(made: Scene, lane: Lane, relay: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Until topics and quarantine have as many rows as the ledger, or time is over; then whatever should not follow.

    How both halves stand then, for whoever finds something missing.
    """
    wanted = made.number("SELECT count(*) FROM ledger WHERE outcome IN ('published', 'quarantined')")
    downstream.until(lambda: verdict.rows_there(made) >= wanted or relay.poll() is not None, DRAIN_SECONDS, 0.3)
    time.sleep(2.0)
    state = lane.rest.status(lane.name)
    stands = {"connector": state and state.as_json(), "relay_ended_by_itself": relay.poll()}
    made.stop(relay)
    return stands
