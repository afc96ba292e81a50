"""Quix Streams and Faust on W2a, each in an environment of its own, with the same Avro in and out as Kafka Streams.

Quix is exactly once, with RocksDB and a changelog, and commits every 10,000 records in place of every 5 s. Faust keeps
its table in memory with a changelog, and is at least once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Message

from bench.filling import PARTITIONS
from bench.kafka import Kafka
from bench.machine import Command
from bench.oracle import Verdict
from bench.stack import MESH, ROOT, Stack
from bench.systems.environment import python_with

PROGRAMS = ROOT / "bench" / "rivals" / "python"
ORDER_SCHEMA = MESH / "schemas" / "avro" / "shop" / "orders" / "Order.avsc"
VERSIONS = {"quix": ("quixstreams", "3.28.1"), "faust": ("faust-streaming", "0.15.3")}
ALSO = {"quix": ("fastavro==1.13.1",), "faust": ("fastavro==1.13.1", "cramjam==2.14.0")}  # that reads lz4


class PythonRival:
    """One of them; what differs is how it is told what to do."""

    def __init__(
        self,
        name: str,
        stack: Stack,
        kafka: Kafka,
        inputs: Mapping[str, int],
        judge: Callable[[Iterable[Message]], Verdict],
    ) -> None:
        self.name = name
        self._stack = stack
        self._kafka = kafka
        self._judge = judge
        (self._input,) = inputs
        self._round = 0

    def version(self) -> str:
        """As pinned."""
        return VERSIONS[self.name][1]

    def settings(self) -> dict[str, Any]:
        """What its application is made with."""
        hidden = ("consumer_group", "broker_address", "state_dir", "broker", "id", "datadir")
        shown = {key: value for key, value in self._application().items() if key not in hidden}
        store = "RocksDB, changelog on" if self.name == "quix" else "memory, changelog on"
        return {**shown, "guarantee": "exactly once" if self.name == "quix" else "at least once", "state store": store}

    def install(self) -> None:
        """An environment with its pinned release, kept between runs of the bench."""
        requirements = ["==".join(VERSIONS[self.name]), *ALSO[self.name]]
        self._python = python_with(self._stack.work_folder / "venvs" / self.name, requirements)

    def prepare(self, round_: int) -> None:
        """The output topic and the settings; its changelog it makes itself."""
        self._round = round_
        self._kafka.create(self._output, PARTITIONS, {"retention.ms": "-1"})
        settings = {
            "application": self._application(),
            "input": self._input,
            "output": self._output,
            "partitions": PARTITIONS,
            "order_schema": json.loads(ORDER_SCHEMA.read_text()),
        }
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(settings))

    def command(self) -> Command:
        """Its program, in its environment; the platform's own modules are not on its path."""
        program = str(PROGRAMS / f"{self.name}_totals.py")
        variables = {"PYTHONPATH": "", "BENCH_SETTINGS": str(self._file)}
        last = [str(self._file)] if self.name == "quix" else ["worker", "--without-web", "-l", "warn"]
        return Command([str(self._python), program, *last], variables, ROOT)

    def progress(self) -> int:
        """By committed offsets; Quix commits them with its outputs, Faust after them."""
        return self._kafka.committed(self._group, self._input, PARTITIONS)

    def verify(self) -> Verdict:
        """What the workload's judge says of it."""
        return self._judge(self._kafka.read(self._output, PARTITIONS))

    def clean(self) -> None:
        """Topics and state of this round; its group is never used again."""
        mine = [topic for topic in self._kafka.topics() if self._group in topic]
        self._kafka.delete([self._output, *mine])
        shutil.rmtree(self._state, ignore_errors=True)

    @property
    def _group(self) -> str:
        return f"bench-{self.name}-{self._round}"

    @property
    def _output(self) -> str:
        return f"{self._group}-output"

    @property
    def _state(self) -> Path:
        return self._stack.work_folder / f"{self.name}-state"

    @property
    def _file(self) -> Path:
        return self._stack.work_folder / f"{self.name}.json"

    def _application(self) -> dict[str, Any]:
        if self.name == "quix":
            return {
                "broker_address": self._stack.bootstrap,
                "consumer_group": self._group,
                "auto_offset_reset": "earliest",
                "processing_guarantee": "exactly-once",
                "commit_every": 10_000,
                "state_dir": str(self._state),
                "producer_extra_config": {"compression.type": "lz4", "linger.ms": 100},
            }
        return {
            "id": self._group,
            "broker": f"kafka://{self._stack.bootstrap}",
            "datadir": str(self._state),
            "store": "memory://",
            "topic_partitions": PARTITIONS,
            "topic_disable_leader": True,
            "consumer_auto_offset_reset": "earliest",
            "producer_linger": 0.1,
            "producer_max_batch_size": 262_144,
            "stream_wait_empty": False,
        }
