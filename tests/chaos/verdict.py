"""What a chaos program answers: counts of what must not be, residue, and whether all of it is as it should be."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import psycopg
from confluent_kafka import libversion
from tests.chaos import checkers, service, topics
from tests.chaos.checkers import BAD, Entry, Place, Seen
from tests.chaos.scene import Scene
from tests.chaos.service import PARTITIONS
from tests.chaos.topics import Raw
from tests.chaos.watch import Sight, Watch

CAP = 10_000  # rows of a Kafka transaction: what the relay's limit is by default
WAL_BYTES_LIMIT = 256 * 1024 * 1024


class Evidence:
    """Everything that is committed, read twice with a closed log between, and the ledger."""

    def __init__(self, scene: Scene, earlier: dict[Place, bytes] | None = None) -> None:
        kafka = scene.stack.kafka_address
        places = topics.places_of(scene.topics, PARTITIONS)
        aside = topics.places_of(scene.asides, PARTITIONS)
        topics.wait_until_closed(kafka, [*places, *aside])
        schemas = dict(zip(scene.topics, map(service.schema, scene.products), strict=True))
        self.seen: list[Seen] = checkers.decode(topics.read(kafka, places), schemas)
        self.aside = _aside(scene)
        self.ledger: list[Entry] = service.ledger(scene.dsn)
        self.never_committed = max(
            0, service.attempted(scene.dsn) - sum(entry.outcome == "published" for entry in self.ledger)
        )
        again = early_reading(scene)
        self.counts = checkers.judge(self.seen, self.aside, self.ledger)
        missing = len(self.seen) - len(again)
        self.counts["unstable_offsets"] = (
            abs(missing) + checkers.unstable(self.seen, again) + checkers.unstable(self.seen, earlier or {})
        )


def early_reading(scene: Scene) -> dict[Place, bytes]:
    """What a reader sees now: at these offsets nobody may ever see anything else."""
    raw = topics.read(scene.stack.kafka_address, topics.places_of(scene.topics, PARTITIONS))
    return {(one.topic, one.partition, one.offset): one.digest() for one in raw}


def rows_there(scene: Scene) -> int:
    """How many rows are published or in quarantine now."""
    return len(early_reading(scene)) + len(_aside(scene))


def residue(scene: Scene, evidence: Evidence) -> dict[str, Any]:
    """C11: what is left behind when all relays are gone."""
    with psycopg.connect(scene.dsn) as connection:
        slots: Sequence[Any] = connection.execute(
            "SELECT slot_name, active, coalesce(pg_current_wal_lsn() - restart_lsn, 0) FROM pg_replication_slots "
            "WHERE database = current_database()"
        ).fetchall()
        locks = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone()
    expected = sum(entry.outcome == "quarantined" for entry in evidence.ledger)
    return {
        "slots_orphaned": sum(name != scene.slot or active for name, active, _ in slots),
        "leases_held": int(locks[0]) if locks else 0,
        "transactions_open": int(scene.transaction_open()),
        "wal_retained_mb": round(max((int(kept) for *_, kept in slots), default=0) / 1e6, 1),
        "quarantine_unexpected": abs(evidence.counts["quarantined"] - expected),
    }


def answer(
    program: str, scene: Scene, evidence: Evidence, *, trials: int, watch: Watch | None = None, cap: int = CAP,
    asked: Mapping[str, bool], **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """The result as `make chaos` writes it; `asked` is what the program itself asks for besides, by name."""
    counts = dict(evidence.counts)
    if watch is not None:
        counts["torn"] = Sight(watch, evidence.seen).torn(evidence.seen, evidence.ledger, cap)
    left = residue(scene, evidence)
    against = [name for name in BAD if counts.get(name)]
    against += [name for name, value in left.items() if name != "wal_retained_mb" and value]
    against += ["wal_retained_mb"] if left["wal_retained_mb"] * 1e6 > WAL_BYTES_LIMIT else []
    against += [name for name, right in asked.items() if not right]
    return {
        "id": program,
        "trials": trials,
        "seed": scene.seed,
        **counts,
        "never_committed_rows": evidence.never_committed,
        "upper_bound_95_percent": round(3 / trials, 4),
        "residue": left,
        **more,
        "versions": versions(scene),
        "against": against,
        **({"log": scene.said()} if against else {}),
        "passed": not against and counts["rows"] > 0,
    }


def told(result: Mapping[str, Any]) -> str:
    """A result for a test that fails by it: what was found against it first, and nothing left out."""
    return json.dumps({"against": result.get("against"), **result}, indent=1, default=str)


def versions(scene: Scene) -> dict[str, str]:
    """Of what took part."""
    with psycopg.connect(scene.dsn) as connection:
        server = connection.info.server_version
    return {
        "python": platform.python_version(),
        "confluent-kafka": f"{version('confluent-kafka')} (librdkafka {libversion()[0]})",
        "postgresql": f"{server // 10_000}.{server % 10_000}",
    }


def _aside(scene: Scene) -> list[Raw]:
    kafka = scene.stack.kafka_address
    return list(topics.read(kafka, _with_partitions(kafka, scene.asides)))


def _with_partitions(kafka: str, names: Sequence[str]) -> list[Any]:
    described = topics.admin(kafka).list_topics(timeout=30).topics
    return [place for name in names for place in topics.places_of([name], len(described[name].partitions))]
