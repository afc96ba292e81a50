"""Debezium's outbox router on Kafka Connect, on W1: the same outbox rows, exactly once, at its best settings.

The payload's JSON is passed through as text, which is the least work that it can do; Headwater reads, checks and
encodes it as Avro. Larger batches and queues than the defaults, lz4, no snapshot, a slot and a publication of its own.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psycopg

from bench.filling import ORDERS, PARTITIONS
from bench.kafka import Kafka, header
from bench.machine import Command
from bench.oracle import Published, RowsOracle, Verdict
from bench.outbox import TABLE, Arrivals
from bench.outbox_rows import OutboxLog
from bench.stack import ROOT, Stack
from bench.systems.java import joined, locked_version, quiet_flags, write_properties
from headwater.local.java import find_java, jars

TOPIC = f"bench.debezium.{ORDERS}"
HEARTBEAT_TOPIC = "__debezium-heartbeat.bench"
CONNECTOR = "bench-outbox"
SLOT = "bench_debezium"
JVM_FLAGS = ["-Xms512m", "-Xmx1g", "-XX:+UseSerialGC"]  # one core: a serial collector steals nothing from it


class Debezium:
    """The peer of W1. Its worker keeps its connector in Kafka: each round starts what the first one set up."""

    name = "debezium"
    topic = TOPIC

    def __init__(self, stack: Stack, kafka: Kafka, *, quick: bool = False) -> None:
        """`quick`: nothing is waited for so that batches grow, for W10."""
        self._stack = stack
        self._kafka = kafka
        self._quick = quick
        self._configured = False

    def version(self) -> str:
        """Of the connector."""
        return locked_version("debezium", "debezium-connector-postgres")

    def settings(self) -> dict[str, Any]:
        """Guarantee, sizes and the JVM's flags."""
        chosen = {key: value for key, value in self._connector().items() if not key.startswith("database.")}
        connect = locked_version("connect", "connect-runtime")
        return {**chosen, "connect": connect, "jvm": " ".join(JVM_FLAGS), "java": find_java().version}

    def install(self) -> None:
        """Jars, topics, and the slot: rows committed before it exists would never be seen."""
        plugin = self._stack.work_folder / "plugins" / "debezium-postgres"
        shutil.rmtree(plugin, ignore_errors=True)
        plugin.mkdir(parents=True)
        for jar in jars("debezium", without=("connect",)):
            (plugin / jar.name).symlink_to(jar)
        self._class_path = jars("connect")
        write_properties(self._worker_file, self._worker())
        self._kafka.create(TOPIC, PARTITIONS, {"retention.ms": "-1"})
        self._kafka.create(HEARTBEAT_TOPIC, 1, {"retention.ms": "-1"})
        with psycopg.connect(self._stack.postgres("shop"), autocommit=True) as connection:
            options = "publish = 'insert', publish_via_partition_root"
            connection.execute(f"CREATE PUBLICATION {SLOT} FOR TABLE {TABLE} WITH ({options})")
            connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [SLOT])

    def expect(self, log: OutboxLog, oracle: RowsOracle) -> None:
        """What the next round will find in the outbox."""
        self._oracle = oracle
        self._arrivals = Arrivals(self._kafka, TOPIC, log)

    def prepare(self, round_: int) -> None:
        """Nothing: the worker goes on from its own offsets."""

    def command(self) -> Command:
        """One distributed worker, alone in its group."""
        java = find_java()
        flags = [*JVM_FLAGS, *quiet_flags(java.version)]
        main = ["org.apache.kafka.connect.cli.ConnectDistributed", str(self._worker_file)]
        return Command([str(java.executable), *flags, "-cp", joined(self._class_path), *main], {}, ROOT)

    def progress(self) -> int:
        """Rows in committed transactions."""
        self.configured()
        return self._arrivals.count()

    def configured(self) -> bool:
        """Whether the worker has its connector; hands it over once the worker answers."""
        if not self._configured:
            self._configured = self._configure()
        return self._configured

    def verify(self) -> Verdict:
        """Each row once, whole, in order."""
        return self._oracle.judge(self._published())

    def clean(self) -> None:
        """Nothing: the topic goes with the stack; a round reads from where it began."""

    def _configure(self) -> bool:
        """Hand the connector's settings to the worker, once it answers."""
        url = f"http://127.0.0.1:{self._stack.connect_port}/connectors/{CONNECTOR}/config"
        body = json.dumps(self._connector()).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="PUT")
        try:
            with urllib.request.urlopen(request, timeout=5):
                return True
        except urllib.error.HTTPError as error:
            if error.code in (404, 409, 500, 503):  # still starting, or choosing its leader
                return False
            raise RuntimeError(f"Connect refuses the connector: {error.read().decode()[:500]}") from None
        except OSError:
            return False

    @property
    def _worker_file(self) -> Any:
        return self._stack.work_folder / "connect.properties"

    def _worker(self) -> dict[str, object]:
        topics = {
            f"{part}.storage.{name}": value
            for part in ("config", "offset", "status")
            for name, value in (("topic", f"bench-connect-{part}"), ("replication.factor", 1))
        }
        return {
            "bootstrap.servers": self._stack.bootstrap,
            "group.id": "bench-connect",
            **topics,
            "listeners": f"http://127.0.0.1:{self._stack.connect_port}",
            "plugin.path": self._stack.work_folder / "plugins",
            "plugin.discovery": "service_load",
            "scheduled.rebalance.max.delay.ms": 0,  # else one worker after another waits for the first for five minutes
            "exactly.once.source.support": "enabled",
            "topic.creation.enable": "false",
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        }

    def _connector(self) -> dict[str, object]:
        database = psycopg.conninfo.conninfo_to_dict(self._stack.postgres("shop"))
        return {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "tasks.max": "1",
            "database.hostname": "127.0.0.1",
            "database.port": str(self._stack.postgres_port),
            "database.user": "postgres",
            "database.password": database["password"],
            "database.dbname": "shop",
            "topic.prefix": "bench",
            "plugin.name": "pgoutput",
            "slot.name": SLOT,
            "slot.drop.on.stop": "false",
            "publication.name": SLOT,
            "publication.autocreate.mode": "disabled",
            "table.include.list": TABLE,
            "snapshot.mode": "no_data",
            "offset.mismatch.strategy": "trust_offset",
            "exactly.once.support": "required",
            "heartbeat.interval.ms": "10000",
            "heartbeat.action.query": "SELECT pg_logical_emit_message(true, 'heartbeat', '')",
            "message.prefix.exclude.list": ".*",  # its own heartbeats, and those of a relay on the same database
            "tombstones.on.delete": "false",
            "transforms": "outbox",
            "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
            "transforms.outbox.route.topic.replacement": "bench.debezium.${routedByValue}",
            "max.batch.size": "20480",
            "max.queue.size": "81920",
            "poll.interval.ms": "10" if self._quick else "50",
            "producer.override.compression.type": "lz4",
            "producer.override.linger.ms": "5" if self._quick else "20",
            "producer.override.batch.size": "262144",
            "producer.override.buffer.memory": "67108864",
        }

    def _published(self) -> Iterator[Published]:
        for message in self._kafka.read(TOPIC, PARTITIONS, self._arrivals.start):
            order = json.loads(message.value() or b"null")
            items = tuple((item["sku"], item["quantity"], item["price_cents"]) for item in order["items"])
            yield Published(
                header(message, "id"), order["customer"], order["occurred_at"], order["amount_cents"], items
            )
