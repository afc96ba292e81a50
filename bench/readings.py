"""Reads the records of the mesh's derived products, and of the rivals beside them, back for the judges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from confluent_kafka import Message

from bench.history import TAKEN_BACK, Said, Values
from bench.oracle import Version
from bench.systems.avro_reader import AvroReader

FRAME_BYTES = 5
RETRACT = 2


def totals(messages: Iterable[Message]) -> Iterator[Version]:
    """Headwater's `shop.totals`."""
    for message in messages:
        reader = AvroReader(message.value() or b"", FRAME_BYTES)
        customer = reader.text()
        reader.long()  # valid_from
        if reader.long():  # the branch of valid_to; 0 is null
            raise ValueError("a total does not hold for all time")
        orders, amount_cents, recorded_at = reader.long(), reader.long(), reader.long()
        kind, revision = reader.long(), reader.long()
        if kind != (0 if revision == 1 else 1) or not reader.ended:
            raise ValueError("a total is not an assert first and a correct later, or has bytes too many")
        yield Version(customer, orders, amount_cents, recorded_at, revision)


def amended_totals(messages: Iterable[Message]) -> Iterator[Said]:
    """Headwater's `shop.amended_totals`."""
    for message in messages:
        customer, _, values, recorded_at, revision = _facts(message)
        yield Said(customer, values, recorded_at, revision)


def hours(messages: Iterable[Message]) -> Iterator[Said]:
    """Headwater's `shop.hours`."""
    for message in messages:
        customer, valid_from, values, recorded_at, revision = _facts(message)
        yield Said(f"{customer}@{valid_from}", values, recorded_at, revision)


def enriched(messages: Iterable[Message]) -> Iterator[Said]:
    """Headwater's `shop.enriched`."""
    for message in messages:
        reader = AvroReader(message.value() or b"", FRAME_BYTES)
        order, values = reader.text(), _enriched(reader)
        recorded_at, _, revision = reader.long(), reader.long(), reader.long()
        yield Said(order, values, recorded_at, revision)


def streams_totals(messages: Iterable[Message]) -> Iterator[Version]:
    """Kafka Streams' Totals."""
    for message in messages:
        reader = AvroReader(message.value() or b"", FRAME_BYTES)
        yield Version(reader.text(), reader.long(), reader.long(), reader.long())


def streams_hours(messages: Iterable[Message]) -> Iterator[Said]:
    """Kafka Streams' Hours."""
    for message in messages:
        reader = AvroReader(message.value() or b"", FRAME_BYTES)
        customer, start = reader.text(), reader.long()
        yield Said(f"{customer}@{start}", (reader.long(), reader.long()))


def streams_enriched(messages: Iterable[Message]) -> Iterator[Said]:
    """Kafka Streams' Enriched."""
    for message in messages:
        reader = AvroReader(message.value() or b"", FRAME_BYTES)
        yield Said(reader.text(), _enriched(reader))


def _enriched(reader: AvroReader) -> Values:
    customer, occurred_at, amount_cents = reader.text(), reader.long(), reader.long()
    return customer, occurred_at, amount_cents, reader.text() if reader.long() else None


def _facts(message: Message) -> tuple[str, int, Values, int, int]:
    """Key, start, orders and amount, recorded time and revision."""
    reader = AvroReader(message.value() or b"", FRAME_BYTES)
    customer, valid_from = reader.text(), reader.long()
    if reader.long():
        reader.long()  # valid_to
    orders, amount_cents, recorded_at = reader.long(), reader.long(), reader.long()
    kind, revision = reader.long(), reader.long()
    if (revision == 1 and kind != 0) or not reader.ended:
        raise ValueError("a first version is no assert, or a record has bytes too many")
    values: Values = TAKEN_BACK if kind == RETRACT else (orders, amount_cents)
    return customer, valid_from, values, recorded_at, revision
