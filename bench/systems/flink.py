"""Flink SQL: exactly once, a checkpoint a second, state in RocksDB, one process that holds cluster and job.

Its jars come from the wheel `apache-flink-libraries` in an environment of its own, and from the committed lock; what
this Java wants of them and of flags is the flink runner's own (`headwater.local.flink`).
Tuned as its documentation says: object reuse, mini-batches where a query aggregates, lz4 and large batches.
`flink-heap` keeps state on the JVM's heap, Flink's default, and writes all of it at each checkpoint.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Message

from bench.filling import PARTITIONS
from bench.flink_queries import Sql
from bench.kafka import Kafka
from bench.machine import Command
from bench.oracle import Verdict
from bench.stack import ROOT, Stack
from bench.systems.environment import python_with
from bench.systems.java import compiled, joined, locked_version, write_properties
from headwater.local.flink import java_flags, without_clusters
from headwater.local.java import find_java, jars

SOURCES = ROOT / "bench" / "rivals" / "flink"
RELEASE = "2.3.0"
HEAP_MB = 1_024
JVM_FLAGS = ["-Xms1g", "-Xmx1g", "-XX:+UseSerialGC"]  # one core: a serial collector steals nothing from it
CHECKPOINT_MS = 1_000
LOGGING = """rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %p %c{1} %m%n%throwable{30}
logger.metrics.name = org.apache.flink.metrics.MetricGroup
logger.metrics.level = OFF
"""


@dataclass(frozen=True, slots=True)
class Job:
    """A query over topics, which it names `in0`, `in1` ...: records by topic, and who judges its output.

    `name` tells its group and its output from those of another query on the same stack.
    """

    name: str
    inputs: Mapping[str, int]
    sql: Sql
    judge: Callable[[Iterable[Message]], Verdict]


class Flink:
    """The peer of W5 beside Kafka Streams."""

    def __init__(self, stack: Stack, kafka: Kafka, job: Job, *, name: str = "flink") -> None:
        self.name = name
        self._stack = stack
        self._kafka = kafka
        self._job = job
        self._round = 0

    def version(self) -> str:
        """Of the engine and its connector."""
        return f"{RELEASE}, connector {locked_version('flink', 'flink-sql-connector-kafka')}"

    def settings(self) -> dict[str, Any]:
        """The engine's settings, beside the JVM's and the query."""
        paths = (".directory", ".dir", ".dirs")
        shown = {name: value for name, value in self._engine().items() if not name.endswith(paths)}
        java = find_java()
        return {**shown, "jvm": " ".join(JVM_FLAGS), "java": java.version, "sql": self._job.sql.query, **self._sink()}

    def install(self) -> None:
        """Fetch, compile, and leave out what Flink has for clusters: its classes are not there."""
        folder = self._stack.work_folder / "venvs" / "flink"
        python_with(folder, [f"apache-flink-libraries=={RELEASE}"])
        (library,) = folder.glob("lib/python*/site-packages/pyflink/lib")
        dist = self._stack.work_folder / "flink-dist.jar"
        (shipped,) = library.glob("flink-dist-*.jar")
        without_clusters(shipped, dist)
        others = [jar for jar in sorted(library.glob("*.jar")) if jar != shipped]
        self._class_path = [dist, *others, *jars("flink")]
        self._classes = compiled(self._stack.work_folder / "flink-classes", self._class_path, SOURCES)

    def prepare(self, round_: int) -> None:
        """The output topic, the settings and the statements."""
        self._round = round_
        self._kafka.create(self._output, PARTITIONS, {"retention.ms": "-1"})
        write_properties(self._file("properties"), self._engine())
        self._file("log4j.properties").write_text(LOGGING)
        self._file("sql").write_text(";\n".join(self._statements()))

    def command(self) -> Command:
        """The JVM."""
        java = find_java()
        flags = ["-Xms1g", *java_flags(java.version, heap_mb=HEAP_MB)]
        class_path = joined([self._classes, *self._class_path])
        flags.append(f"-Dlog4j.configurationFile={self._file('log4j.properties')}")
        files = [str(self._file("properties")), str(self._file("sql"))]
        return Command([str(java.executable), *flags, "-cp", class_path, "SqlJob", *files], {}, ROOT)

    def progress(self) -> int:
        """Offsets are committed when a checkpoint is complete; outputs at the same time, perhaps a little later."""
        done = sum(self._kafka.committed(self._application, topic, PARTITIONS) for topic in self._job.inputs)
        if done < sum(self._job.inputs.values()):
            return done
        stable = self._kafka.ends(self._output, PARTITIONS, committed=True)
        return done - (stable != self._kafka.ends(self._output, PARTITIONS))

    def verify(self) -> Verdict:
        """What the workload's judge says of it."""
        return self._job.judge(self._kafka.read(self._output, PARTITIONS))

    def clean(self) -> None:
        """The output and the state of this round; its group is never used again."""
        self._kafka.delete([self._output])
        shutil.rmtree(self._state, ignore_errors=True)

    @property
    def _application(self) -> str:
        return f"bench-{self.name}-{self._job.name}-{self._round}"

    @property
    def _output(self) -> str:
        return f"{self._application}-output"

    @property
    def _state(self) -> Path:
        return self._stack.work_folder / "flink-state"

    def _file(self, kind: str) -> Path:
        return self._stack.work_folder / f"flink.{kind}"

    def _engine(self) -> dict[str, object]:
        batches: dict[str, object] = {
            "table.exec.mini-batch.enabled": "true",
            "table.exec.mini-batch.allow-latency": f"{CHECKPOINT_MS}ms",
            "table.exec.mini-batch.size": 5_000,
        }
        heap = self.name == "flink-heap"
        return {
            "execution.target": "local",
            "parallelism.default": 1,
            "taskmanager.numberOfTaskSlots": 1,
            "taskmanager.memory.managed.size": "256m",
            "state.backend.type": "hashmap" if heap else "rocksdb",
            "execution.checkpointing.mode": "EXACTLY_ONCE",
            "execution.checkpointing.interval": f"{CHECKPOINT_MS}ms",
            "execution.checkpointing.incremental": "false" if heap else "true",
            "execution.checkpointing.dir": f"file://{self._state}/checkpoints",
            "io.tmp.dirs": str(self._state),
            "pipeline.object-reuse": "true",
            "rest.port": 0,
            **(batches if self._job.sql.key else {}),
        }

    def _sink(self) -> dict[str, object]:
        return {
            "properties.compression.type": "lz4",
            "properties.linger.ms": 100,
            "properties.batch.size": 262_144,
            "properties.buffer.memory": 67_108_864,
            "properties.transaction.timeout.ms": 600_000,  # aborted after it, Flink loses what was in it
            "sink.delivery-guarantee": "exactly-once",
        }

    def _statements(self) -> list[str]:
        common = {"properties.bootstrap.servers": self._stack.bootstrap}
        avro = {"value.format": "avro-confluent", "value.avro-confluent.url": self._stack.registry_url}
        made = []
        for number, (topic, columns) in enumerate(zip(self._job.inputs, self._job.sql.columns, strict=True)):
            source = {"connector": "kafka", "topic": topic, "scan.startup.mode": "earliest-offset"}
            group = {"properties.group.id": self._application, "properties.max.poll.records": 10_000}
            made.append(_table(f"in{number}", columns, {**common, **avro, **source, **group}))
        keyed = f", PRIMARY KEY ({', '.join(self._job.sql.key)}) NOT ENFORCED" if self._job.sql.key else ""
        sink = {
            "connector": "upsert-kafka" if self._job.sql.key else "kafka",
            "topic": self._output,
            "key.format": "json",
            "value.avro-confluent.subject": f"{self._output}-value",
            "sink.transactional-id-prefix": self._application,
            **({} if self._job.sql.key else {"key.fields": self._job.sql.partition_by}),
        }
        made.append(_table("out", self._job.sql.output + keyed, {**common, **avro, **sink, **self._sink()}))
        return [*made, f"INSERT INTO `out` {self._job.sql.query}"]


def _table(name: str, columns: str, options: Mapping[str, object]) -> str:
    listed = ",\n  ".join(f"'{option}' = '{value}'" for option, value in options.items())
    return f"CREATE TABLE `{name}` ({columns}) WITH (\n  {listed}\n)"
