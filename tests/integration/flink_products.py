"""Products for the flink runner: the small mesh with another flow, on a real Kafka and a real registry. Not a test."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.plan.desired import desired
from headwater.ports.kafka import KafkaBroker
from headwater.ports.record import TopicDescription
from headwater.schemas.registry_http import HttpRegistry
from headwater.testing.broker_mesh import BrokerMesh, write_renamed_mesh
from headwater.testing.small_mesh import HOURLY, HOURLY_FLOW, HOURLY_SCHEMA, edit, write

INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
FACT = {"valid_from": INSTANT, "valid_to": ["null", INSTANT]}
EVENT = {"event_id": "string", "occurred_at": INSTANT}


@dataclass(frozen=True)
class Flow:
    """A flow over departures: its steps, the key and the fields of what it gives."""

    name: str
    steps: str
    key: tuple[str, ...]
    fields: dict[str, Any]

    def __str__(self) -> str:
        return self.name


FOLD = Flow(
    "fold",
    """departures.filter(col("delay_minutes").is_null() | (col("delay_minutes") > -5)).map(
        twice=col("delay_minutes") * 2 - 1
    ).aggregate(
        by=["origin"], window=tumbling("1h"), departures=count(), known=count("delay_minutes"),
        minutes=total("twice"), worst=maximum("delay_minutes"), best=minimum("flight_id"),
        flights=count_distinct("flight_id"),
        average=average("twice"),
    ).filter(col("departures") > 1).map(
        word=when(col("minutes") > 20).then("late").otherwise("it's fine"), mean=col("minutes") / col("known")
    )""",
    ("origin",),
    {
        "origin": "string",
        **FACT,
        "departures": "long",
        "known": "long",
        "minutes": ["null", "long"],
        "worst": ["null", "long"],
        "best": ["null", "string"],
        "flights": "long",
        "average": ["null", "double"],
        "word": "string",
        "mean": ["null", "double"],
    },
)
HOPPING = Flow(
    "hopping",
    """departures.aggregate(
        by=["origin", "flight_id"], window=hopping("3h", every="1h"), departures=count(), worst=maximum("delay_minutes")
    )""",
    ("origin", "flight_id"),
    {"origin": "string", "flight_id": "string", **FACT, "departures": "long", "worst": ["null", "long"]},
)
WHOLE = Flow(
    "whole",
    """departures.aggregate(by=["origin"], window=whole(), departures=count(), first=minimum("occurred_at"))""",
    ("origin",),
    {"origin": "string", **FACT, "departures": "long", "first": ["null", INSTANT]},
)
PASSING = Flow(
    "passing",
    """departures.filter(col("origin") != "JFK").select(
        "flight_id", place=col("origin"), minutes=col("delay_minutes").coalesce(0) // 5
    )""",
    ("flight_id",),
    {**EVENT, "flight_id": "string", "place": "string", "minutes": ["null", "long"]},
)


def flink_mesh(kafka: KafkaBroker, registry_url: str, folder: Path, nonce: str, flow: Flow) -> BrokerMesh:
    """The small mesh with this flow in place of its own, its topics made and its schemas registered."""
    write_renamed_mesh(folder, nonce)
    names = {name: name.replace("airports/", f"airports{nonce}/") for name in (HOURLY, HOURLY_FLOW, HOURLY_SCHEMA)}
    edit(folder, names[HOURLY], "    ports: [topic, current]\n", "    ports: [topic]\n    retention: forever\n")
    edit(folder, names[HOURLY], "key: [origin]", f"key: [{', '.join(flow.key)}]")
    edit(folder, names[HOURLY], ", reads: [origin, occurred_at]", "")
    if "event_id" in flow.fields:
        edit(folder, names[HOURLY], "type: aggregate", "type: consumer-aligned")
    write(
        folder,
        names[HOURLY_FLOW],
        "from headwater import *\n\n\ndef flow(departures: Stream) -> Stream:\n    return " + flow.steps + "\n",
    )
    kind = {"type": "enum", "name": "Kind", "namespace": "headwater", "symbols": ["assert", "correct", "retract"]}
    fields = {**flow.fields, "recorded_at": INSTANT, "kind": kind, "revision": "long"}
    schema = {
        "type": "record",
        "name": "Hourly",
        "namespace": f"airports{nonce}.hourly",
        "fields": [
            {"name": name, "type": type_, **({"default": None} if isinstance(type_, list) else {})}
            for name, type_ in fields.items()
        ],
    }
    write(folder, names[HOURLY_SCHEMA], json.dumps(schema))
    made = BrokerMesh.loaded(kafka, folder, nonce)
    for topic in desired(made.mesh, {made.plan.product: made.plan}).topics:
        kafka.create_topic(TopicDescription(topic.name, topic.partitions, dict(topic.settings)))
    made.registry = HttpRegistry(registry_url)
    for product in made.mesh.in_order():
        for output in product.outputs:
            made.registry.register(output.subject, output.schema)
    return made
