"""The tables of a Flink job: topics of inputs to read, the product's topic to write.

What is read is decoded by a schema of ours, of the fields that the flow reads, so that enums are read and instants stay
microseconds. What is written is encoded by a function of ours, with the id that `apply` registered: Flink's own Avro
format would register a schema of its own making.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.processing.field_types import FieldType
from headwater.processing.graph import HIDDEN, Port
from headwater.processing.runners.flink_expressions import Inexpressible
from headwater.processing.runners.flink_text import TYPES, name, options, text

OUT = "out"
SINK_KEY, SINK_VALUE, SINK_STAMP = "~key", "~value", "~stamp"
TRANSACTION_MS = 840_000  # below the broker's usual limit of 15 minutes


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a job ends and begins: it reads what was recorded up to `through`, and each topic's partitions up to
    `ends`; of partition p of the product it writes what is recorded after `written[p]`. A live job has no ends.
    """

    through: int
    ends: Mapping[str, Mapping[int, int]]
    written: Mapping[int, int] = field(default_factory=dict)

    @property
    def bounded(self) -> bool:
        """Whether a job of this reach comes to an end by itself."""
        return bool(self.ends)


@dataclass(frozen=True, slots=True)
class Where:
    """Broker and registry as the job finds them, the prefix of its transactions, and its reach; None: without end."""

    bootstrap: str
    registry_url: str
    job: str
    properties: Mapping[str, str] = field(default_factory=dict)
    reach: Reach | None = None

    def kafka(self, topic: str) -> dict[str, object]:
        """What every table over a topic says."""
        own = {f"properties.{key}": value for key, value in self.properties.items()}
        return {"connector": "kafka", "topic": topic, "properties.bootstrap.servers": self.bootstrap, **own}


def source_table(
    called: str, fields: Sequence[str], port: Port, schema: Mapping[str, Any], where: Where, tick: int
) -> str:
    """The table over an input's topic, with these fields and those that the platform writes.

    Flink's time attribute knows milliseconds, ticks may be shorter: so it counts ticks, each as a millisecond.
    """
    known = [one for one in schema["fields"] if one["name"] in {*fields, *HIDDEN}]
    columns = [f"{name(one['name'])} {_column(port.fields[one['name']], one['type'])}" for one in known]
    reader = {one: schema[one] for one in ("type", "name", "namespace") if one in schema}
    made = {
        **where.kafka(port.topic),
        "properties.isolation.level": "read_committed",
        "properties.group.id": where.job,
        "scan.startup.mode": "earliest-offset",
        "value.format": "avro-confluent",
        "value.avro-confluent.url": where.registry_url,
        "value.avro-confluent.schema": json.dumps({**reader, "fields": [_plain_field(one) for one in known]}),
    }
    if where.reach is not None and where.reach.bounded:
        ends = where.reach.ends[port.topic]
        made["scan.bounded.mode"] = "specific-offsets"
        made["scan.bounded.specific-offsets"] = ";".join(f"partition:{one},offset:{end}" for one, end in ends.items())
    time = f"`~time` AS TO_TIMESTAMP_LTZ(`recorded_at` / {tick}, 3)"
    mark = "WATERMARK FOR `~time` AS `~time` - INTERVAL '0.001' SECOND"
    listed = ",\n  ".join([*columns, time, mark])
    return f"CREATE TEMPORARY TABLE {name(called)} (\n  {listed}\n) WITH {options(made)}"


def sink_table(topic: str, where: Where) -> str:
    """The table over the product's topic: keys and values as they lie there, exactly once, in one transaction."""
    made = {
        **where.kafka(topic),
        "key.format": "raw",
        "key.fields": SINK_KEY,
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
        "sink.delivery-guarantee": "exactly-once",
        "sink.transactional-id-prefix": where.job,
        "properties.transaction.timeout.ms": TRANSACTION_MS,
    }
    columns = [
        f"{name(SINK_KEY)} STRING NOT NULL",
        f"{name(SINK_VALUE)} BYTES NOT NULL",
        f"{name(SINK_STAMP)} TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'",
    ]
    return f"CREATE TEMPORARY TABLE {name(OUT)} (\n  " + ",\n  ".join(columns) + f"\n) WITH {options(made)}"


def framed(schema: Mapping[str, Any], schema_id: int, columns: Mapping[str, str]) -> str:
    """The value of a record: the registry's frame and the Avro body, of the columns by the fields' names."""
    form = ",".join(_code(one["type"]) for one in schema["fields"])
    values = ", ".join(columns[one["name"]] for one in schema["fields"])
    return f"hw_frame({schema_id}, {text(form)}, {values})"


def _code(avro: Any) -> str:
    """How a field is written: `l` a long, `0?l` a long or null with null first, `e:a|b` an enum."""
    if isinstance(avro, list):
        rest = [one for one in avro if one != "null"]
        if len(rest) != 1 or len(avro) != 2:
            raise Inexpressible("a union of several types")
        return f"{avro.index('null')}?{_code(rest[0])}"
    plain = avro if isinstance(avro, dict) else {"type": avro}
    if plain["type"] == "enum":
        return "e:" + "|".join(plain["symbols"])
    code = {"int": "i", "long": "l", "double": "d", "string": "s", "boolean": "b"}.get(str(plain["type"]))
    if code is None or plain.get("logicalType") not in (None, "timestamp-micros"):
        raise Inexpressible(f"a field of the Avro type {json.dumps(avro)}")
    return code


def _column(type_: FieldType, avro: Any) -> str:
    if type_.kind not in TYPES:
        raise Inexpressible(f"a field of the type {type_.required().text()}")
    branches = [_plain(one) for one in (avro if isinstance(avro, list) else [avro])]
    own = "INT" if "int" in branches else "FLOAT" if "float" in branches else TYPES[type_.kind]
    return own if type_.nullable else f"{own} NOT NULL"


def _plain(avro: Any) -> Any:
    """A type without what a logical type makes of it: an instant is read as the number that it is written as."""
    return avro["type"] if isinstance(avro, dict) and avro["type"] != "enum" else avro


def _plain_field(one: Mapping[str, Any]) -> dict[str, Any]:
    avro = one["type"]
    plain = [_plain(branch) for branch in avro] if isinstance(avro, list) else _plain(avro)
    # A record written before the field was there is read with the field's default.
    return {"name": one["name"], "type": plain, **({"default": one["default"]} if "default" in one else {})}
