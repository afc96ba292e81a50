"""Kafka Streams: exactly once, RocksDB, changelog, one thread; cache off (one output per input) or on (W2b).

Tuned as its documentation says: larger fetches, polls and batches, lz4, and for W2b a commit interval near what the
recorded rate asks for, so that it writes about as few outputs as there are customers and ticks. Its output lacks what
Headwater adds (interval, kind, revision): less work, not more.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Message

from bench.filling import PARTITIONS
from bench.kafka import Kafka
from bench.machine import Command
from bench.oracle import Verdict
from bench.restoring import Restored
from bench.stack import ROOT, Stack
from bench.systems.java import compiled, joined, locked_version, quiet_flags, write_properties
from headwater.local.java import find_java, jars

JVM_FLAGS = ["-Xms512m", "-Xmx512m", "-XX:+UseSerialGC"]  # one core: a serial collector steals nothing from it


@dataclass(frozen=True, slots=True)
class Topology:
    """One of the programs in bench/rivals/java: its class, records by input topic, and who judges its output.

    Of `properties` those that begin with `bench.` are the program's, others settings of Kafka Streams.
    """

    main: str
    inputs: Mapping[str, int]
    judge: Callable[[Iterable[Message]], Verdict]
    properties: Mapping[str, object] = field(default_factory=dict)
    cached: bool = False


class KafkaStreams:
    """The peer of W2, W3 and W4."""

    def __init__(self, stack: Stack, kafka: Kafka, topology: Topology, *, tuned: bool = True, name: str = "") -> None:
        self.name = name or ("kafka-streams" if tuned else "kafka-streams-defaults")
        self._tuned = tuned
        self._stack = stack
        self._kafka = kafka
        self._topology = topology
        self._cached = topology.cached
        self._round = 0

    @property
    def output(self) -> str:
        """The topic that it writes in this round."""
        return f"{self._application}-output"

    def version(self) -> str:
        """Of the locked jars."""
        return locked_version("streams", "kafka-streams")

    def settings(self) -> dict[str, Any]:
        """The engine's settings, beside the JVM's."""
        shown = {key: value for key, value in self._engine().items() if not key.startswith("bench.")}
        shown |= self._topology.properties
        for name in ("application.id", "bootstrap.servers", "state.dir"):
            del shown[name]
        java = find_java()
        return {**shown, "jvm": " ".join(JVM_FLAGS), "java": java.version, "state store": "RocksDB, changelog on"}

    def install(self) -> None:
        """Fetch and compile."""
        self._class_path = jars("streams")
        self._classes = compiled(self._stack.work_folder / "classes", self._class_path)

    def prepare(self, round_: int) -> None:
        """The output topic; its internal topics it makes itself."""
        self._round = round_
        self._kafka.create(self.output, PARTITIONS, {"retention.ms": "-1"})
        write_properties(self._file, self._engine())

    def command(self) -> Command:
        """The JVM."""
        java = find_java()
        flags = [*JVM_FLAGS, *quiet_flags(java.version)]
        class_path = joined([self._classes, *self._class_path])
        return Command(
            [str(java.executable), *flags, "-cp", class_path, self._topology.main, str(self._file)], {}, ROOT
        )

    def progress(self) -> int:
        """Offsets are committed in the transaction of the outputs."""
        inputs = self._topology.inputs
        return sum(self._kafka.committed(self._application, topic, PARTITIONS) for topic in inputs)

    def verify(self) -> Verdict:
        """What the workload's judge says of it."""
        return self._topology.judge(self._kafka.read(self.output, PARTITIONS))

    def forget(self) -> None:
        """Lose the local state, as a lost machine would."""
        shutil.rmtree(self._stack.work_folder / "kafka-streams", ignore_errors=True)

    def restored(self, log: Path) -> Restored | None:
        """By what its restore listener said, from the first store's start to the last one's end."""
        said = [line.split()[1:] for line in log.read_text().splitlines() if line.startswith("restore ")]
        begun = [int(line[2]) for line in said if line[0] == "start"]
        ended = [line for line in said if line[0] == "end"]
        if len(ended) < PARTITIONS:
            return None
        seconds = (max(int(line[2]) for line in ended) - min(begun)) / 1_000
        return Restored(sum(int(line[3]) for line in ended), seconds)

    def clean(self) -> None:
        """Topics and state of this round; its group is left alone, and never used again."""
        mine = [topic for topic in self._kafka.topics() if topic.startswith(self._application)]
        self._kafka.delete([self.output, *mine])
        self.forget()

    @property
    def _application(self) -> str:
        # A stopped member keeps its group until its session ends, so that no two rounds may share one.
        mode = "cached" if self._cached else "uncached"
        return f"bench-{self.name}-{self._topology.main.lower()}-{mode}-{self._round}"

    @property
    def _file(self) -> Any:
        return self._stack.work_folder / "kafka-streams.properties"

    def _engine(self) -> dict[str, object]:
        return {
            "bench.input": next(iter(self._topology.inputs)),
            **{key: value for key, value in self._topology.properties.items() if key.startswith("bench.")},
            "bench.output": self.output,
            "application.id": self._application,
            "bootstrap.servers": self._stack.bootstrap,
            "state.dir": self._stack.work_folder / "kafka-streams",
            "processing.guarantee": "exactly_once_v2",
            "num.stream.threads": 1,
            "replication.factor": 1,
            "auto.offset.reset": "earliest",
            "producer.compression.type": "lz4",
            **({} if self._cached else {"statestore.cache.max.bytes": 0}),
            **(self._tuning() if self._tuned else {}),
            **{key: value for key, value in self._topology.properties.items() if not key.startswith("bench.")},
        }

    def _tuning(self) -> dict[str, object]:
        return {
            **({"statestore.cache.max.bytes": 64_000_000} if self._cached else {}),
            "commit.interval.ms": 1_000 if self._cached else 200,
            "consumer.max.poll.records": 10_000,
            "consumer.fetch.max.bytes": 52_428_800,
            "consumer.max.partition.fetch.bytes": 8_388_608,
            "producer.linger.ms": 100,
            "producer.batch.size": 262_144,
            "producer.buffer.memory": 67_108_864,
        }
