"""Headwater itself: `headwater run` and `headwater relay` on an ordinary mesh, as any user calls them."""

from __future__ import annotations

import os
import shlex
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from confluent_kafka import Message

from bench.filling import INPUT_TOPIC, ORDERS, PARTITIONS
from bench.kafka import Kafka, header
from bench.machine import Command
from bench.oracle import Published, RowsOracle, Verdict
from bench.outbox import Arrivals
from bench.outbox_rows import OutboxLog
from bench.restoring import Restored
from bench.stack import ROOT, Stack
from bench.systems.avro_reader import AvroReader
from headwater import naming
from headwater.ports.progress import decode_mark

FRAME_BYTES = 5
PROFILE_VARIABLE = "BENCH_PROFILE"  # a folder: the process under test is then sampled, and its time is void


class HeadwaterRun:
    """The `kafka` runner on one product: exactly once, RocksDB, changelog."""

    name = "headwater"
    runner = "kafka"
    options: Sequence[str] = ()

    def __init__(
        self,
        stack: Stack,
        kafka: Kafka,
        product: naming.ProductName,
        inputs: Mapping[str, int],
        judge: Callable[[Iterable[Message]], Verdict],
        *,
        through: int | None = None,
    ) -> None:
        """`through`: of a flow of several stages, which is done when it has marked its product as far as its input."""
        self._stack = stack
        self._kafka = kafka
        self._product = product
        self._topic = naming.topic(product, 1)
        self._inputs = inputs
        self._judge = judge
        self._through = through
        self._events = sum(inputs.values())

    @property
    def again(self) -> dict[str, Any]:
        """What another of these is made with, for the same work."""
        same = {"stack": self._stack, "kafka": self._kafka, "product": self._product, "inputs": self._inputs}
        return {**same, "judge": self._judge, "through": self._through}

    def version(self) -> str:
        """Of the installed package."""
        return version("headwater")

    def settings(self) -> dict[str, Any]:
        """The defaults: there is nothing to tune."""
        fixed = {"runner": self.runner, "guarantee": "exactly once", "state store": "RocksDB, changelog on"}
        return {**fixed, "tick": "100ms", "product": str(self._product), "roads": self._roads}

    def install(self) -> None:
        """Nothing beside what `apply` made."""
        self._roads: list[dict[str, int]] = []
        self._counts = False  # the runner is asked once a round

    def prepare(self, round_: int) -> None:
        """Remove what an earlier round wrote, and let `apply` make it anew."""
        self.clean()
        self._stack.call("apply", "--yes")
        self._counts = round_ >= 0

    def command(self) -> Command:
        """The runner, for this product."""
        port = str(self._stack.metrics_port)
        return profiled(self._stack.headwater("run", str(self._product), "--metrics-port", port, *self.options), "run")

    def progress(self) -> int:
        """Offsets are committed in the transaction of the outputs."""
        groups = [group for group in self._kafka.groups() if group.startswith(f"{self._topic}.")]
        if self._through is None:
            done = min((self._done(group) for group in groups), default=0)
        else:  # later stages read no input
            done = max((self._done(group) for group in groups), default=0)
            done -= done == self._events and self._marked() < self._through
        if done == self._events and self._counts:
            self._counts = False
            self._roads.append(self._counted())
        return done

    def _done(self, group: str) -> int:
        return sum(self._kafka.committed(group, topic, PARTITIONS) for topic in self._inputs)

    def _marked(self) -> int:
        """Up to when every partition of the product is said to be complete."""
        marks = dict.fromkeys(range(PARTITIONS), 0)
        for message in self._kafka.read(naming.progress_topic(self._product, 1), PARTITIONS):
            marks[message.partition()], _ = decode_mark(message.value() or b"")
        return min(marks.values())

    def _counted(self) -> dict[str, int]:
        """What the runner says of a round: records by each road, and Kafka transactions."""
        told = metrics(self._stack)
        for _ in range(40):  # the broker knows of a commit before the runner counts it
            if told.get("headwater_stage_folded_records_total", 0) >= self._events:
                break
            time.sleep(0.05)
            told = metrics(self._stack)
        folded, columnar = told["headwater_stage_folded_records_total"], told["headwater_stage_columnar_records_total"]
        commits = told["headwater_stage_commit_seconds_count"]
        return {"as_columns": columnar, "row_by_row": folded - columnar, "kafka_transactions": commits}

    def verify(self) -> Verdict:
        """What the workload's judge says of the topic."""
        return self._judge(self._kafka.read(self._topic, PARTITIONS))

    def forget(self) -> None:
        """Lose the local state, as a lost machine would."""
        shutil.rmtree(self._stack.data_folder / "state", ignore_errors=True)

    def restored(self, log: Path) -> Restored | None:
        """By its metrics: partitions that are gained together are read together, and each says the same seconds."""
        try:
            told = metrics(self._stack)
        except OSError:  # not yet serving
            return None
        if told.get("headwater_stage_restore_seconds_count", 0) < PARTITIONS:
            return None
        seconds = exact_metric(self._stack, "headwater_stage_restore_seconds_sum") / PARTITIONS
        return Restored(told["headwater_stage_restored_entries_total"], seconds)

    def clean(self) -> None:
        """Topics, groups and local state of the derived product."""
        self.forget()
        topic = self._topic
        self._kafka.delete([name for name in self._kafka.topics() if name == topic or name.startswith(f"{topic}.")])
        for group in self._kafka.groups():
            if group.startswith(f"{topic}."):
                self._kafka.delete_group(group)


