"""`mesh.yaml` as values: the mesh's name, its tick, and where each environment's parts are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headwater.timeline.instant import Duration


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a mesh runs. `kafka` are librdkafka settings, `databases` connection strings by the name that outboxes use.

    In the environment whose `local_stack` is true, addresses are those of `headwater up`, filled in by the settings.
    """

    name: str
    kafka: Mapping[str, str] = field(default_factory=dict)
    registry_url: str = ""
    databases: Mapping[str, str] = field(default_factory=dict)
    local_stack: bool = False
    connect_url: str = ""  # Kafka Connect's, for sources of the Debezium lane
    lake: Mapping[str, str] = field(default_factory=dict)  # PyIceberg's settings of the lake's catalogue
    flink: Mapping[str, str] = field(default_factory=dict)  # where live jobs go: gateway, rest, folder, jars


# A slot lost on a Friday is mended on a Monday, with days to spare.
OUTBOX_RETENTION_DEFAULT = Duration.parse("7d")


@dataclass(frozen=True, slots=True)
class MeshFile:
    """What `mesh.yaml` says. `databases` are the names that outboxes may use, in every environment.

    `debezium` are settings that win over those of generated connectors.
    """

    name: str
    tick: Duration
    databases: tuple[str, ...]
    environments: Mapping[str, Environment]
    debezium: Mapping[str, str] = field(default_factory=dict)
    outbox_retention: Duration = OUTBOX_RETENTION_DEFAULT
    outbox_log_alarm_bytes: int | None = None  # None: as `outbox/housekeeping.py` has it
