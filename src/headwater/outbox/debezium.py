"""The configuration of Debezium's PostgreSQL connector for an outbox: lane to the relay, and plain router; pure.

Two connectors are made here. `capture_connector` brings rows whole and in commit order into the capture topic, which
the relay reads (`capture.py`); `router_connector` is Debezium's own event router, for topics that others read without
Headwater. Each has a slot and a publication of its own, made by `apply`, never by Connect. Where a default of Debezium
loses data, the setting that does not is written out, and may not be overridden: `override_findings`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headwater import naming
from headwater.outbox.capture import COMMITTED_AT, OPERATION, ORDER, TRANSACTION
from headwater.outbox.event import COLUMNS

VERSION_LEAST = (3, 7, 0)  # before it a restart lost events that share a log position, silently: dbz#1554, #76, #51
RECORD_BYTES_LIMIT = 8 * 1024 * 1024  # a row of 900,000 bytes as JSON within JSON may double
HEARTBEAT_PREFIX = "headwater.heartbeat"
_PULSE = f"SELECT pg_logical_emit_message(true, '{HEARTBEAT_PREFIX}', '')"
# The capture topic's. A week, as outbox rows are kept: what is lost of it can be filled from the table.
CAPTURE_TOPIC_SETTINGS = {
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "max.message.bytes": str(RECORD_BYTES_LIMIT),
}


@dataclass(frozen=True, slots=True)
class CaptureSource:
    """What a connector connects to. `password` is a placeholder of Connect's config providers, never the secret."""

    source: str
    table: str
    host: str
    port: str
    user: str
    database: str
    password: str
    overrides: Mapping[str, str] = field(default_factory=dict)
    failover: bool = False  # slots that a standby carries on: PostgreSQL 17 or newer, with synchronized standbys


def capture_connector(capture: CaptureSource, slot: str) -> dict[str, str]:
    """The lane's connector: rows, logical messages and the ends of transactions into one topic of one partition."""
    topic = naming.capture_topic(capture.source)
    table = capture.table.replace(".", "[.]")
    return {
        **_common(capture, slot, topic),
        "column.include.list": f"{table}[.]({'|'.join(COLUMNS)})",
        "message.key.columns": f"{capture.table}:id",
        "message.prefix.include.list": f"headwater[.]outbox:{table}",
        "provide.transaction.metadata": "true",
        "binary.handling.mode": "base64",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        # A change event is four times its row: what the relay does not need stays behind.
        "transforms": "row,bare,one",
        "transforms.row.type": "io.debezium.transforms.ExtractNewRecordState",
        "transforms.row.delete.tombstone.handling.mode": "drop",
        "transforms.row.add.fields.prefix": "",
        "transforms.row.add.fields": (
            f"op:{OPERATION},source.txId:{TRANSACTION},source.ts_us:{COMMITTED_AT},transaction.total_order:{ORDER}"
        ),
        "transforms.bare.type": "org.apache.kafka.connect.transforms.DropHeaders",
        "transforms.bare.headers": ",".join(
            f"__debezium.context.{name}" for name in ("connectorLogicalName", "taskId", "connectorName", "runId")
        ),
        "transforms.one.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.one.regex": ".*",
        "transforms.one.replacement": topic,
        **capture.overrides,
    }


def router_connector(capture: CaptureSource, slot: str, *, avro: bool = False) -> dict[str, str]:
    """The plain event router: each row to the topic that its `aggregatetype` names, the payload as it is.

    `avro` passes the bytes of `payload_avro` on instead of the JSON text of `payload`.
    """
    prefix = naming.router_prefix(capture.source)
    settings = {
        **_common(capture, slot, prefix),
        # Nobody's: a logical message of anyone would go to a topic that is not there, and hold up the rest.
        "message.prefix.include.list": "headwater[.]none",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        "transforms": "outbox",
        "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
        "transforms.outbox.route.topic.replacement": "${routedByValue}",
        "transforms.outbox.table.field.event.payload": "payload_avro" if avro else "payload",
        "transforms.outbox.table.op.invalid.behavior": "error",
        "predicates": "row",
        "predicates.row.type": "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
        "predicates.row.pattern": f"{prefix}[.]{capture.table}".replace(".", "[.]").replace("[[.]]", "[.]"),
        "transforms.outbox.predicate": "row",
    }
    if avro:
        settings |= {
            "binary.handling.mode": "bytes",
            "value.converter": "io.debezium.converters.BinaryDataConverter",
            "value.converter.delegate.converter.type": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter.delegate.converter.type.schemas.enable": "false",
        }
    return {**settings, **capture.overrides}


