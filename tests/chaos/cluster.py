"""A Kafka of three nodes, each broker and controller: every topic lies on all three, two must have what is committed.

PostgreSQL and the registry are those of the stack that is given; only the mesh's own Kafka is the cluster.
"""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from headwater.local import kafka
from headwater.local.java import Java, find_java, jars
from headwater.local.stack import HOST, LocalStack
from headwater.settings import LocalPorts

NODES = (1, 2, 3)
_NOWHERE = LocalPorts(0)  # of a stack that is only asked for what all brokers have in common
WHOLE_SECONDS = 90.0
_LOGGING = """rootLogger.level=WARN
rootLogger.appenderRef.file.ref=file
appender.file.type=File
appender.file.name=file
appender.file.fileName={file}
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=[%d] %p %m (%c)%n
"""
_REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    "unclean.leader.election.enable": "false",
}


@dataclass(frozen=True)
class ClusterStack(LocalStack):
    """A stack whose Kafka is a cluster."""

    bootstrap: str = ""

    @property
    def kafka_address(self) -> str:
        return self.bootstrap


@dataclass
class Cluster:
    """Three nodes as processes of ours."""

    folder: Path
    java: Java
    class_path: list[Path]
    ports: dict[int, tuple[int, int]]
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{HOST}:{self.ports[node][0]}" for node in NODES)

    def start(self, node: int) -> None:
        """Start a node; does not wait for it."""
        with (self.folder / f"{node}.out").open("ab") as output:
            argv = [*self._java(node), "kafka.Kafka", str(self._file(node))]
            self.running[node] = subprocess.Popen(argv, stdout=output, stderr=output, cwd=self.folder)

    def kill(self, node: int) -> None:
        """SIGKILL."""
        self.running[node].kill()
        self.running[node].wait()

    def whole(self, seconds: float = WHOLE_SECONDS) -> bool:
        """Wait until all three are there, and every partition is in sync on all of them."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._whole():
                return True
            time.sleep(0.2)
        return False

    def leader(self, topic: str, partition: int = 0) -> int:
        """The node that leads a partition now; 0 where none does."""
        found = self._admin().list_topics(topic, timeout=30).topics[topic].partitions[partition].leader
        return found if found in NODES else 0

    def prepare(self) -> None:
        """Configuration files, and log folders formatted for one cluster."""
        cluster = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
        for node in NODES:
            (self.folder / str(node)).mkdir()
            self._file(node).write_text(self._properties(node))
            log = _LOGGING.format(file=self.folder / f"{node}.log")
            (self.folder / str(node) / "log4j2.properties").write_text(log)
            tool = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._file(node))]
            subprocess.run([*self._java(node), *tool], check=True, capture_output=True, timeout=120)

    def _whole(self) -> bool:
        try:
            metadata = self._admin().list_topics(timeout=2)
        except KafkaException:
            return False
        places = [place for topic in metadata.topics.values() for place in topic.partitions.values()]
        return len(metadata.brokers) == len(NODES) and all(len(place.isrs) == len(NODES) for place in places)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def _file(self, node: int) -> Path:
        return self.folder / str(node) / "server.properties"

    def _java(self, node: int) -> list[str]:
        found = kafka.arguments(self.java, self.class_path, LocalStack(self.folder / str(node), _NOWHERE))
        log = f"-Dlog4j2.configurationFile={self.folder / str(node) / 'log4j2.properties'}"
        return [log if part.startswith("-Dlog4j2") else part for part in found]

    def _properties(self, node: int) -> str:
        """The local stack's, but for where it listens, who votes, and how often everything is there."""
        client, controller = self.ports[node]
        own = {
            "node.id": str(node),
            "controller.quorum.voters": ",".join(f"{one}@{HOST}:{self.ports[one][1]}" for one in NODES),
            "listeners": f"PLAINTEXT://{HOST}:{client},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{client}",
            "log.dirs": str(self.folder / str(node) / "log"),
            **_REPLICATED,
        }
        lines = kafka.properties(LocalStack(self.folder, _NOWHERE)).splitlines()
        settings = dict(line.split("=", 1) for line in lines)
        return "".join(f"{name}={value}\n" for name, value in {**settings, **own}.items())


@contextmanager
def three_nodes(stack: LocalStack) -> Iterator[tuple[Cluster, ClusterStack]]:
    """The cluster, and the stack with it in place of its own Kafka; all of it is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="headwater-chaos-cluster-"))
    cluster = Cluster(folder, find_java(), jars("kafka"), _free_ports())
    try:
        cluster.prepare()
        for node in NODES:
            cluster.start(node)
        assert cluster.whole(), "the cluster does not come up"
        yield cluster, ClusterStack(stack.data_folder, stack.ports, stack.databases, cluster.bootstrap)
    finally:
        for process in cluster.running.values():
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports() -> dict[int, tuple[int, int]]:
    """Ports that nobody has now; all are held until all are found, or two would be one."""
    with ExitStack() as held:
        found = [held.enter_context(socket.create_server((HOST, 0))).getsockname()[1] for _ in range(2 * len(NODES))]
    return {node: (found[2 * place], found[2 * place + 1]) for place, node in enumerate(NODES)}
