"""K3: relay and runner cut off from Kafka, each behind a proxy of its own: away, half-open, and deaf in one direction.

`run(trials=10, seed=1)`: so many partitions, of the relay and of the runner in turn. `killed`: every connection is
reset and none is taken for a while, in which the process is killed and started again. `away`: the same without a kill.
`half-open`: from one frame on nothing passes on its connection, though both sides think it is open. `deaf`: the broker
does what it is asked, and its answer is lost. `long`: away for longer than a transaction may be open. Checkers read
past the proxies.
"""

from __future__ import annotations

import random
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.chaos import downstream, stacks, verdict
from tests.chaos.counted import counted
from tests.chaos.downstream import Downstream
from tests.chaos.scene import RELAY, scene
from tests.chaos.watch import Sight, percentiles

from headwater.local.stack import LocalStack
from headwater.testing.kafka_proxy import KafkaProxy
from headwater.testing.kafka_proxy_rules import Drop, Frames, Freeze, Rule

PRODUCTS = ("tally", "ranks")
RATE = 200.0
DEEDS = ("killed", "away", "half-open", "deaf", "long")
APIS = {
    "relay": ("Produce", "EndTxn", "AddPartitionsToTxn"),
    "runner": ("Produce", "EndTxn", "TxnOffsetCommit", "Fetch"),
}
AWAY_SECONDS = {"killed": (2.0, 8.0), "away": (1.0, 8.0), "long": (35.0, 45.0)}
STRUCK_SECONDS, RECOVERS_SECONDS, WORKS_SECONDS = 30.0, 150.0, 1.0
SABOTEURS = {"early": "tests.chaos.relay_early"}


@dataclass
class Partitioned(Downstream):
    """Relay and runner see Kafka through proxies; `apply` and the checkers do not."""

    proxies: dict[str, KafkaProxy] = field(default_factory=dict)
    whose: str = "relay"  # the proxy of what is started next
    alive: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def stand_between(self, held: ExitStack) -> None:
        """From now on each of the two has its proxy."""
        for name in APIS:
            proxy = KafkaProxy(self.stack.kafka_address, seed=self.seed)
            self.proxies[name] = held.enter_context(proxy)
            (self.folder / "mesh.yaml").write_text(self._mesh())

    def begin(self, whose: str) -> None:
        """Start the one or the other."""
        self.whose = whose
        self.alive[whose] = self.relay() if whose == "relay" else self.runner(*PRODUCTS)

    def _mesh(self) -> str:
        known = "".join(
            f"  {name}:\n    kafka: {{bootstrap.servers: '{proxy.address}'}}\n"
            f"    registry: {self.stack.registry_url}\n    databases: {{{self.database}: '{self.dsn}'}}\n"
            for name, proxy in self.proxies.items()
        )
        return f"name: {self.database}\ndatabases: [{self.database}]\nenvironments:\n  local: {{stack: local}}\n{known}"

    def environment(self, failpoint: str = "") -> dict[str, str]:
        """The relay's; the runner says its own."""
        return {**super().environment(failpoint), "HEADWATER_ENVIRONMENT": self.whose if self.proxies else "local"}


def run(*, trials: int = 10, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """So many partitions. The saboteur `early` is a relay that acknowledges before it commits."""
    with ExitStack() as held:
        running = stack or held.enter_context(stacks.own_stack())
        module = SABOTEURS[saboteur] if saboteur else RELAY
        made = held.enter_context(scene(running, seed, module, kind=Partitioned))
        made.stand_between(held)
        return _result(made, trials)


def _result(made: Partitioned, trials: int) -> dict[str, Any]:
    started, chance, deeds, back = time.monotonic(), random.Random(made.seed), [], []
    with made.watch() as watch:
        with made.load(rate=RATE, long=False):
            for whose in APIS:
                made.begin(whose)
            downstream.until(lambda: made.settled("ranks") >= 0, 90)
            from_ = time.monotonic()
            for trial in counted("K3", trials):
                deeds.append(_part(made, chance, trial))
                back.append(_recovered(made))
                time.sleep(WORKS_SECONDS)
            to = time.monotonic()
        lived = {whose: process.poll() is None for whose, process in made.alive.items()}
        made.whose = "relay"
        made.drain(made.alive["relay"] if lived["relay"] else None, seconds=120)
    last = made.relay()
    made.wait_settled(*PRODUCTS)
    counts = downstream.judged(made, *PRODUCTS)
    made.stop(last)
    left = made.stop(made.alive["runner"])
    evidence = verdict.Evidence(made)
    return verdict.answer(
        "K3", made, evidence, trials=trials, watch=watch,
        asked={
            "wrong_results": not counts["wrong_results"],
            "steps_back": not counts["steps_back"],
            "all_struck": not any(deed.endswith("never") for deed in deeds),
            "all_lived": all(lived.values()) and left == 0,
            "all_recovered": all(seconds < RECOVERS_SECONDS for seconds in back),
        },
        derived=counts,
        recovery=percentiles(back),
        longest_stall_seconds=round(Sight(watch, evidence.seen).longest_stall(from_, to), 2),
        partitions=deeds,
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _part(made: Partitioned, chance: random.Random, trial: int) -> str:
    """One partition; it is healed, or is one of a single connection, when this returns."""
    whose, deed = ("relay", "runner")[trial % 2], DEEDS[trial // 2 % len(DEEDS)]
    proxy, name = made.proxies[whose], f"trial {trial}"
    if deed in AWAY_SECONDS:
        seconds = chance.uniform(*AWAY_SECONDS[deed])
        proxy.away()
        time.sleep(seconds)
        if deed == "killed":
            made.alive[whose].kill()
            made.alive[whose].wait()
        proxy.away(False)
        if deed == "killed":
            made.begin(whose)
        return f"{whose} {deed} for {seconds:.1f} s"
    api = chance.choice(APIS[whose])
    frames = Frames(api) if deed == "half-open" else Frames(api, "answer")
    proxy.add(Rule(name, frames, Freeze() if deed == "half-open" else Drop(), nth=chance.randint(1, 3)))
    struck = downstream.until(lambda: proxy.found(name) is not None, STRUCK_SECONDS)
    return f"{whose} {deed} at {api}{'' if struck else ' never'}"


def _recovered(made: Partitioned) -> float:
    """Seconds until the products are settled beyond this moment."""
    started, target = time.monotonic(), int(time.time() * 1_000_000)
    downstream.until(lambda: all(made.settled(name) > target for name in PRODUCTS), RECOVERS_SECONDS)
    return time.monotonic() - started
