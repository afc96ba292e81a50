"""R7 through `headwater relay`: its commit is held back, repeated, and delivered into its next transaction.

The relay is a process whose Kafka address is the proxy's; a service writes all the while, and C1 to C4 are those of R1.
The stale commit is released once the next transaction's first partition has its records and before the others have.
The control is the same relay with its guard's suspicion off.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tests.chaos import checkers, r1, r1_source

from headwater import naming
from headwater.local.stack import LocalStack
from headwater.testing.kafka_proxy import KafkaProxy
from headwater.testing.kafka_proxy_rules import Answered, Cut, Drop, Elapsed, Frames, Hold, Rule, Seen

RATE = 300.0  # rows a second
LATE_MS = 5_000.0
STRIKE_SECONDS = 40.0
BAD = ("lost", "duplicates", "phantom", "order_breaks", "stamp_breaks")
_MODULES = {False: ["headwater", "relay"], True: ["tests.chaos.unsuspecting_relay"]}


class Proxied(r1.Chaos):
    """R1's mesh and service, with a relay that reaches Kafka through a proxy."""

    proxy: KafkaProxy

    def through(self, proxy: KafkaProxy) -> None:
        self.proxy = proxy
        environment = {
            "kafka": {"bootstrap.servers": proxy.address},
            "registry": self.stack.registry_url,
            "databases": {self.database: self.dsn},
        }
        with (self.folder / "mesh.yaml").open("a") as file:
            file.write(f"  proxied: {json.dumps(environment)}\n")

    @property
    def transactional_id(self) -> str:
        return naming.relay_transactional_id(self.source)

    def relay(self, failpoint: str = "") -> subprocess.Popen[bytes]:
        environment = {**self.environment(failpoint), "HEADWATER_ENVIRONMENT": "proxied"}
        command = [sys.executable, "-m", *_MODULES[self.saboteur]]
        with (self.folder / "relay.log").open("ab") as log:
            return subprocess.Popen(command, env=environment, cwd=r1.ROOT, stdout=log, stderr=log)

    def said(self) -> str:
        return (self.folder / "relay.log").read_text(errors="replace")


def run(*, trials: int, seed: int = 1, stack: LocalStack | None = None, saboteur: bool = False) -> dict[str, Any]:
    """Stale commits into a relay that goes on all the while."""

    def trial(chaos: Proxied, number: int, frames: Counter[str]) -> None:
        late = number % 4 == 3
        cut: Cut = chaos.chance.choice(["reset", "reset", "close"])
        stale = f"stale {number}"
        for rule in _stale_commit(chaos.transactional_id, stale, cut, late, chaos.chance):
            chaos.proxy.add(rule)
        frames[_answer(chaos, stale)] += 1

    return _run("R7 relay", trial, trials=trials, seed=seed, stack=stack, saboteur=saboteur, steady=True)


def run_eaten(*, trials: int = 20, seed: int = 1, stack: LocalStack | None = None) -> dict[str, Any]:
    """P7: the answer to a commit is eaten and the relay killed at once; after the restart exactly one copy is there."""

    def trial(chaos: Proxied, number: int, frames: Counter[str]) -> None:
        ends = Frames("EndTxn", "answer", transactional_id=chaos.transactional_id, committed=True)
        chaos.proxy.add(Rule(f"eaten {number}", ends, Drop(), nth=chaos.chance.randint(1, 8)))
        process = chaos.relay()
        try:
            frames[chaos.proxy.wait(f"eaten {number}", seconds=STRIKE_SECONDS).error] += 1
        finally:
            process.kill()
            process.wait()

    return _run("P7", trial, trials=trials, seed=seed, stack=stack, saboteur=False, steady=False)


def _stale_commit(name: str, stale: str, cut: Cut, late: bool, chance: random.Random) -> list[Rule]:
    ends = Frames("EndTxn", transactional_id=name, committed=True)
    nth = chance.randint(1, 4)
    if late:
        return [Rule(stale, ends, Hold(Elapsed(0, LATE_MS), cut), nth=nth)]
    written = Seen(Frames("Produce", "answer", transactional_id=name))
    return [
        Rule(stale, ends, Hold(written, cut), nth=nth),
        Rule(f"rest of {stale}", Frames("Produce", transactional_id=name), Hold(Answered(stale)), nth=2, after=stale),
    ]


def _answer(chaos: Proxied, stale: str) -> str:
    try:
        return chaos.proxy.wait(stale, "answered", STRIKE_SECONDS).error
    except TimeoutError:
        return "never sent"


def _run(
    name: str, trial: Any, *, trials: int, seed: int, stack: LocalStack | None, saboteur: bool, steady: bool
) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="headwater-r7-"))
    try:
        with r1.own_stack() if stack is None else nullcontext(stack) as running:
            chaos = Proxied(running, folder, seed, saboteur)
            with KafkaProxy(running.kafka_address, seed=seed) as proxy:
                chaos.prepare()
                chaos.through(proxy)
                return _result(name, chaos, trial, trials, steady)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _result(name: str, chaos: Proxied, trial: Any, trials: int, steady: bool) -> dict[str, Any]:
    started, frames = time.monotonic(), Counter[str]()
    generator = subprocess.Popen(
        [sys.executable, str(Path(r1.__file__).with_name("r1_generator.py")), chaos.dsn, str(RATE), str(chaos.seed)],
        stdout=subprocess.PIPE,
    )
    relay = chaos.relay() if steady else None
    try:
        for number in range(trials):
            trial(chaos, number, frames)
    finally:
        if relay is not None:
            relay.kill()
            relay.wait()
        generator.send_signal(signal.SIGTERM)
        generator.communicate(timeout=60)
    chaos.drain()
    counts = checkers.judge(chaos.dump(), r1_source.ledger(chaos.dsn))
    anomalies = sum(counts[kind] for kind in BAD)
    return {
        "id": name,
        "trials": trials,
        **counts,
        "anomalies": anomalies,
        "stale_frames": dict(frames),
        "doubts": chaos.said().count("trying again"),
        "upper_bound_95_percent": round(3 / trials, 4) if trials else 1.0,
        "seconds": round(time.monotonic() - started, 1),
        "seed": chaos.seed,
        "passed": anomalies == 0 and not frames["never sent"],
    }
