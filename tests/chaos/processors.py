"""Runners to hurt: two derived products over orders that a feeder writes, and what is counted against the runners.

`tally` is one stage, `ranks` two, with a rekey between them; both correct what they said when an order changes. What
they must have said is computed again from the input (`downstream.recompute`), byte for byte nothing of the engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import downstream, history, kept, service, topics, verdict
from tests.chaos.downstream import Downstream, Version
from tests.chaos.feeding import Feeder
from tests.chaos.history import Row
from tests.chaos.nursery import Life, Nursery
from tests.chaos.scene import ROOT, scene
from tests.chaos.service import PARTITIONS

from headwater.local.stack import LocalStack

DERIVED = ("tally", "ranks")
KEYS = {"tally": "customer", "ranks": "number"}
READY_SECONDS = 60.0
BAD = ("lost", "duplicates", "phantom", "wrong", "order_breaks", "current_wrong", "stale_state", "quarantined")


@dataclass
class Processors(Downstream):
    """The scene: no relay, a feeder in its place."""

    feeder: Feeder = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.feeder = Feeder(self.stack.kafka_address, self.stack.registry_url, self.products[0], self.seed)
        self.nursery = Nursery(ROOT, {**self.environment(), "OPENBLAS_NUM_THREADS": "1"})

    def worker(self, *, slot: int = 0, failpoint: str = "", log: Path | None = None, **other: str) -> Life:
        """A runner of both products in a process of its own; what it says goes to the scene's log, or to another.

        `other` may say which `module` runs it and where its state lies (`data`); the rest are environment variables.
        """
        module, data = other.pop("module", self.runner_module), other.pop("data", str(self.folder / "state"))
        argv = [*module.split(), *map(self.derived, DERIVED), "--slot", str(slot)]
        environment = {
            **self.environment(failpoint), **self.variables, **other, "HEADWATER_DATA": data,
            "HEADWATER_ENVIRONMENT": "there",
        }  # fmt: skip
        life = self.nursery.born(argv, environment, log or self.log)
        self.processes.append(life)  # type: ignore[arg-type]
        return life

    def write_mesh(self) -> None:
        super().write_mesh()
        self.reach_kafka_by({})

    def reach_kafka_by(self, settings: dict[str, str]) -> None:
        """How runners reach Kafka: the stack's address, with these settings of the client besides."""
        kafka = {"bootstrap.servers": self.stack.kafka_address, **settings}
        lines = "".join(f"      {name}: '{value}'\n" for name, value in kafka.items())
        file = self.folder / "mesh.yaml"
        before, _, _ = file.read_text().partition("  there:\n")
        databases = f"    databases: {{{self.database}: none}}\n"
        file.write_text(f"{before}  there:\n    kafka:\n{lines}    registry: {self.stack.registry_url}\n{databases}")

    def stages(self) -> list[kept.Stage]:
        """Every stage that keeps state, by its changelog."""
        names = topics.admin(self.stack.kafka_address).list_topics(timeout=30).topics
        mine = [name for name in names if name.endswith(".changelog") and self._mine(name)]
        events = service.schema(self.products[0])
        return [kept.Stage(name.removesuffix(".changelog"), name, PARTITIONS, events) for name in sorted(mine)]

    def _mine(self, topic: str) -> bool:
        return any(topic.startswith(f"{self.derived(name)}.v1") for name in DERIVED)

    def moved(self, since: int, *, seconds: float = READY_SECONDS) -> bool:
        """Until both products are settled beyond this instant; whether they came to be."""
        return downstream.until(lambda: all(self.settled(name) > since for name in DERIVED), seconds)

    def open_transactions(self) -> bool:
        """Whether a runner's transaction is open."""
        names = topics.admin(self.stack.kafka_address).list_topics(timeout=30).topics
        places = [
            place for name, about in names.items() if self._mine(name) and not name.endswith(".control")
            for place in topics.places_of([name], len(about.partitions))
        ]  # fmt: skip
        return topics.open_transactions(self.stack.kafka_address, places)

    def changes(self) -> dict[tuple[str, int], int]:
        """The high watermark of each changelog's partitions: they rise behind an open transaction too."""
        places = [place for stage in self.stages() for place in topics.places_of([stage.changelog], stage.partitions)]
        return topics.ends(self.stack.kafka_address, places, topics.Isolation.READ_UNCOMMITTED)

    def close(self) -> None:
        super().close()
        self.nursery.close()


@contextmanager
def processors(stack: LocalStack | None, seed: int, saboteur: str = "") -> Iterator[Processors]:
    """The scene, with a saboteur's module for its runners where one is named."""
    with scene(stack, seed, kind=Processors) as made:
        if saboteur:
            made.runner_module = f"tests.chaos.runner_{saboteur}"
        yield made


def judged(made: Processors) -> dict[str, int]:
    """C1 to C4 and C7 over both products, by (identity, revision); and the stores against their changelogs."""
    orders = made.rows("orders")
    counts = Counter(dict.fromkeys(BAD, 0))
    for name in DERIVED:
        by, outputs = KEYS[name], made.rows(name)
        expected = downstream.recompute(orders, by)
        counts.update(against(outputs, expected, by))
        counts["order_breaks"] += downstream.steps_back(outputs)
        topic = f"{made.derived(name)}.v1"
        current = history.rows(made.stack.kafka_address, f"{topic}.current", made.schema_of(name))
        newest = {row.key: row for row in sorted(current, key=lambda row: row.offset)}
        said = {_identity(row, by): _version(row) for row in newest.values()}
        counts["current_wrong"] += sum(
            said.get(identity) != versions[-1] for identity, versions in expected.items()
        ) + len(said.keys() - expected.keys())
        quarantine = topics.places_of([f"{topic}.quarantine"], PARTITIONS)
        counts["quarantined"] += sum(1 for _ in topics.read(made.stack.kafka_address, quarantine))
    counts["rows"] = len(orders)
    return dict(counts)


def against(outputs: Sequence[Row], expected: dict[Any, list[Version]], by: str) -> Counter[str]:
    """What is said of each (identity, revision), against what had to be said."""
    must = {(identity, one.revision): one for identity, versions in expected.items() for one in versions}
    said: dict[Any, list[Version]] = {}
    for row in outputs:
        said.setdefault((_identity(row, by), row.record["revision"]), []).append(_version(row))
    return Counter(
        versions=len(must),
        facts=len(expected),
        lost=len(must.keys() - said.keys()),
        phantom=len(said.keys() - must.keys()),
        duplicates=sum(len(versions) - 1 for versions in said.values()),
        wrong=sum(must[place] != versions[0] for place, versions in said.items() if place in must),
    )


def answer(
    program: str, made: Processors, counts: dict[str, int], *, trials: int, asked: dict[str, bool], **more: Any
) -> dict[str, Any]:
    """The result as `make chaos` writes it; `asked` is what the program asks for besides, by name."""
    found = [name for name in BAD if counts.get(name)] + [name for name, right in asked.items() if not right]
    return {
        "id": program, "trials": trials, "seed": made.seed, **counts,
        "upper_bound_95_percent": round(3 / trials, 4), **more,
        "versions_of": verdict.versions(made), "against": found, **({"log": made.said()} if found else {}),
        "passed": not found and counts["rows"] > 0,
    }  # fmt: skip


def stands_still(life: Life) -> bool:
    """Whether a process was stopped."""
    try:
        return Path(f"/proc/{life.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def _identity(row: Row, by: str) -> tuple[Any, Any]:
    return row.record[by], row.record["valid_from"]


def _version(row: Row) -> Version:
    return Version(*(row.record[name] for name in Version._fields))
