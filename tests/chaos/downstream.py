"""What stands after the relay: products derived from the orders, the runners that make them, and what they must say.

`tally` counts and sums by customer, `ranks` by a key that is not the input's, so through a rekey; `shadow` is `tally`
again under another name. The recomputation is plain Python over the input's dump: nothing of the engine is in it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from tests.chaos import history, service
from tests.chaos.history import Row
from tests.chaos.scene import ROOT, Scene

RUNNER = "headwater run"
TICK = 100_000
SETTLES_SECONDS = 90.0
_SCHEMA = """{"type": "record", "name": "Tally", "namespace": "PRODUCT", "fields": [
  {"name": "KEY", "type": "TYPE"},
  {"name": "valid_from", "type": INSTANT}, {"name": "valid_to", "type": ["null", INSTANT], "default": null},
  {"name": "orders", "type": "long"}, {"name": "numbers", "type": "long"},
  {"name": "recorded_at", "type": INSTANT}, {"name": "kind", "type": KIND}, {"name": "revision", "type": "long"}]}
"""
_CONTRACT = """product: PRODUCT
version: 1.0.0
type: aggregate
owner: {team: chaos, contact: chaos@example.org}
purpose: What the runner is killed over.
inputs:
  - {product: SOURCE, major: 1, reads: [customer, number, occurred_at]}
outputs:
  - {name: facts, schema: Tally, key: [KEY], retention: forever, ports: [topic, current, http]}
"""
_FLOW = """from headwater import Stream, count, total, tumbling


def flow(orders: Stream) -> Stream:
    return orders.aggregate(by=["KEY"], window=tumbling("1h"), orders=count(), numbers=total("number"))
