"""Compare the derived products with a plain recomputation: `python -m examples.verify --rows 20000` after a demo.

Reads each product's topic from its beginning, keeps the newest record of each identity, and compares; with `--lake` its
table in the lake, by an engine that knows nothing of Headwater. Prints what was compared; exit code 1, with the first
differences, where something differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from examples import recomputation
from examples.services.reports import SEED_DEFAULT

from headwater.mesh.load import load_mesh
from headwater.mesh.products import ResolvedProduct
from headwater.naming import lake_table
from headwater.ports.kafka import KafkaBroker
from headwater.ports.protocol import Broker
from headwater.ports.record import EndOfPartition, TopicPartition
from headwater.schemas.codec import FRAME_LENGTH, RowCodec
from headwater.settings import environment_of, load_settings

Record = dict[str, Any]
Found = Mapping[Any, tuple[Any, ...]]
SHOWN_LIMIT = 10
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def main() -> int:
    """Read the options, compare, tell."""
    parser = argparse.ArgumentParser(description="Compare the derived products with a plain recomputation.")
    parser.add_argument("--rows", default="20000", help="how many flights were replayed, or all")
    parser.add_argument("--seed", type=int, default=SEED_DEFAULT, help="the seed of the replay")
    parser.add_argument("--lake", action="store_true", help="read the tables of the lake, instead of the topics")
    options = parser.parse_args()
    rows = None if options.rows == "all" else int(options.rows)
    settings = load_settings()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    broker = KafkaBroker(environment.kafka)
    wrong = 0
    for name, compare in COMPARISONS.items():
        product = mesh.product(name)
        read = newest_of_lake(environment.lake, product) if options.lake else newest(broker, product)
        found, expected = compare(read, rows, options.seed)
        differences = differing(found, expected)
        verdict = "equal" if not differences else f"{len(differences):,} DIFFER"
        print(f"{name}: {len(expected):,} recomputed, {len(found):,} found, {verdict}", flush=True)
        for line in differences[:SHOWN_LIMIT]:
            print(f"  {line}")
        wrong += len(differences)
    broker.close()
    return 1 if wrong else 0


def newest(broker: Broker, product: ResolvedProduct) -> list[Record]:
    """The newest record of each identity that is not taken back."""
    identity = identity_of(product)
    last: dict[Any, Record] = {}
    for record in records(broker, product):
        last[identity(record)] = record
    return [record for record in last.values() if record["kind"] != "retract"]


def newest_of_lake(settings: Mapping[str, str], product: ResolvedProduct) -> list[Record]:
    """The same out of the product's table: Headwater says its name alone."""
    from examples import in_the_lake  # with libraries that who reads topics does not need

    output = product.output
    identity = ["event_id"] if output.shape == "event" else [*output.output.key, "valid_from", "valid_to"]
    return in_the_lake.newest(settings, lake_table(product.name, product.major), identity)


def records(broker: Broker, product: ResolvedProduct) -> Iterator[Record]:
    """Every record of a product's topic, partition by partition in order."""
    topic = product.output.topic
    decode = RowCodec(product.output.schema).decode
    partitions = [TopicPartition(topic, p) for p in range(broker.describe([topic])[topic].partitions)]
    reader = broker.reader(broker.starts(partitions))
    left = set(range(len(partitions)))
    while left:
        for message in reader.poll(5_000, 1.0):
            if isinstance(message, EndOfPartition):
                left.discard(message.partition)
            elif message.value is not None:
                yield decode(message.value, FRAME_LENGTH)
    reader.close()


def identity_of(product: ResolvedProduct) -> Callable[[Record], Any]:
    """What is the same in every version of a record."""
    if product.output.shape == "event":
        return lambda record: record["event_id"]
    key = product.output.output.key
    return lambda record: (*(record[field] for field in key), record["valid_from"], record["valid_to"])


def differing(found: Found, expected: Found) -> list[str]:
    """What is not the same, in words."""
    return [
        f"{key}: found {found.get(key)}, recomputed {expected.get(key)}"
        for key in sorted({*found, *expected}, key=str)
        if found.get(key) != expected.get(key)
    ]


def punctuality(newest: list[Record], rows: int | None, seed: int) -> tuple[Found, Found]:
    """Departures, delay and worst by airport and hour."""
    found = {
        (record["origin"], instant(record["valid_from"])): (
            record["departures"],
            record["delay_minutes"],
            record["worst_delay_minutes"],
        )
        for record in newest
    }
    return found, recomputation.hourly_punctuality(rows, seed)


def performance(newest: list[Record], rows: int | None, seed: int) -> tuple[Found, Found]:
    """Arrivals, late ones, delay and worst by route and day."""
    found = {
        (record["origin"], record["dest"], instant(record["valid_from"])): (
            record["arrivals"],
            record["late_arrivals"],
            record["delay_minutes"],
            record["worst_delay_minutes"],
        )
        for record in newest
    }
    return found, recomputation.daily_performance(rows, seed)


def features(newest: list[Record], rows: int | None, seed: int) -> tuple[Found, Found]:
    """Instant, delay, visibility and seats by flight."""
    found = {
        record["flight_id"]: (
            instant(record["occurred_at"]),
            record["delay_minutes"],
            None if record["visibility_miles"] is None else str(record["visibility_miles"]),
            record["aircraft_seats"],
        )
        for record in newest
    }
    return found, recomputation.delay_features(rows, seed)


COMPARISONS: Mapping[str, Callable[[list[Record], int | None, int], tuple[Found, Found]]] = {
    "airports.hourly_punctuality": punctuality,
    "routes.daily_performance": performance,
    "planning.delay_features": features,
}


def instant(microseconds: int) -> datetime:
    """Microseconds as a datetime."""
    return EPOCH + timedelta(microseconds=microseconds)


if __name__ == "__main__":
    sys.exit(main())
