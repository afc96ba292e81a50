"""R7 through `headwater relay`: its commit is held back, repeated, and delivered into its next transaction.

The relay is a process whose Kafka address is the proxy's; a service writes all the while, and C1 to C4 are R1's.
The stale commit is released once the next transaction's first partition has its records and before the others have.
The control is the same relay with its guard's suspicion off.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.chaos import verdict
from tests.chaos.counted import counted
from tests.chaos.scene import RELAY, Scene, scene

from headwater import naming
from headwater.local.stack import LocalStack
from headwater.testing.kafka_proxy import KafkaProxy
from headwater.testing.kafka_proxy_rules import Answered, Cut, Drop, Elapsed, Frames, Hold, Rule, Seen

RATE = 300.0  # rows a second
LATE_MS = 5_000.0
STRIKE_SECONDS = 40.0
BAD = ("lost", "duplicates", "phantom", "order_breaks", "stamp_breaks")
SABOTEUR = "tests.chaos.relay_unsuspecting"


@dataclass
class Struck:
    """A scene whose relays reach Kafka through a proxy."""

    scene: Scene
    proxy: KafkaProxy
    chance: random.Random

    def __post_init__(self) -> None:
        environment = {
            "kafka": {"bootstrap.servers": self.proxy.address},
            "registry": self.scene.stack.registry_url,
            "databases": {self.scene.database: self.scene.dsn},
        }
        with (self.scene.folder / "mesh.yaml").open("a") as file:
            file.write(f"  proxied: {json.dumps(environment)}\n")
        self.scene.variables["HEADWATER_ENVIRONMENT"] = "proxied"

    @property
    def transactional_id(self) -> str:
        return naming.relay_transactional_id(self.scene.source)


def run(*, trials: int, seed: int = 1, stack: LocalStack | None = None, saboteur: bool = False) -> dict[str, Any]:
    """Stale commits into a relay that goes on all the while."""

    def trial(chaos: Struck, number: int, frames: Counter[str]) -> None:
        late = number % 4 == 3
        cut: Cut = chaos.chance.choice(["reset", "reset", "close"])
        stale = f"stale {number}"
        for rule in _stale_commit(chaos.transactional_id, stale, cut, late, chaos.chance):
            chaos.proxy.add(rule)
        frames[_answer(chaos, stale)] += 1

    return _run("R7 relay", trial, trials=trials, seed=seed, stack=stack, saboteur=saboteur, steady=True)


def run_eaten(*, trials: int = 20, seed: int = 1, stack: LocalStack | None = None) -> dict[str, Any]:
    """P7: the answer to a commit is eaten and the relay killed at once; after the restart exactly one copy is there."""

    def trial(chaos: Struck, number: int, frames: Counter[str]) -> None:
        ends = Frames("EndTxn", "answer", transactional_id=chaos.transactional_id, committed=True)
        chaos.proxy.add(Rule(f"eaten {number}", ends, Drop(), nth=chaos.chance.randint(1, 8)))
        process = chaos.scene.relay()
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


def _answer(chaos: Struck, stale: str) -> str:
    try:
        return chaos.proxy.wait(stale, "answered", STRIKE_SECONDS).error
    except TimeoutError:
        return "never sent"


def _run(
    name: str, trial: Any, *, trials: int, seed: int, stack: LocalStack | None, saboteur: bool, steady: bool
) -> dict[str, Any]:
    module = SABOTEUR if saboteur else RELAY
    with scene(stack, seed, module) as made, KafkaProxy(made.stack.kafka_address, seed=seed) as proxy:
        return _result(name, Struck(made, proxy, random.Random(seed)), trial, trials, steady)


def _result(name: str, chaos: Struck, trial: Any, trials: int, steady: bool) -> dict[str, Any]:
    started, frames, made = time.monotonic(), Counter[str](), chaos.scene
    with made.load(rate=RATE):
        relay = made.relay() if steady else None
        for number in counted(f"{name} relay", trials):
            trial(chaos, number, frames)
        if relay is not None:
            relay.kill()
            relay.wait()
    made.drain()
    evidence = verdict.Evidence(made)
    return verdict.answer(
        name, made, evidence, trials=trials,
        asked={"all_sent": not frames["never sent"]},
        anomalies=sum(evidence.counts[kind] for kind in BAD),
        stale_frames=dict(frames),
        doubts=made.log.read_text(errors="replace").count("trying again"),
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip
