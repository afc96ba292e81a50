"""T4: history stays as it was, through kills, a state that is rebuilt, compaction and a schema that grows.

`run(trials=40, seed=1)`: so many happenings under load, in turn: the runner killed, the relay killed, the runner killed
and its state removed, so that it comes back from a changelog that is being compacted; in the middle the orders' schema
gets a field more. After each, D(T) of every T that was ever settled is computed again.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from typing import Any

from confluent_kafka import Producer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from tests.chaos import downstream, topics, verdict
from tests.chaos.counted import counted
from tests.chaos.downstream import Downstream
from tests.chaos.history import Digests
from tests.chaos.scene import scene

from headwater.local.stack import LocalStack

PRODUCTS = ("orders", "tally", "ranks")
DERIVED = ("tally", "ranks")
HAPPENINGS = ("runner killed", "relay killed", "state removed")
COMPACTED = {
    "segment.ms": "1000",
    "min.cleanable.dirty.ratio": "0.001",
    "max.compaction.lag.ms": "1000",
    "delete.retention.ms": "0",
}
LOOK_SECONDS = 4.0
RATE = 300.0


def run(*, trials: int = 40, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """So many happenings. The saboteur `historian` writes into what is settled, once."""
    with scene(stack, seed, kind=Downstream) as made:
        return _result(made, trials, saboteur)


def _result(made: Downstream, trials: int, saboteur: str) -> dict[str, Any]:
    started, chance, did = time.monotonic(), random.Random(made.seed), []
    compacted = compact(made)
    digests = Digests(made.rows, made.settled, PRODUCTS)
    with made.load(rate=RATE, long=False):
        relay, runner = made.relay(), made.runner(*DERIVED)
        downstream.until(lambda: made.settled("ranks") >= 0, 60)
        for trial in counted("T4", trials):
            digests.look()
            did.append(HAPPENINGS[trial % len(HAPPENINGS)])
            time.sleep(chance.uniform(0.2, 2.0))
            if did[-1] == "relay killed":
                end(relay)
                relay = made.relay()
            else:
                end(runner)
                if did[-1] == "state removed":
                    forget(made)
                runner = made.runner(*DERIVED)
            if trial == trials // 2:
                grow(made)
                end(relay)
                relay = made.relay()
                did.append("schema grown")
            if saboteur and trial == trials - 1:
                rewrite(made, "tally")
            time.sleep(LOOK_SECONDS)
            digests.look(did[-1])
    made.drain(None if relay.poll() is not None else relay)
    relay = made.relay()
    made.wait_settled(*DERIVED)
    digests.look("the end")
    counts = downstream.judged(made, *DERIVED)
    made.stop(relay)
    left = made.stop(runner)
    evidence, report = verdict.Evidence(made), digests.report()
    return verdict.answer(
        "T4", made, evidence, trials=trials,
        asked={
            "digests_changed": not digests.changed,
            "digests_checked": digests.checked > 2 * trials,
            "wrong_results": not counts["wrong_results"],
            "steps_back": not counts["steps_back"],
            "runner_ends_well": left == 0,
        },
        **report,
        derived=counts,
        compacted_or_markers=sum(missing(made, name) for name in compacted),
        happenings={name: did.count(name) for name in sorted(set(did))},
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL."""
    process.kill()
    process.wait()


def forget(made: Downstream) -> None:
    """Remove all local state of the runner: it comes back from its changelogs."""
    for name in DERIVED:
        for folder in (made.stack.data_folder / "state").glob(f"*{made.derived(name)}*"):
            shutil.rmtree(folder)


def grow(made: Downstream) -> None:
    """A new minor version of the orders: one field more, which may be absent."""
    product = made.products[0]
    path = product.replace(".", "/")
    schema = made.folder / f"schemas/avro/{path}/Order.avsc"
    text = schema.read_text()
    schema.write_text(text.replace("]}\n", ',\n  {"name": "note", "type": ["null", "string"], "default": null}]}\n'))
    contract = made.folder / f"connectors/{path}/product.yaml"
    contract.write_text(contract.read_text().replace("version: 1.0.0", "version: 1.1.0"))
    made.told("schema", "lock")
    made.told("apply")


def compact(made: Downstream) -> list[str]:
    """Let the broker compact, as soon as it can, what may be compacted: `current` and the changelogs."""
    admin = topics.admin(made.stack.kafka_address)
    names = [
        name for name in admin.list_topics(timeout=30).topics
        if any(made.derived(one) in name for one in DERIVED) and name.endswith((".current", "changelog"))
    ]  # fmt: skip
    entries = [ConfigEntry(*pair, incremental_operation=AlterConfigOpType.SET) for pair in COMPACTED.items()]
    wanted = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries) for name in names]
    for future in admin.incremental_alter_configs(wanted).values():
        future.result()
    return names


def missing(made: Downstream, name: str) -> int:
    """Records that compaction has taken from a topic; the markers of transactions are among those it counts."""
    bootstrap = made.stack.kafka_address
    count = len(topics.admin(bootstrap).list_topics(timeout=30).topics[name].partitions)
    places = [Place(name, number, 0) for number in range(count)]
    high = topics.ends(bootstrap, places, topics.Isolation.READ_COMMITTED)
    return sum(high.values()) - sum(1 for _ in topics.read(bootstrap, places))


def rewrite(made: Downstream, name: str) -> None:
    """The saboteur: one more record into what is settled already."""
    row = next(iter(made.rows(name)))
    producer = Producer({"bootstrap.servers": made.stack.kafka_address})
    topic = f"{made.derived(name)}.v1"
    producer.produce(topic, row.value, row.key, partition=row.partition, timestamp=row.timestamp)
    assert producer.flush(10) == 0
