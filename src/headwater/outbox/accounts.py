"""What topics say of a source's rows, as entries of an account: a row's id, where it is, one more or one less there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from headwater.mesh.products import ResolvedProduct
from headwater.naming import quarantine_topic
from headwater.ports.protocol import Broker
from headwater.ports.quarantine_log import Entry, Resolution, committed, read_letter
from headwater.ports.record import Message, TopicPartition

Place = Literal["published", "repaired", "open", "parked", "discarded", "commands", "waiting"]
PLACES: tuple[Place, ...] = ("published", "repaired", "open", "parked", "discarded", "commands", "waiting")


class Line(NamedTuple):
    """One row more (or less) at a place; `where` names the record, `moment` is its time in microseconds."""

    row_id: str
    place: Place
    change: int
    where: str
    moment: int


def ends_of(products: Sequence[ResolvedProduct], broker: Broker) -> dict[str, Mapping[TopicPartition, int]]:
    """Where the products' topics end by now: what is reconciled is read up to there."""
    topics = [topic for product in products for topic in _topics(product)]
    described = broker.describe(topics)
    places = {
        topic: [TopicPartition(topic, number) for number in range(described[topic].partitions)]
        for topic in topics
        if topic in described
    }
    return {topic: dict(broker.ends(partitions)) for topic, partitions in places.items()}


def lines(
    products: Sequence[ResolvedProduct], broker: Broker, ends: Mapping[str, Mapping[TopicPartition, int]]
) -> Iterator[Line]:
    """All lines of a source's products, up to these ends."""
    for product in products:
        topic, quarantine = _topics(product)
        for message in committed(broker, topic, ends=ends.get(topic, {})):
            row_id = dict(message.headers).get("id", b"").decode(errors="replace")
            yield Line(row_id, "published", 1, _where(message), message.timestamp * 1_000)
        for message in committed(broker, quarantine, ends=ends.get(quarantine, {})):
            yield from _quarantined(message)


def _topics(product: ResolvedProduct) -> tuple[str, str]:
    return product.output.topic, quarantine_topic(product.name, product.major)


def _quarantined(message: Message) -> Iterator[Line]:
    letter, where, moment = read_letter(message), _where(message), message.timestamp * 1_000
    if isinstance(letter, Entry):
        if letter.state in ("open", "parked", "discarded"):
            yield Line(letter.id, letter.state, 1, where, moment)
        return
    command = letter.facts.get("command")
    if command:
        yield Line(command, "commands", 1, where, moment)
    for place, count in _moves(letter):
        yield Line(letter.id, place, count, where, moment)


def _moves(letter: Resolution) -> list[tuple[Place, int]]:
    """From where to where: what was held has a number in its key's queue, anything else was open."""
    before: Place = "parked" if "sequence" in letter.facts else "open"
    match letter.outcome:
        case "repaired" | "discarded":
            return [(before, -1), (letter.outcome, 1)]
        case "released":
            return [(before, -1)]  # its record is in the product's topic
        case "refused":
            return [("parked", -1), ("open", 1)]
        case _:
            return []


def _where(message: Message) -> str:
    return f"{message.topic} [{message.partition}] {message.offset}"
