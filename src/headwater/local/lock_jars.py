"""Make `jars.lock`: resolve each group's roots, write down every jar with its sha256. By hand: `make jars-lock`.

Each root is resolved by itself, and of two versions the earlier root's wins: resolved together, one root's managed
versions reach into the other's (log4j's parent would have put kafka-clients 3.9.1 under Kafka 4.3.1).
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from headwater.local.java import LOCK_FILE, jars_folder, repositories

_LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"  # binds slf4j 1.7, which is what Kafka 4.3 brings
ROOTS = {
    "kafka": ("org.apache.kafka:kafka_2.13:4.3.1", _LOGGING),
    "connect": ("org.apache.kafka:connect-runtime:4.3.1", _LOGGING),
    "debezium": ("io.debezium:debezium-connector-postgres:3.7.0.Final",),
    "streams": ("org.apache.kafka:kafka-streams:4.3.1",),
    "avro": ("org.apache.avro:avro:1.12.1",),
    "jdbc": ("org.postgresql:postgresql:42.7.13",),  # for the example service in Java
    "flink": (  # beside the jars of the wheel apache-flink-libraries
        "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2",
        "org.apache.flink:flink-sql-avro-confluent-registry:2.3.0",
    ),
    "flink-gateway": (  # takes jobs over HTTP; the wheel lacks it
        "org.apache.flink:flink-sql-gateway:2.3.0",
        "org.apache.flink:flink-sql-gateway-api:2.3.0",
    ),
    "compiler": ("org.eclipse.jdt:ecj:3.41.0",),
    "iceberg-rest": ("org.apache.iceberg:iceberg-open-api:1.10.1",),  # the project's own REST catalogue, for a test
}


def main() -> None:
    """Resolve all groups and write the lock beside this module."""
    lines = ["# Made by `make jars-lock`; not to be edited. Groups are fetched one by one, as a part needs them."]
    for name, roots in ROOTS.items():
        sys.stderr.write(f"{name}: {', '.join(roots)}\n")
        jars = "".join(f'  "{line}",\n' for line in _resolve(roots))
        named = "".join(f'  "{root}",\n' for root in roots)
        lines.append(f"\n[{name}]\nroots = [\n{named}]\njars = [\n{jars}]")
    LOCK_FILE.write_text("\n".join(lines) + "\n")


def _resolve(roots: tuple[str, ...]) -> list[str]:
    from jgo.maven import MavenContext, PythonResolver

    context = MavenContext(
        repo_cache=jars_folder(), local_repos=[], remote_repos={"repository": repositories()[0]}, timeout=60
    )
    chosen: dict[str, tuple[str, Path]] = {}
    for root in roots:
        dependency = context.create_dependency(root)
        dependency.scope = "compile"
        inputs, transitive = PythonResolver().resolve([dependency])
        for found in [*inputs, *transitive]:
            if found.scope in ("compile", "runtime") and not found.optional:
                assert (found.classifier or "", found.type) == ("", "jar"), str(found)
                identity = f"{found.groupId}:{found.artifactId}"
                chosen.setdefault(identity, (f"{identity}:{found.version}", found.artifact.resolve()))
    return [_line(coordinate, Path(path)) for coordinate, path in sorted(chosen.values())]


def _line(coordinate: str, path: Path) -> str:
    content = path.read_bytes()
    return f"{coordinate} sha256:{hashlib.sha256(content).hexdigest()} {len(content)} bytes"


if __name__ == "__main__":
    main()
