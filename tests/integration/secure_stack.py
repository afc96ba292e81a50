"""Kafka with SASL_SSL, SCRAM-SHA-512 and an authorizer, PostgreSQL with TLS and SCRAM, and a registry over https.

Real servers, by the launcher's own means with other configuration files; certificates are made here. Each principal has
a password of its own and the least rights that `docs/concepts/secure-road.md` lists for it.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import uvicorn
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from headwater.local import kafka, launch, postgres, postgres_home, processes
from headwater.local.java import find_java, jars
from headwater.local.stack import HOST, LocalStack
from headwater.ports.kafka import KafkaBroker
from headwater.ports.schemas_log import SchemasLog
from headwater.schemas.registry_server import RegistryApp
from headwater.schemas.registry_service import RegistryService
from headwater.timeline.clock import SystemClock

Right = tuple[ResourceType, str, ResourcePatternType, Sequence[AclOperation]]
ADMIN = "admin"
_SECURED = """\
listeners=SASL_SSL://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=SASL_SSL://{host}:{port}
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:SSL
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.controller.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:admin;User:CN=broker
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule \
required username="admin" password="{password}";
"""


@dataclass
class SecureStack:
    """The running servers. `kafka_of` and `dsn_of` give what one principal may put into `mesh.yaml`."""

    local: LocalStack
    ca: Path
    other_ca: Path
    passwords: dict[str, str] = field(default_factory=dict)
    registry_url: str = ""
    _admin: AdminClient | None = None

    def kafka_of(self, principal: str, **other: str) -> dict[str, str]:
        return {
            "bootstrap.servers": self.local.kafka_address,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": principal,
            "sasl.password": self.passwords[principal],
            "ssl.ca.location": str(self.ca),
            **other,
        }

    def dsn_of(self, role: str, database: str, **other: str) -> str:
        """`sslmode=verify-full`: the server's certificate must be signed by the CA and name its host."""
        options = {
            "host": HOST, "port": str(self.local.ports.postgres), "dbname": database, "user": role,
            "password": self.passwords[role], "sslmode": "verify-full", "sslrootcert": str(self.ca), **other,
        }  # fmt: skip
        return psycopg.conninfo.make_conninfo("", **options)

    def admin(self) -> AdminClient:
        if self._admin is None:  # kept: an answer that is awaited dies with its client
            self._admin = AdminClient({**self.kafka_of(ADMIN), "log_level": 0})
        return self._admin

    def superuser(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn_of("postgres", database), autocommit=True)

    def add_principal(self, name: str, rights: Sequence[Right]) -> None:
        """A SCRAM user of Kafka, and what it may do."""
        self.passwords.setdefault(name, secrets.token_hex(12))
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        upsert = UserScramCredentialUpsertion(name, info, self.passwords[name].encode())
        for made in self.admin().alter_user_scram_credentials([upsert]).values():
            made.result(10)
        self.grant(name, rights)

    def grant(self, principal: str, rights: Sequence[Right]) -> None:
        for made in self.admin().create_acls(_bindings(principal, rights)).values():
            made.result(10)

    def revoke(self, principal: str, rights: Sequence[Right]) -> None:
        from confluent_kafka.admin import AclBindingFilter

        filters = [
            AclBindingFilter(b.restype, b.name, b.resource_pattern_type, b.principal, b.host, b.operation,
                             b.permission_type)
            for b in _bindings(principal, rights)
        ]  # fmt: skip
        for gone in self.admin().delete_acls(filters).values():
            assert gone.result(10), "there was no such right"


def _bindings(principal: str, rights: Sequence[Right]) -> list[AclBinding]:
    return [
        AclBinding(kind, name, pattern, f"User:{principal}", "*", operation, AclPermissionType.ALLOW)
        for kind, name, pattern, operations in rights
        for operation in operations
    ]


@contextmanager
def running(local: LocalStack) -> Iterator[SecureStack]:
    """Start everything; stopped and removed at the end."""
    local.data_folder.mkdir(parents=True, exist_ok=True)
    (local.data_folder / "secure").mkdir(mode=0o700)
    (local.data_folder / ".headwater-stack").touch()
    certificates = _certificates(local.data_folder / "secure")
    stack = SecureStack(local, certificates["ca"], certificates["other"])
    stack.passwords[ADMIN] = secrets.token_hex(12)
    try:
        _start_kafka(stack, certificates["broker"])
        with pytest.MonkeyPatch.context() as chosen:
            _start_postgres(stack, certificates["server"], chosen)
        with _registry(stack, certificates["server"]) as url:
            stack.registry_url = url
            yield stack
    finally:
        # With a file system that goes with it there is nothing to shut down in order.
        processes.stop_process(local.data_folder, kafka.NAME, asks=((signal.SIGKILL, 10.0),))
        launch.stop_stack(local)


