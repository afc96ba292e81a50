"""Reports whose content is ours to say, late, repeated and corrected ones, in an order that we choose; their checks."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import psycopg
from tests.chaos import topics, verdict
from tests.chaos.downstream import Downstream
from tests.chaos.history import Row
from tests.chaos.service import PARTITIONS

HOUR = 3_600_000_000
INSERT = """INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, event_id, kind, revision)
  VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"""


class Report(NamedTuple):
    """What a service says of an event, once."""

    customer: str
    event_id: str
    kind: str
    revision: int
    number: int
    occurred_at: int


def insert(connection: psycopg.Connection[Any], product: str, report: Report) -> str:
    """A row of the outbox; its id."""
    row_id = str(uuid.uuid4())
    payload = {"customer": report.customer, "number": report.number, "occurred_at": report.occurred_at}
    values = (report.customer, f"{product}.Order", json.dumps(payload), report.event_id, report.kind, report.revision)
    connection.execute(INSERT, (row_id, product, *values), prepare=True)
    return row_id


def counted(made: Downstream, orders: Sequence[Row], given: Sequence[Report], ids: Sequence[str]) -> dict[str, int]:
    """Lost, doubled and invented rows; a quarantined one is lost here, for all of these are good."""
    raw = topics.read(made.stack.kafka_address, topics.places_of([made.topics[0]], PARTITIONS))
    seen = Counter(one.headers["id"].decode() for one in raw)
    expected = Counter(given)
    told = Counter(report_of(row) for row in orders)
    return {
        "rows": len(given),
        "lost": sum(row_id not in seen for row_id in ids),
        "duplicates": sum(count - 1 for count in seen.values()),
        "phantom": len(seen.keys() - set(ids)),
        "wrong": sum((told - expected).values()) + sum((expected - told).values()),
        "stamp_breaks": stamp_breaks(orders),
    }


def stamp_breaks(orders: Iterable[Row]) -> int:
    """Records at which recorded time goes back in a partition, or is not the record's timestamp."""
    last: dict[int, int] = {}
    breaks = 0
    for row in orders:
        at = row.record["recorded_at"]
        breaks += at < last.get(row.partition, 0) or row.timestamp != at // 1_000
        last[row.partition] = at
    return breaks


def known(reports: Iterable[Report]) -> dict[int, tuple[int, int]]:
    """What is true of one customer, by the hour, when these are all that is known: how many orders, and their sum."""
    newest: dict[str, Report] = {}
    for report in reports:
        if report.event_id not in newest or report.revision > newest[report.event_id].revision:
            newest[report.event_id] = report
    hours: dict[int, tuple[int, int]] = {}
    for report in newest.values():
        if report.kind != "retract":
            start = report.occurred_at // HOUR * HOUR
            orders, numbers = hours.get(start, (0, 0))
            hours[start] = (orders + 1, numbers + report.number)
    return hours


def told(facts: Iterable[Row], until: int) -> dict[int, tuple[int, int]]:
    """The same as a reader of the derived product answers it, as known at an instant."""
    hours: dict[int, tuple[int, int]] = {}
    for row in facts:
        one = row.record
        if one["recorded_at"] > until:
            continue
        if one["kind"] == "retract":
            hours.pop(one["valid_from"], None)
        else:
            hours[one["valid_from"]] = (one["orders"], one["numbers"])
    return hours


def answer(program: str, made: Downstream, counts: dict[str, int], *, trials: int, **more: Any) -> dict[str, Any]:
    """The result, as `make chaos` writes it; `against` are the counts that are not zero, and what is asked besides."""
    asked = more.pop("asked")
    bad = ("lost", "duplicates", "phantom", "order_breaks", "stamp_breaks", "wrong", "mismatches")
    against = [name for name in bad if counts.get(name)] + [name for name, right in asked.items() if not right]
    return {
        "id": program,
        "trials": trials,
        "seed": made.seed,
        **counts,
        "upper_bound_95_percent": round(3 / trials, 4),
        **more,
        "versions": verdict.versions(made),
        "against": against,
        "passed": not against and counts["rows"] > 0,
    }


def report_of(row: Row) -> Report:
    """What a record of the topic says."""
    return Report(*(row.record[name] for name in Report._fields))
