"""What `headwater connector` works on: the connectors of a mesh, and where Connect, Kafka and the databases are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.errors import CallerFault

if TYPE_CHECKING:
    from headwater.contracts.environment import Environment
    from headwater.outbox.debezium import CaptureSource
    from headwater.outbox.debezium_connect import Connect
    from headwater.outbox.source import OutboxSource, Step
    from headwater.outbox.source_postgres import PostgresAdmin
    from headwater.ports.kafka import KafkaBroker

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-[^}]*)?\}\Z")
HEARTBEAT_TOPIC = "__debezium-heartbeat"  # Debezium's own default of heartbeat.topics.prefix


@dataclass(frozen=True, slots=True)
class Connector:
    """One connector: its name, its configuration, and the slot (and publication) that it reads."""

    name: str
    config: dict[str, str]
    source: OutboxSource
    slot: str
    router: bool


@dataclass(frozen=True, slots=True)
class Parts:
    """The connectors, and the environment that they are in."""

    connectors: tuple[Connector, ...]
    environment: Environment

    def connect(self) -> Connect:
        """Connect's interface; raises `CallerFault` HW-O136 where the environment has none."""
        from headwater.outbox.debezium_connect import Connect
        from headwater.timeline.clock import SystemClock

        if not self.environment.connect_url:
            raise CallerFault(
                f"the environment '{self.environment.name}' does not say where Kafka Connect is",
                code="HW-O136",
                hint=f"add connect: http://... to environments.{self.environment.name} in mesh.yaml",
            )
        return Connect(self.environment.connect_url, clock=SystemClock())

    def broker(self) -> KafkaBroker:
        """The environment's Kafka."""
        from headwater.ports.kafka import KafkaBroker

        return KafkaBroker(self.environment.kafka)

    def admin(self, connector: Connector) -> PostgresAdmin:
        """What looks at a connector's slot and publication, and makes them."""
        from headwater.outbox.source_postgres import PostgresAdmin

        source = connector.source
        address = self.environment.databases[source.database]
        return PostgresAdmin(address, database=source.database, table=source.table, slot=connector.slot)


def load_parts(wanted: str, *, router: bool = False, avro: bool = False) -> Parts:
    """The connectors of the mesh's outboxes, or of one; raises `CallerFault` HW-O137 where there is none."""
    from headwater import naming
    from headwater.mesh.load import load_mesh
    from headwater.outbox.debezium import capture_connector, override_fault, router_connector
    from headwater.outbox.source import sources_of
    from headwater.settings import environment_of, load_settings

    settings = load_settings()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    raw = mesh.file.environments[settings.environment]
    secrets = settings.data_folder / "connect" / "secrets" if environment.local_stack else None
    for name, value in mesh.file.debezium.items():
        if why := override_fault(name, str(value)):
            hint = f"remove {name} from debezium in mesh.yaml"
            raise CallerFault(f"{name}: {value} is not safe", code="HW-O139", detail=why, hint=hint)
    connectors = []
    for source in sources_of(mesh):
        # One that is named may be on the native lane again: its connector is still to be looked at, or deleted.
        if source.name != wanted if wanted else source.lane == "native" and not router:
            continue
        capture = _capture_source(source, environment, raw, secrets, mesh.file.debezium)
        if router:
            slot = naming.router_slot(source.database, source.table)
            config = router_connector(capture, slot, avro=avro)
        else:
            slot = naming.capture_slot(source.database, source.table)
            config = capture_connector(capture, slot)
        kind = "router" if router else "capture"
        connectors.append(Connector(naming.connector(source.name, kind), config, source, slot, router))
    if not connectors:
        raise CallerFault(
            f"the mesh has no outbox {wanted}" if wanted else "no outbox of the mesh takes the Debezium lane",
            code="HW-O137",
            detail="names are <database>.<schema>.<table>" if wanted else "the native relay reads them itself",
            hint="write lane: debezium beside the outbox's table in product.yaml, or ask for the plain --router",
        )
    return Parts(tuple(connectors), environment)


def prepare(parts: Parts, connector: Connector) -> list[Step]:
    """What is missing before Connect may start; raises `CallerFault` HW-O138 where `apply` must come first."""
    from headwater import naming
    from headwater.outbox.source import Step
    from headwater.ports.record import TopicDescription

    broker, admin = parts.broker(), parts.admin(connector)
    there = admin.look()
    source = connector.source
    if not connector.router:
        topics = [naming.capture_topic(source.name), naming.position_topic(source.name)]
        missing = [name for name in topics if name not in broker.describe(topics)]
        missing += [] if there.publication else [f"publication {connector.slot}"]
        missing += [] if there.slot else [f"slot {connector.slot}"]
        if missing:
            raise CallerFault(
                f"{source.name}: {missing[0]} is missing",
                code="HW-O138",
                detail="Connect makes nothing: rows committed before the slot is there would not be captured",
                hint="headwater apply",
            )
        return []
    if not there.table:
        raise CallerFault(f"{source.name}: the outbox table is missing", code="HW-O138", hint="headwater apply")
    steps = [] if there.publication else [Step(f"create the publication {connector.slot}", admin.create_publication)]
    if there.slot is None:
        steps.append(Step(f"create the slot {connector.slot}", admin.create_slot))
    wanted = {str(one.name): one.output.output.partitions for one in source.products}
    wanted[f"{HEARTBEAT_TOPIC}.{naming.router_prefix(source.name)}"] = 1
    for name, partitions in wanted.items():
        if name not in broker.describe([name]):
            topic = TopicDescription(name, partitions, {"retention.ms": "604800000"})
            steps.append(Step(f"create the topic {name}", lambda topic=topic: broker.create_topic(topic)))  # type: ignore[misc]
    return steps


def retained_bytes(parts: Parts, connector: Connector) -> int | None:
    """How much of the database's log the connector's slot holds back; None where there is no slot."""
    admin = parts.admin(connector)
    try:
        slot = admin.look().slot
        return None if slot is None else max(0, admin.identify().written_lsn - slot.confirmed_lsn)
    finally:
        admin.close()


def _capture_source(
    source: OutboxSource, environment: Environment, raw: Environment, secrets: Path | None, overrides: object
) -> CaptureSource:
    from headwater.outbox.companion_postgres import address_parts
    from headwater.outbox.debezium import CaptureSource

    if source.database not in environment.databases:
        raise CallerFault(
            f"the environment has no address for the database '{source.database}'",
            code="HW-O051",
            detail="an outbox of the mesh is in it",
            hint="add it under databases of the environment in mesh.yaml",
        )
    address = address_parts(environment.databases[source.database])
    if secrets is not None:
        password = f"${{directory:{secrets}:postgres.password}}"
    else:
        password = _placeholder(address_parts(raw.databases[source.database]).get("password", ""), source.database)
    assert isinstance(overrides, dict)
    return CaptureSource(
        source.name, source.table, address["host"], address["port"], address["user"], address["dbname"],
        password, {name: str(value) for name, value in overrides.items()},
    )  # fmt: skip


def _placeholder(password: str, database: str) -> str:
    """A secret as Connect's workers find it: `${VARIABLE}` of mesh.yaml is the worker's own variable."""
    if not password:
        return ""
    found = _VARIABLE.match(password)
    if found is None:
        raise CallerFault(
            f"the password of the database '{database}' stands in mesh.yaml in clear",
            code="HW-O134",
            detail="a generated file would carry it on",
            hint="write ${VARIABLE} in its place, and set the variable for Connect's workers too",
        )
    return f"${{env:{found[1]}}}"
