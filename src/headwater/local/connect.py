"""Kafka Connect with Debezium's PostgreSQL connector on one machine: one distributed worker, on loopback.

An extra part: `up --connect` starts it beside the rest. Debezium is a plug-in of its own, a folder of links to jars.
The database's password reaches a connector by Connect's config provider, from a folder that only its owner reads.
"""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from pathlib import Path

from headwater.local import processes
from headwater.local.java import Java
from headwater.local.java_log import FILE_APPENDER
from headwater.local.processes import Process
from headwater.local.stack import HOST, LocalStack

NAME = "connect"
GROUP = "headwater-connect"
PASSWORD_NAME = "postgres.password"  # in the folder of secrets
_HEAP = ("-Xms64m", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # 203 MB resident while streaming
_UNSAFE_FLAG_SINCE = 23  # Java 17 refuses the flag that ends the warnings of later ones
_MAIN = "org.apache.kafka.connect.cli.ConnectDistributed"
STOP_SECONDS = 15.0

# A session timeout that lets a killed worker's successor start its tasks in seconds; connectors choose own converters.
WORKER = {
    "group.id": GROUP,
    "config.storage.topic": "connect.configs",
    "offset.storage.topic": "connect.offsets",
    "status.storage.topic": "connect.status",
    "config.storage.replication.factor": "1",
    "offset.storage.replication.factor": "1",
    "status.storage.replication.factor": "1",
    "offset.storage.partitions": "1",
    "status.storage.partitions": "1",
    "key.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "exactly.once.source.support": "enabled",
    "topic.creation.enable": "false",
    "connector.client.config.override.policy": "All",
    "config.providers": "file,env,directory",
    "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
    "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
    "config.providers.directory.class": "org.apache.kafka.common.config.provider.DirectoryConfigProvider",
    "plugin.discovery": "service_load",
    "scheduled.rebalance.max.delay.ms": "0",
    "session.timeout.ms": "6000",
    "heartbeat.interval.ms": "1500",
}

_LOGGING = (
    """\
rootLogger.level=WARN
rootLogger.appenderRef.file.ref=file
logger.connect.name=org.apache.kafka.connect.runtime
logger.connect.level=INFO
logger.debezium.name=io.debezium
logger.debezium.level=INFO
"""
    + FILE_APPENDER
)


def properties(stack: LocalStack) -> str:
    """The worker's configuration file."""
    own = {
        "bootstrap.servers": stack.kafka_address,
        "listeners": f"http://{HOST}:{stack.ports.connect}",
        "plugin.path": str(_plugins(stack)),
        # A connector may read what lies in this folder, and nothing else of this machine.
        "config.providers.directory.param.allowed.paths": str(secrets_folder(stack)),
        "config.providers.file.param.allowed.paths": str(secrets_folder(stack)),
    }
    return "".join(f"{name}={value}\n" for name, value in {**own, **WORKER}.items())


def secrets_folder(stack: LocalStack) -> Path:
    """Where the worker finds secrets: `${directory:<folder>:postgres.password}` in a connector's configuration."""
    return stack.data_folder / "connect" / "secrets"


def prepare(stack: LocalStack, connector: list[Path]) -> None:
    """Write the configuration, the folder of the plug-in and the database's password."""
    folder = stack.data_folder / "connect"
    secrets = secrets_folder(stack)
    secrets.mkdir(parents=True, exist_ok=True)
    secrets.chmod(0o700)
    password = secrets / PASSWORD_NAME
    password.touch(mode=0o600)
    password.write_text(stack.password_file.read_text().strip())  # the provider takes a line's end for a part of it
    (folder / "worker.properties").write_text(properties(stack))
    (folder / "log4j2.properties").write_text(_LOGGING.format(file=worker_log(stack)))
    plugin = _plugins(stack) / "debezium-postgres"
    shutil.rmtree(plugin, ignore_errors=True)
    plugin.mkdir(parents=True)
    for jar in connector:
        (plugin / jar.name).symlink_to(jar)


def start(stack: LocalStack, java: Java, class_path: list[Path]) -> Process:
    """Start the worker on its prepared folder; does not wait for it."""
    quiet = ["--sun-misc-unsafe-memory-access=allow"] if java.version >= _UNSAFE_FLAG_SINCE else []
    folder = stack.data_folder / "connect"
    logging = f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"
    flags = [*_HEAP, *quiet, "--enable-native-access=ALL-UNNAMED", logging, "-cp", ":".join(map(str, class_path))]
    argv = [str(java.executable), *flags, _MAIN, str(folder / "worker.properties")]
    return processes.start_process(stack.data_folder, NAME, argv)


def stop(stack: LocalStack) -> bool:
    """Stop the worker; False where it did not run."""
    return processes.stop_process(stack.data_folder, NAME, asks=((processes.TERMINATE, STOP_SECONDS),))


def worker_log(stack: LocalStack) -> Path:
    """The worker's own log; what the Java runtime prints goes to `logs/connect.log`."""
    return stack.logs_folder / "connect-worker.log"


def answers(stack: LocalStack) -> bool:
    """Whether the worker has joined its group and takes requests; its port is open long before."""
    try:
        with urllib.request.urlopen(f"{stack.connect_url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _plugins(stack: LocalStack) -> Path:
    return stack.data_folder / "connect" / "plugins"
