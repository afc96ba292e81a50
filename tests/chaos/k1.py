"""K1: brokers of a cluster of three killed under a relay and two workers, in turn and after whoever leads.

`run(trials=20, seed=1)`: so many SIGKILLs. A third of them takes the nodes in turn, a third the leader of a hot
partition of the orders, a third the one that coordinates the relay's or the runners' transactions. A killed node comes
back after a moment; the next dies when the cluster is whole again.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

from tests.chaos import downstream, stacks, verdict
from tests.chaos.cluster import NODES, Cluster, three_nodes
from tests.chaos.counted import counted
from tests.chaos.downstream import Downstream
from tests.chaos.scene import RELAY, scene
from tests.chaos.watch import Sight

from headwater.local.stack import LocalStack

RATE = 300.0
PRODUCTS = ("tally", "ranks")
WORKERS = (0, 1)
AWAY_SECONDS, WORKS_SECONDS = (0.2, 6.0), (1.0, 3.0)
WHOM = ("in turn", "leader", "coordinator")
SABOTEURS = {"early": "tests.chaos.relay_early"}
DRAINS_SECONDS = 120.0


class Clustered(Downstream):
    """Its Kafka is the cluster; database and registry are the stack's."""

    def write_mesh(self) -> None:
        super().write_mesh()
        (self.folder / "mesh.yaml").write_text(
            f"name: {self.database}\ndatabases: [{self.database}]\nenvironments:\n  local:\n"
            f"    kafka: {{bootstrap.servers: '{self.stack.kafka_address}'}}\n"
            f"    registry: {self.stack.registry_url}\n"
            f"    databases: {{{self.database}: '{self.dsn}'}}\n"
        )


def run(*, trials: int = 20, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """So many kills of brokers. The saboteur `early` is a relay that acknowledges before it commits."""
    with ExitStack() as held:
        running = stack or held.enter_context(stacks.own_stack())
        cluster, there = held.enter_context(three_nodes(running))
        module = SABOTEURS[saboteur] if saboteur else RELAY
        made = held.enter_context(scene(there, seed, module, kind=Clustered))
        return _result(made, cluster, trials)


def _result(made: Clustered, cluster: Cluster, trials: int) -> dict[str, Any]:
    started, chance, kills = time.monotonic(), random.Random(made.seed), []
    with made.watch() as watch:
        with made.load(rate=RATE, long=False):
            relay = made.relay()
            runners = [made.runner(*PRODUCTS, slot=slot) for slot in WORKERS]
            downstream.until(lambda: made.settled("ranks") >= 0, 90)
            from_, whole = time.monotonic(), True
            for trial in counted("K1", trials):
                kills.append(_kill(made, cluster, chance, WHOM[trial % len(WHOM)], trial))
                whole = cluster.whole() and whole
                time.sleep(chance.uniform(*WORKS_SECONDS))
            to = time.monotonic()
        lived = [process.poll() is None for process in (relay, *runners)]
        made.drain(relay if relay.poll() is None else None, seconds=DRAINS_SECONDS)
    last = made.relay()
    made.wait_settled(*PRODUCTS)
    counts = downstream.judged(made, *PRODUCTS)
    made.stop(last)
    codes = [made.stop(process) for process in runners]
    evidence = verdict.Evidence(made)
    return verdict.answer(
        "K1", made, evidence, trials=trials, watch=watch,
        asked={
            "wrong_results": not counts["wrong_results"],
            "steps_back": not counts["steps_back"],
            "all_lived": all(lived) and codes == [0] * len(runners),
            "cluster_came_back": whole,
        },
        derived=counts,
        lived=lived,
        longest_stall_seconds=round(Sight(watch, evidence.seen).longest_stall(from_, to), 2),
        longest_blindness_seconds=round(max(b - a for a, b in pairwise(watch.times)), 2),  # of the reader itself
        doubts=made.log.read_text(errors="replace").count("in doubt"),
        kills=kills,
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _kill(made: Clustered, cluster: Cluster, chance: random.Random, whom: str, trial: int) -> str:
    """One kill; the node is back when this returns, though not in step yet."""
    chased = {"leader": (made.topics[0], chance.randrange(4)), "coordinator": ("__transaction_state", trial % 4)}
    node = cluster.leader(*chased[whom]) if whom in chased else 0
    node = node or NODES[trial // len(WHOM) % len(NODES)]
    away = chance.uniform(*AWAY_SECONDS)
    cluster.kill(node)
    time.sleep(away)
    cluster.start(node)
    return f"{whom}: node {node} for {away:.1f} s"