def _common(capture: CaptureSource, slot: str, prefix: str) -> dict[str, str]:
    settings = {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": capture.host,
        "database.port": capture.port,
        "database.user": capture.user,
        "database.password": capture.password,
        "database.dbname": capture.database,
        "topic.prefix": prefix,
        "plugin.name": "pgoutput",
        "slot.name": slot,
        "slot.drop.on.stop": "false",
        "slot.failover": "true" if capture.failover else "false",
        "publication.name": slot,
        "publication.autocreate.mode": "disabled",
        "table.include.list": capture.table.replace(".", "[.]"),
        "snapshot.mode": "no_data",
        "offset.mismatch.strategy": "trust_offset",
        "exactly.once.support": "required",
        "transaction.boundary": "poll",
        "lsn.flush.mode": "connector",
        "event.processing.failure.handling.mode": "fail",
        "errors.tolerance": "none",
        "skipped.operations": "u,d,t",
        "tombstones.on.delete": "false",
        "heartbeat.interval.ms": "10000",
        "heartbeat.action.query": _PULSE,
        "poll.interval.ms": "10",
        "max.batch.size": "8192",
        "max.queue.size": "32768",
        "max.queue.size.in.bytes": "33554432",
        "producer.override.acks": "all",
        # What a killed worker left open holds up its successor until the broker ends it: a minute by default.
        "producer.override.transaction.timeout.ms": "10000",
        "producer.override.max.request.size": str(RECORD_BYTES_LIMIT),
        "producer.override.buffer.memory": "67108864",
        "producer.override.compression.type": "lz4",
        "producer.override.linger.ms": "0",
    }
    return {name: value for name, value in settings.items() if value}


def _is(*allowed: str) -> Callable[[str], bool]:
    return lambda value: value in allowed


# Settings that decide whether rows are lost, doubled or torn: what each may be, and what else it would do.
_GUARDED: dict[str, tuple[Callable[[str], bool], str]] = {
    "exactly.once.support": (_is("required"), "a crash would repeat what was sent since the last flush"),
    "offset.mismatch.strategy": (_is("trust_offset"), "a slot ahead of the offset would pass over rows silently"),
    "slot.drop.on.stop": (_is("false"), "rows committed while the connector is stopped would be lost"),
    "publication.autocreate.mode": (_is("disabled"), "Connect would make what only apply makes"),
    "snapshot.mode": (_is("no_data"), "rows that are published already would come again, without a transaction"),
    "event.processing.failure.handling.mode": (_is("fail"), "what cannot be read would be left out"),
    "errors.tolerance": (_is("none"), "what cannot be converted would be left out"),
    "lsn.flush.mode": (_is("connector"), "the server would be told of rows that are not in Kafka, or of none"),
    "producer.override.acks": (_is("all", "-1"), "a broker's crash would lose what it had acknowledged"),
    "producer.override.enable.idempotence": (_is("true"), "a retry would write a row twice"),
    "heartbeat.interval.ms": (
        lambda value: value.isdigit() and 0 < int(value) <= 60_000,
        "a quiet outbox would hold back the database's log until the disk is full",
    ),
}
# Sizes and times that change how fast, never what.
TUNABLE = frozenset(
    {
        "poll.interval.ms", "max.batch.size", "max.queue.size", "max.queue.size.in.bytes", "slot.failover",
        "producer.override.max.request.size", "producer.override.buffer.memory", "producer.override.compression.type",
        "producer.override.linger.ms", "producer.override.transaction.timeout.ms", "transaction.boundary",
    }
)  # fmt: skip


def override_fault(name: str, value: str) -> str:
    """Why a setting may not be overridden so; empty where it may.

    >>> override_fault("offset.mismatch.strategy", "no_validation")
    'a slot ahead of the offset would pass over rows silently'
    >>> override_fault("max.batch.size", "100")
    ''
    """
    if name in _GUARDED:
        allowed, why = _GUARDED[name]
        return "" if allowed(value) else why
    place = CaptureSource("d.s.t", "s.t", "h", "1", "u", "d", "p")
    fixed = {**router_connector(place, "s"), **capture_connector(place, "s")}
    if (name in fixed and name not in TUNABLE) or name.startswith(("transforms", "predicates", "database.password")):
        return "the connector is made of it: the relay would not understand what comes"
    if name in ("transactional.id", "producer.override.transactional.id"):
        return "Connect fences a killed worker by the id that it chooses itself"
    return ""
