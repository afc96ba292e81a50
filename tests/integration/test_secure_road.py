"""The road in over TLS and SCRAM on both sides, by principals that may do no more than they must; and what is said to
those who may not, or who are not who they say."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AclOperation as Op
from confluent_kafka.admin import ResourcePatternType as Pattern
from confluent_kafka.admin import ResourceType as Kind
from tests.integration import secure_stack
from tests.integration.secure_stack import Right, SecureStack

from headwater import naming
from headwater.errors import HeadwaterError
from headwater.hooks import Hooks
from headwater.local.ports import free_base
from headwater.local.stack import LocalStack
from headwater.mesh.load import load_mesh
from headwater.outbox.refusals import refused
from headwater.outbox.relay import Relay
from headwater.outbox.source import sources_of
from headwater.outbox.store_postgres import PostgresOutbox
from headwater.ports.kafka import KafkaBroker
from headwater.schemas.registry_http import HttpRegistry
from headwater.settings import LocalPorts
from headwater.testing.small_mesh import DEPARTURES, FILES, write
from headwater.timeline.clock import SystemClock

pytestmark = pytest.mark.slow

PORT_BASE_FIRST = 18690
DATABASE = "operations"
TABLE = "public.outbox"
SOURCE = naming.source(DATABASE, TABLE)
TRANSACTIONAL_ID = naming.relay_transactional_id(SOURCE)
POSITION = naming.position_topic(SOURCE)
SAID_WITHIN = 25.0  # seconds for any refusal; most take one


@pytest.fixture(scope="module")
def secured() -> Iterator[SecureStack]:
    if not secure_stack.has_tls_postgres():
        pytest.skip("no PostgreSQL with TLS on this machine: the wheel's is built without it")
    folder = Path(tempfile.mkdtemp(prefix="headwater-secure-"))
    folder.chmod(0o755)
    try:
        with secure_stack.running(LocalStack(folder, LocalPorts(free_base(PORT_BASE_FIRST)))) as stack:
            yield stack
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class SecureRoad:
    """A mesh with an environment for each principal; secrets come from environment variables."""

    def __init__(self, stack: SecureStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.domain = f"flights_{uuid.uuid4().hex[:8]}"
        self.topic = f"{self.domain}.departures.v1"
        for name in (DEPARTURES, "schemas/avro/flights/departures/Departure.avsc"):
            write(
                folder,
                name.replace("/flights/", f"/{self.domain}/"),
                FILES[name].replace("flights.d", f"{self.domain}.d"),
            )
        self.kafka = {who: stack.kafka_of(who) for who in ("apply", "relay")}
        self.kafka["emit"] = self.kafka["relay"]
        self.dsn = {who: stack.dsn_of(f"{who}_role", DATABASE) for who in ("apply", "relay", "emit")}
        self.write_mesh()

    def write_mesh(self) -> None:
        environments = {
            who: {
                "kafka": {**self.kafka[who], "sasl.password": "${KAFKA_PASSWORD}"},
                "registry": self.stack.registry_url,
                "databases": {DATABASE: psycopg.conninfo.make_conninfo(self.dsn[who], password="${DATABASE_PASSWORD}")},
            }
            for who in self.kafka
        }
        text = f"name: secure\ndatabases: [{DATABASE}]\nenvironments: {json.dumps(environments)}\n"
        write(self.folder, "mesh.yaml", text)

    def variables(self, who: str, **other: str) -> dict[str, str]:
        return {
            **os.environ,
            "HEADWATER_MESH": str(self.folder),
            "HEADWATER_DATA": str(self.folder / "data"),
            "HEADWATER_ENVIRONMENT": who,
            "KAFKA_PASSWORD": self.kafka[who]["sasl.password"],
            "DATABASE_PASSWORD": psycopg.conninfo.conninfo_to_dict(self.dsn[who])["password"],
            "SSL_CERT_FILE": str(self.stack.ca),
            "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
            **other,
        }  # type: ignore[dict-item]

    def cli(self, who: str, *arguments: str, **other: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "headwater", *arguments],
            env=self.variables(who, **other), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def relay(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "headwater", "relay"]
        return subprocess.Popen(command, env=self.variables("relay"), stderr=subprocess.PIPE, text=True)

    def serve(self) -> None:
        """The relay in this process, until it raises or a batch is published."""
        mesh, committed = load_mesh(self.folder), threading.Event()
        source = next(iter(sources_of(mesh)))
        hooks = Hooks([lambda happening, fields: committed.set() if happening == "relay.committed" else None])
        clock, dsn = SystemClock(), self.stack.dsn_of("relay_role", DATABASE)
        registry = HttpRegistry(self.stack.registry_url, {"ssl.ca.location": str(self.stack.ca)})
        self.emit(2)
        Relay(
            source,
            PostgresOutbox(dsn, database=DATABASE, table=TABLE, clock=clock),
            KafkaBroker(self.stack.kafka_of("relay"), clock=clock, hooks=hooks),
            registry,
            clock=clock,
            hooks=hooks,
        ).run(committed.is_set)

    def apply(self) -> None:
        self.cli("apply", "schema", "lock")
        done = self.cli("apply", "apply")
        assert done.returncode == 0, done.stdout + done.stderr

    def emit(self, number: int) -> None:
        record = {"flight_id": f"F{number}", "origin": "JFK", "occurred_at": 1_357_000_000_000_000}
        done = self.cli("emit", "emit", f"{self.domain}.departures", "--record", json.dumps(record))
        assert done.returncode == 0, done.stdout + done.stderr

    def arrived(self) -> int:
        """How many records are committed, as an administrator sees them."""
        consumer = Consumer(
            {**self.stack.kafka_of(secure_stack.ADMIN), "group.id": "checkers", "enable.partition.eof": True}
        )
        places = [Place(self.topic, number, 0) for number in range(4)]
        consumer.assign(places)
        found = left = 0
        left = len(places)
        while left:
            message = consumer.poll(60)
            assert message is not None
            found, left = (found, left - 1) if message.error() else (found + 1, left)
        consumer.close()
        return found


def _topics(prefix: str, *operations: Op) -> Right:
    return (Kind.TOPIC, prefix, Pattern.PREFIXED, operations)


def rights(domain: str) -> dict[str, list[Right]]:
    """As `docs/concepts/secure-road.md` lists them."""
    transactional = (Kind.TRANSACTIONAL_ID, TRANSACTIONAL_ID, Pattern.LITERAL, (Op.WRITE,))
    position = (Kind.TOPIC, POSITION, Pattern.LITERAL, (Op.READ, Op.WRITE))
    return {
        "apply": [
            _topics(f"{domain}.", Op.CREATE, Op.DESCRIBE, Op.ALTER_CONFIGS),
            _topics("headwater.position.", Op.CREATE, Op.DESCRIBE, Op.ALTER_CONFIGS),
            position,
            transactional,
        ],
        "relay": [
            _topics(f"{domain}.", Op.DESCRIBE_CONFIGS, Op.WRITE),
            position,
            (Kind.TOPIC, POSITION, Pattern.LITERAL, (Op.DESCRIBE_CONFIGS,)),
            transactional,
        ],
    }


@pytest.fixture(scope="module")
def road(secured: SecureStack, tmp_path_factory: pytest.TempPathFactory) -> SecureRoad:
    """The mesh, applied by the principal whose task that is; the service may insert, and no more."""
    roles = (("apply_role", "REPLICATION"), ("relay_role", "REPLICATION"), ("emit_role", ""))
    with secured.superuser() as connection:
        for role, more in roles:
            secured.passwords[role] = secrets.token_hex(12)
            connection.execute(f"CREATE ROLE {role} LOGIN {more} PASSWORD '{secured.passwords[role]}'")
        connection.execute(f"CREATE DATABASE {DATABASE} OWNER apply_role")
    for who in ("apply", "relay"):
        secured.passwords[who] = secrets.token_hex(12)
    made = SecureRoad(secured, tmp_path_factory.mktemp("secure"))
    for who, given in rights(made.domain).items():
        secured.add_principal(who, given)
    made.apply()
    with secured.superuser(DATABASE) as connection:
        connection.execute("GRANT INSERT ON outbox TO emit_role")
    return made


def test_apply_emit_and_relay_need_no_more_than_their_rights(road: SecureRoad) -> None:
    road.emit(1)
    process = road.relay()
    deadline = time.monotonic() + 60
    while road.arrived() < 1 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert road.arrived() == 1 and process.returncode == 0, said
    assert not any(secret in said for secret in road.stack.passwords.values())


KAFKA_REFUSALS = {
    "a wrong password": ({"sasl.password": "not-the-password"}, "HW-R013", "invalid credentials"),
    "another mechanism": ({"sasl.mechanism": "SCRAM-SHA-256"}, "HW-R013", "Unsupported SASL mechanism"),
    "a CA that signed nothing": ({"ssl.ca.location": "OTHER"}, "HW-R013", "certificate verify failed"),
    "a CA that is not there": ({"ssl.ca.location": "/nowhere.pem"}, "HW-R014", "ssl.ca.location"),
    "plain text": ({"security.protocol": "PLAINTEXT"}, "HW-R001", "as a listener for TLS does"),
    "a misspelt setting": ({"sasl.mechanismm": "SCRAM-SHA-512"}, "HW-R014", "sasl.mechanismm"),
    "a value that is none": ({"security.protocol": "SASL_TLS"}, "HW-R014", "security.protocol"),
    "a setting that is ours": ({"acks": "1"}, "HW-R015", "acks"),
}


@pytest.mark.parametrize("name", KAFKA_REFUSALS)
def test_kafka_refuses_and_it_is_said_in_one_line(road: SecureRoad, name: str) -> None:
    change, code, told = KAFKA_REFUSALS[name]
    other = {key: str(road.stack.other_ca) if value == "OTHER" else value for key, value in change.items()}
    started = time.monotonic()
    with pytest.raises(HeadwaterError) as raised:
        KafkaBroker(road.stack.kafka_of("relay", **other)).describe([POSITION])
    _told(road, raised.value, code, told, time.monotonic() - started)


DATABASE_REFUSALS = {
    "a wrong password": ({"password": "not-the-password"}, "password authentication failed"),
    "a CA that signed nothing": ({"sslrootcert": "OTHER"}, "certificate verify failed"),
    "a CA that is not there": ({"sslrootcert": "/nowhere.pem"}, "root certificate file"),
    "plain text": ({"sslmode": "disable"}, "no pg_hba.conf entry"),
    "a name that the certificate does not bear": ({"host": "other.test", "hostaddr": "127.0.0.1"}, "host name"),
    "a role without REPLICATION": ({"user": "emit_role"}, "WAL sender|walsender"),
}


@pytest.mark.parametrize("name", DATABASE_REFUSALS)
def test_postgresql_refuses_and_it_is_said_in_one_line(road: SecureRoad, name: str) -> None:
    change, told = DATABASE_REFUSALS[name]
    other = {key: str(road.stack.other_ca) if value == "OTHER" else value for key, value in change.items()}
    role = other.get("user", "relay_role")
    dsn = road.stack.dsn_of(role, DATABASE, **other)
    started = time.monotonic()
    with pytest.raises(HeadwaterError) as raised:
        PostgresOutbox(dsn, database=DATABASE, table=TABLE, clock=SystemClock()).session()
    _told(road, refused(raised.value), "HW-R016", told, time.monotonic() - started)


RIGHTS = [
    (Kind.TRANSACTIONAL_ID, TRANSACTIONAL_ID, Op.WRITE, "HW-R006", f"{TRANSACTIONAL_ID}.*TRANSACTIONAL_ID_AUTH"),
    (Kind.TOPIC, POSITION, Op.WRITE, "HW-R006", f"{TRANSACTIONAL_ID}.*TOPIC_AUTHORIZATION_FAILED"),
    (Kind.TOPIC, POSITION, Op.READ, "HW-R006", f"{POSITION}.*TOPIC_AUTHORIZATION_FAILED"),
    (Kind.TOPIC, "", Op.WRITE, "HW-O010", "departures.*may not see"),
    (Kind.TOPIC, "", Op.DESCRIBE_CONFIGS, "HW-R006", "departures.*TOPIC_AUTHORIZATION_FAILED"),
]


@pytest.mark.parametrize(("kind", "name", "operation", "code", "told"), RIGHTS)
def test_without_one_of_its_rights_the_relay_stops_and_says_at_what(
    road: SecureRoad, kind: Kind, name: str, operation: Op, code: str, told: str
) -> None:
    pattern = Pattern.LITERAL if name else Pattern.PREFIXED
    right: Right = (kind, name or f"{road.domain}.", pattern, (operation,))
    road.stack.revoke("relay", [right])
    try:
        with pytest.raises(HeadwaterError) as raised:
            road.serve()
    finally:
        road.stack.grant("relay", [right])
    _told(road, raised.value, code, told, 0)


def test_the_command_stops_at_a_wrong_password_and_names_what_and_where(road: SecureRoad) -> None:
    done = road.cli("relay", "relay", KAFKA_PASSWORD="not-the-password")
    assert done.returncode == 2 and "HW-R013" in done.stderr and road.stack.local.kafka_address in done.stderr
    assert "not-the-password" not in done.stdout + done.stderr
    done = road.cli("relay", "relay", DATABASE_PASSWORD="not-the-password")
    assert done.returncode == 2 and "HW-R016" in done.stderr and f"/{DATABASE}" in done.stderr
    assert "not-the-password" not in done.stdout + done.stderr


def test_a_registry_that_nobody_vouches_for_is_not_believed(road: SecureRoad) -> None:
    started = time.monotonic()
    with pytest.raises(HeadwaterError) as raised:
        HttpRegistry(road.stack.registry_url, {"ssl.ca.location": str(road.stack.other_ca)}).versions("any-value")
    _told(road, raised.value, "HW-R019", road.stack.registry_url, time.monotonic() - started)


def _told(road: SecureRoad, error: HeadwaterError, code: str, told: str, seconds: float) -> None:
    assert error.code == code and re.search(told, f"{error.message} {error.detail}"), error.render()
    assert "\n" not in error.message and error.hint and error.retriable == (code == "HW-R001")
    assert not any(secret in error.render() for secret in [*road.stack.passwords.values(), "not-the-password"])
    assert seconds < SAID_WITHIN
