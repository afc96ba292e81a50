"""P7 for runners: the answer to a commit is eaten and the runner killed at once; after the restart one copy is there.

`run(trials=200, seed=1)`: so many answers, of each stage in turn, by a proxy that the runners reach Kafka through. The
relay's P7 is `r7_relay.run_eaten`.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

from tests.chaos import kept
from tests.chaos.counted import counted
from tests.chaos.processors import DERIVED, Processors, answer, judged, processors

from headwater.local.stack import LocalStack
from headwater.testing.kafka_proxy import KafkaProxy
from headwater.testing.kafka_proxy_rules import Drop, Frames, Rule

EATEN_WITHIN = 60.0


def run(*, trials: int = 6, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """Eat so many answers. The saboteur `own` asks its own disk, and not Kafka, how far it has come."""
    with processors(stack, seed, saboteur) as made, KafkaProxy(made.stack.kafka_address, seed=seed) as proxy:
        made.reach_kafka_by({"bootstrap.servers": proxy.address})
        return _result(made, proxy, trials)


def _result(made: Processors, proxy: KafkaProxy, trials: int) -> dict[str, Any]:
    started, chance, ends = time.monotonic(), random.Random(made.seed), Counter[str]()
    stages = made.stages()
    with made.feeder.feeding(size=20):
        for trial in counted("P7R", trials):
            frames = Frames("EndTxn", "answer", transactional_id=_writer(stages[trial % len(stages)]), committed=True)
            proxy.add(Rule(f"eaten {trial}", frames, Drop(), nth=chance.randint(1, 8)))
            runner = made.worker()
            try:
                ends[proxy.wait(f"eaten {trial}", seconds=EATEN_WITHIN).error] += 1
            except TimeoutError:
                ends["never sent"] += 1
            finally:
                runner.kill()
                runner.wait()
        last = made.worker()
        moved = made.moved(max(made.settled(name) for name in DERIVED))
    made.wait_settled(*DERIVED)
    code = made.stop(last)  # type: ignore[arg-type]
    counts = judged(made)
    state = made.folder / "state" / "state"
    counts["stale_state"] = sum(kept.stale(made.stack.kafka_address, stage, state) for stage in stages)
    return answer(
        "P7R", made, counts, trials=trials,
        asked={"all_sent": not ends["never sent"], "moved_on": moved, "runner_ends_well": code == 0},
        eaten=dict(ends),
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _writer(stage: kept.Stage) -> str:
    """The transactional id of a stage's writer at slot 0, from its group `<product>.v<major>.<stage>`."""
    product, version, name = stage.group.rsplit(".", 2)
    return f"{product}-{version}-{name}-0"