def _start_kafka(stack: SecureStack, keystore: Path) -> None:
    local, java, class_path = stack.local, find_java(), jars("kafka")
    folder = local.kafka_folder
    folder.mkdir(parents=True, mode=0o700)
    local.logs_folder.mkdir(exist_ok=True)
    plain = kafka.properties(local).splitlines()
    replaced = ("listeners=", "advertised.", "listener.security", "inter.broker.listener")
    secured = _SECURED.format(
        host=HOST, port=local.ports.kafka, controller=local.ports.kafka_controller, keystore=keystore, ca=stack.ca,
        password=stack.passwords[ADMIN],
    )  # fmt: skip
    kept = [line for line in plain if not line.startswith(replaced)]
    (folder / "server.properties").write_text("\n".join(kept) + "\n" + secured)
    (folder / "log4j2.properties").write_text(
        "rootLogger.level=WARN\nrootLogger.appenderRef.a.ref=a\nappender.a.type=Console\nappender.a.name=a\n"
        "appender.a.layout.type=PatternLayout\nappender.a.layout.pattern=%d %p %m (%c)%n\n"
    )
    tool = [
        "kafka.tools.StorageTool",
        "format",
        "-t",
        "AAAAAAAAAAAAAAAAAAAAAA",
        "-c",
        str(folder / "server.properties"),
    ]
    user = f"SCRAM-SHA-512=[name={ADMIN},password={stack.passwords[ADMIN]}]"
    done = subprocess.run(
        [*kafka.arguments(java, class_path, local), *tool, "--add-scram", user],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kafka.start(local, java, class_path)
    deadline = time.monotonic() + 60
    while True:
        try:
            stack.admin().list_topics(timeout=2)
            return
        except KafkaException:
            assert time.monotonic() < deadline, (local.logs_folder / "kafka.log").read_text()[-2000:]


def has_tls_postgres() -> bool:
    """Whether this machine has a PostgreSQL that speaks TLS; that of the wheel is built without."""
    return _tls_installation() is not None


def _tls_installation() -> postgres_home.Installation | None:
    found = (one for one in postgres_home.find_postgres() if b"libssl" in (one.binaries / "postgres").read_bytes())
    return next(found, None)


def _start_postgres(stack: SecureStack, pair: Path, chosen: pytest.MonkeyPatch) -> None:
    local = stack.local
    installation = _tls_installation()
    assert installation is not None, "there is no PostgreSQL with TLS"
    chosen.setattr(postgres_home, "find_postgres", lambda: [installation])
    postgres.start(local)
    launch.wait_until_ready(local, postgres.NAME)
    stack.passwords["postgres"] = local.password_file.read_text().strip()
    home = local.postgres_folder.resolve()
    owner = (home / "PG_VERSION").stat()
    with psycopg.connect(local.postgres_address(password=stack.passwords["postgres"]), autocommit=True) as connection:
        target = home / "server.pem"
        target.touch(mode=0o600)
        target.write_text(pair.read_text())
        os.chown(target, owner.st_uid, owner.st_gid)
        for name in ("ssl_cert_file", "ssl_key_file"):
            connection.execute(f"ALTER SYSTEM SET {name} = 'server.pem'")
        connection.execute("ALTER SYSTEM SET ssl = on")
        (home / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        connection.execute("SELECT pg_reload_conf()")
    deadline = time.monotonic() + 20
    while True:
        try:
            with stack.superuser():
                return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@contextmanager
def _registry(stack: SecureStack, pair: Path) -> Iterator[str]:
    log = SchemasLog(KafkaBroker(stack.kafka_of(ADMIN)), SystemClock())
    log.prepare()
    log.claim()
    service = RegistryService(log)
    service.catch_up()
    config = uvicorn.Config(
        RegistryApp(service), host=HOST, port=stack.local.ports.registry, ssl_certfile=str(pair), log_level="error",
        lifespan="on",
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    try:
        yield f"https://{HOST}:{stack.local.ports.registry}"
    finally:
        server.should_exit = True
        thread.join(60)
        log.close()


def _certificates(folder: Path) -> Mapping[str, Path]:
    """PEM files: the CA, another CA that signed nothing, and key with certificate of broker and database."""
    key, authority = _authority("ca")
    _, stranger = _authority("another ca")
    made = {"ca": folder / "ca.pem", "other": folder / "other-ca.pem"}
    made["ca"].write_bytes(_pem(authority))
    made["other"].write_bytes(_pem(stranger))
    for name in ("broker", "server"):
        own = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
        signed = _builder(name, authority.subject, own).add_extension(x509.SubjectAlternativeName(names), False)
        made[name] = folder / f"{name}.pem"
        made[name].touch(mode=0o600)
        # Kafka wants the key in PKCS#8, then the certificate, in one file; the others do not mind.
        made[name].write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + _pem(signed.sign(key, hashes.SHA256()))
        )
    return made


def _authority(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(name, own, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    return key, builder.sign(key, hashes.SHA256())


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.fromtimestamp(time.time(), datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
