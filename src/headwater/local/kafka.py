"""Kafka on one machine: one KRaft node that is broker and controller, formatted once, started as a plain process."""

from __future__ import annotations

import base64
import secrets
import subprocess
from pathlib import Path

from headwater.errors import Fault
from headwater.local import processes
from headwater.local.java import Java
from headwater.local.java_log import FILE_APPENDER
from headwater.local.processes import Process
from headwater.local.stack import HOST, LocalStack
from headwater.timeline.clock import Clock, SystemClock

NAME = "kafka"
WARM_UP = "headwater-warm-up"  # group and transactional id that only `up` uses
_HEAP = ("-Xms64m", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # 181 MB resident, and the fastest start
_UNSAFE_FLAG_SINCE = 23  # Java 17 refuses the flag that ends the warnings of later ones
STOP_SECONDS = 20.0

# One property a line. A killed broker is let back in when its session has ended, Kafka's default of 9 s. A shorter
# session comes back sooner, and is put out of its own cluster by whatever else keeps two cores busy for as long.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={log}
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
log.retention.ms=-1
log.segment.bytes=67108864
transaction.max.timeout.ms=900000
broker.session.timeout.ms=9000
broker.heartbeat.interval.ms=500
"""

_LOGGING = (
    """\
rootLogger.level=INFO
rootLogger.appenderRef.file.ref=file
"""
    + FILE_APPENDER
)


def properties(stack: LocalStack) -> str:
    """The broker's configuration file."""
    return _PROPERTIES.format(
        host=HOST, port=stack.ports.kafka, controller=stack.ports.kafka_controller, log=stack.kafka_folder / "log"
    )


def arguments(java: Java, jars: list[Path], stack: LocalStack) -> list[str]:
    """The command line of the broker, without its main class and what follows."""
    quiet = ["--sun-misc-unsafe-memory-access=allow"] if java.version >= _UNSAFE_FLAG_SINCE else []
    return [
        str(java.executable),
        *_HEAP,
        *quiet,
        "--enable-native-access=ALL-UNNAMED",
        f"-Dlog4j2.configurationFile={stack.kafka_folder / 'log4j2.properties'}",
        "-cp",
        ":".join(map(str, jars)),
    ]


def formatted(stack: LocalStack) -> bool:
    """Whether the log folder has been made."""
    return (stack.kafka_folder / "log" / "meta.properties").is_file()


def prepare(stack: LocalStack, java: Java, jars: list[Path]) -> None:
    """Write the configuration, and format the log folder the first time."""
    folder = stack.kafka_folder
    folder.mkdir(parents=True, exist_ok=True)
    stack.logs_folder.mkdir(parents=True, exist_ok=True)
    (folder / "server.properties").write_text(properties(stack))
    (folder / "log4j2.properties").write_text(_LOGGING.format(file=broker_log(stack)))
    if not formatted(stack):
        _format(stack, java, jars)


def start(stack: LocalStack, java: Java, jars: list[Path]) -> Process:
    """Start the broker on its prepared folder; does not wait for it."""
    argv = [*arguments(java, jars, stack), "kafka.Kafka", str(stack.kafka_folder / "server.properties")]
    return processes.start_process(stack.data_folder, NAME, argv)


def stop(stack: LocalStack) -> bool:
    """Stop the broker; False where it did not run."""
    return processes.stop_process(stack.data_folder, NAME, asks=((processes.TERMINATE, STOP_SECONDS),))


def broker_log(stack: LocalStack) -> Path:
    """The broker's own log; what the Java runtime prints goes to `logs/kafka.log`."""
    return stack.logs_folder / "kafka-broker.log"


def answers(stack: LocalStack, *, seconds: float = 0.5) -> bool:
    """Whether the broker answers with metadata that names a broker; an open port alone comes too early."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({**_client(stack), "reconnect.backoff.max.ms": 100})
    try:
        return len(admin.list_topics(timeout=seconds).brokers) > 0
    except KafkaException:
        return False


def touch_internal_topics(stack: LocalStack, *, seconds: float = 30.0, clock: Clock | None = None) -> None:
    """Make Kafka create and load its topics of offsets and transactions, so that the first real use is not slow."""
    from confluent_kafka import KafkaException

    clock = clock or SystemClock()
    until = clock.monotonic() + int(seconds * 1_000_000)
    while True:
        try:
            return _touch(stack)
        except KafkaException as error:
            # While a coordinator is being elected every answer is an error that a second try mends.
            if clock.monotonic() >= until:
                raise Fault(
                    "Kafka answers, but its coordinators do not come up",
                    code="HW-L031",
                    detail=f"{error.args[0].str()}; its log is {broker_log(stack)}",
                    hint="headwater down, then headwater up",
                ) from None
        clock.sleep(100_000)


def _touch(stack: LocalStack) -> None:
    from confluent_kafka import Consumer, Producer, TopicPartition

    Producer({**_client(stack), "transactional.id": WARM_UP}).init_transactions(10)
    consumer = Consumer({**_client(stack), "group.id": WARM_UP, "enable.auto.commit": False})
    try:
        consumer.committed([TopicPartition(WARM_UP, 0)], timeout=10)
    finally:
        consumer.close()


def _client(stack: LocalStack) -> dict[str, str | int]:
    # Silent: connections refused are what waiting for a start looks like.
    return {"bootstrap.servers": stack.kafka_address, "log_level": 0, "socket.timeout.ms": 10_000}


def _format(stack: LocalStack, java: Java, jars: list[Path]) -> None:
    cluster = _cluster_id(secrets.token_bytes(16))
    tool = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(stack.kafka_folder / "server.properties")]
    done = subprocess.run(
        [*arguments(java, jars, stack), *tool], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise Fault(
            "Kafka's log folder cannot be formatted",
            code="HW-L030",
            detail=(done.stderr or done.stdout).strip()[-2000:],
            hint=f"make room on the disk, or remove {stack.kafka_folder} and run headwater up again",
        )


def _cluster_id(chance: bytes) -> str:
    """Kafka's form of an id, made of 16 bytes; never with a dash in front, which its tool takes for an option."""
    text = base64.urlsafe_b64encode(chance).decode().rstrip("=")
    return "A" + text[1:] if text.startswith("-") else text