"""
_KEYS = {"tally": ("customer", "string"), "ranks": ("number", "long"), "shadow": ("customer", "string")}


class Version(NamedTuple):
    """One version of a derived fact."""

    kind: str
    revision: int
    recorded_at: int
    orders: int
    numbers: int


@dataclass
class Downstream(Scene):
    """A scene with derived products and processes that run them."""

    runner_module: str = RUNNER

    def write_mesh(self) -> None:
        super().write_mesh()
        for name, (key, type_) in _KEYS.items():
            product = self.derived(name)
            path = product.replace(".", "/")
            texts = {
                f"streams/{path}/product.yaml": _CONTRACT.replace("SOURCE", self.products[0]),
                f"streams/{path}/flow.py": _FLOW,
                f"schemas/avro/{path}/Tally.avsc": self.schema_of(name),
            }
            for file, text in texts.items():
                place: Path = self.folder / file
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text.replace("PRODUCT", product).replace("KEY", key).replace("TYPE", type_))

    def derived(self, name: str) -> str:
        """The product's full name."""
        return self.products[0].replace("orders", name)

    def schema_of(self, name: str) -> str:
        key, type_ = _KEYS[name]
        text = _SCHEMA.replace("PRODUCT", self.derived(name)).replace("KEY", key).replace("TYPE", type_)
        return text.replace("INSTANT", service.INSTANT).replace("KIND", service.KIND)

    def runner(
        self, *names: str, slot: int = 0, failpoint: str = "", module: str = "", metrics_port: int = 0
    ) -> subprocess.Popen[bytes]:
        """A runner of these products, as a process."""
        argv = [sys.executable, "-m", *(module or self.runner_module).split(), *map(self.derived, names)]
        argv += ["--slot", str(slot), "--metrics-port", str(metrics_port)]
        with self.log.open("ab") as log:
            process = subprocess.Popen(argv, env=self.environment(failpoint), cwd=ROOT, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def rows(self, name: str) -> list[Row]:
        """What is committed of a product; `orders` is the input."""
        product = self.products[0] if name == "orders" else self.derived(name)
        schema = service.schema(product) if name == "orders" else self.schema_of(name)
        return history.rows(self.stack.kafka_address, f"{product}.v1", schema)

    def settled(self, name: str) -> int:
        """Up to when a product is settled, by its marks."""
        return history.settled(self.stack.kafka_address, f"{self.derived(name)}.v1.progress", service.PARTITIONS)

    def written(self) -> int:
        """Rows of the ledger."""
        return self.number("SELECT count(*) FROM ledger")

    def wait_settled(self, *names: str, orders: Sequence[Row] = ()) -> None:
        """Until the tick of the newest order has closed in each product; a relay must run, for it writes the marks."""
        newest = max((row.record["recorded_at"] for row in orders or self.rows("orders")), default=0)
        end = newest // TICK * TICK + TICK - 1
        deadline = time.monotonic() + SETTLES_SECONDS
        while any(self.settled(name) < end for name in names) and time.monotonic() < deadline:
            time.sleep(0.3)


def recompute(orders: Iterable[Row], by: str) -> dict[Any, list[Version]]:
    """Every version of every fact that orders make, by its key and the start of its hour."""
    known: dict[str, dict[str, Any]] = {}
    members: dict[Any, dict[str, int]] = defaultdict(dict)
    versions: dict[Any, list[Version]] = defaultdict(list)
    in_order = sorted((row.record for row in orders), key=lambda record: record["recorded_at"])
    for tick, records in groupby(in_order, key=lambda record: record["recorded_at"] // TICK):
        before: dict[Any, tuple[int, int]] = {}

        def touch(record: dict[str, Any], before: dict[Any, tuple[int, int]] = before) -> dict[str, int]:
            identity = (record[by], record["occurred_at"] // 3_600_000_000 * 3_600_000_000)
            before.setdefault(identity, _value(members[identity]))
            return members[identity]

        for record in records:
            last = known.get(record["event_id"])
            if last is not None and record["revision"] <= last["revision"]:
                continue
            known[record["event_id"]] = record
            if last is not None and last["kind"] != "retract":
                del touch(last)[record["event_id"]]
            if record["kind"] != "retract":
                touch(record)[record["event_id"]] = record["number"]
        for identity, was in before.items():
            now = _value(members[identity])
            if now != was:
                kind = "assert" if not was[0] else "correct" if now[0] else "retract"
                told, said = now if now[0] else was, versions[identity]
                said.append(Version(kind, len(said) + 1, tick * TICK + TICK - 1, *told))
    return {identity: said for identity, said in versions.items() if said}


def wrong_results(outputs: Iterable[Row], expected: dict[Any, list[Version]], by: str) -> int:
    """C7: versions, of any fact, that are not what the input says; missing and repeated ones are wrong too."""
    said: dict[Any, list[Version]] = defaultdict(list)
    for row in outputs:
        one = row.record
        identity = (one[by], one["valid_from"])
        said[identity].append(Version(*(one[name] for name in Version._fields)))
    return sum(
        mine != theirs
        for identity in said.keys() | expected.keys()
        for mine, theirs in zip_longest(said.get(identity, []), expected.get(identity, []))
    )


def steps_back(outputs: Iterable[Row]) -> int:
    """Places at which a partition's (recorded time, key) does not rise."""
    last: dict[int, tuple[int, bytes, int]] = {}
    breaks = 0
    for row in outputs:
        place = (row.record["recorded_at"], row.key, row.record["valid_from"])
        breaks += row.partition in last and place <= last[row.partition]
        last[row.partition] = place
    return breaks


def judged(made: Downstream, *names: str) -> dict[str, int]:
    """The counts of C7 over these products, once they are settled."""
    orders = made.rows("orders")
    counts = {"wrong_results": 0, "steps_back": 0, "versions": 0, "facts": 0}
    for name in names:
        by, outputs = _KEYS[name][0], made.rows(name)
        expected = recompute(orders, by)
        counts["versions"] += sum(map(len, expected.values()))
        counts["facts"] += len(expected)
        counts["wrong_results"] += wrong_results(outputs, expected, by)
        counts["steps_back"] += steps_back(outputs)
    return counts


def until(reached: Callable[[], bool], seconds: float, every: float = 0.1) -> bool:
    """Wait; whether it came."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if reached():
            return True
        time.sleep(every)
    return False


def _value(numbers: dict[str, int]) -> tuple[int, int]:
    return len(numbers), sum(numbers.values())