class HeadwaterRelay:
    """The native relay on W1: JSON rows checked, encoded as Avro, published exactly once."""

    name = "headwater"
    topic = INPUT_TOPIC

    def __init__(self, stack: Stack, kafka: Kafka) -> None:
        self._stack = stack
        self._kafka = kafka

    def version(self) -> str:
        """Of the installed package."""
        return version("headwater")

    def settings(self) -> dict[str, Any]:
        """The defaults: there is nothing to tune."""
        return {"relay": "native", "guarantee": "exactly once", "payload": "JSON to Avro", "roads": self._roads}

    def install(self) -> None:
        """Nothing beside what `apply` made: table, publication, slot, position, topics."""
        self._roads: list[dict[str, int]] = []
        self._counts = False  # the relay is asked once a round

    def expect(self, log: OutboxLog, oracle: RowsOracle) -> None:
        """What the next round will find in the outbox."""
        self._oracle = oracle
        self._arrivals = Arrivals(self._kafka, INPUT_TOPIC, log)

    def prepare(self, round_: int) -> None:
        """Nothing of the relay's, which goes on from its own position."""
        self._counts = True

    def command(self) -> Command:
        """The relay, for all sources of the mesh: there is one."""
        return profiled(self._stack.headwater("relay", "--metrics-port", str(self._stack.metrics_port)), "relay")

    def progress(self) -> int:
        """Rows in committed transactions."""
        done = self._arrivals.count()
        if done == self._arrivals.rows and self._counts:
            self._counts = False
            self._roads.append(self._counted())
        return done

    def _counted(self) -> dict[str, int]:
        """What the relay says of a round: rows by each road, and Kafka transactions."""
        told = metrics(self._stack)
        rows, columnar = told["headwater_relay_records_total"], told["headwater_relay_columnar_records_total"]
        batches = told["headwater_relay_commit_seconds_count"]
        return {"rows_as_columns": columnar, "rows_one_by_one": rows - columnar, "kafka_transactions": batches}

    def verify(self) -> Verdict:
        """Rows in = published, each once, whole, in order, and nothing in quarantine."""
        quarantined = sum(1 for _ in self._kafka.read(naming.quarantine_topic(ORDERS, 1), PARTITIONS))
        if quarantined:
            return Verdict(f"{quarantined} rows are in quarantine", 0)
        return self._oracle.judge(self._published())

    def clean(self) -> None:
        """Nothing: the topic goes with the stack; a round reads from where it began."""

    def _published(self) -> Iterator[Published]:
        for message in self._kafka.read(INPUT_TOPIC, PARTITIONS, self._arrivals.start):
            reader = AvroReader(message.value() or b"", FRAME_BYTES)
            reader.text()  # event_id
            customer, occurred_at, amount_cents = reader.text(), reader.long(), reader.long()
            items = []
            while count := reader.blocks():
                items += [(reader.text(), reader.long(), reader.long()) for _ in range(count)]
            yield Published(header(message, "id"), customer, occurred_at, amount_cents, tuple(items))


class HeadwaterPipeline:
    """Relay and runner on one core, as W10 has them: a committed row is seen in its customer's totals."""

    name = "headwater"
    topic = naming.topic(naming.ProductName("shop", "totals"), 1)

    def __init__(self, stack: Stack, kafka: Kafka) -> None:
        self._stack = stack
        self._kafka = kafka

    def version(self) -> str:
        """Of the installed package."""
        return version("headwater")

    def settings(self) -> dict[str, Any]:
        """The defaults."""
        return {"relay": "native", "runner": "kafka", "guarantee": "exactly once", "tick": "100ms"}

    def prepare(self, round_: int) -> None:
        """Nothing: each rate goes on where the last one ended."""

    def command(self) -> Command:
        """Both, in one session."""
        relay, run = self._stack.headwater("relay"), self._stack.headwater("run", "shop.totals")
        both = " & ".join(shlex.join(one.arguments) for one in (relay, run))
        return Command(["/bin/sh", "-c", f"{both} & wait"], relay.variables, relay.folder)

    def progress(self) -> int:
        """Not asked for: each row's arrival is seen by itself."""
        return 0


def metrics(stack: Stack) -> dict[str, int]:
    """The counts that the process under test serves, by their names; over labels they are summed."""
    return {name: int(value) for name, value in _served(stack).items()}


def exact_metric(stack: Stack, name: str) -> float:
    """One number, summed over its labels."""
    return _served(stack)[name]


def _served(stack: Stack) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.metrics_port}/metrics", timeout=5) as answer:
        lines = [line.rpartition(" ") for line in answer.read().decode().splitlines()]
    told: dict[str, float] = {}
    for name, _, value in lines:
        if not name.startswith("#"):
            told[name.partition("{")[0]] = told.get(name.partition("{")[0], 0) + float(value)
    return told


def profiled(command: Command, name: str) -> Command:
    """The same with its CPU time sampled where BENCH_PROFILE names a folder."""
    folder = os.environ.get(PROFILE_VARIABLE)
    if not folder:
        return command
    interpreter, _, module, *arguments = command.arguments
    profiler = [str(ROOT / "bench" / "profiling.py"), f"{folder}/{name}.txt", module, *arguments]
    return Command([interpreter, *profiler], command.variables, command.folder)
