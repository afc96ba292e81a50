"""Which rows of a source are on the broker: the ids that stand in its topics and quarantines.

A record's id is the header `id`; one that repairs a row in quarantine bears that row's too, as `replay.id`, and what a
command did bears the command's, as `quarantine.command`. What is in quarantine is accounted for, whatever became of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headwater import naming
from headwater.mesh.products import ResolvedProduct
from headwater.ports.protocol import Broker
from headwater.ports.reading import read_to_end
from headwater.ports.record import EndOfPartition, Message, TopicPartition

_AT_ONCE = 10_000


def accounted_ids(products: Sequence[ResolvedProduct], broker: Broker, since: int | None) -> Iterator[tuple[str, int]]:
    """Row id and recorded time (microseconds) of the records of these products, recorded since then at least.

    Topics are read from the first record that may be recorded since: recorded time never decreases along a partition,
    so a search by halves finds it. Quarantines are read whole.
    """
    for product in products:
        yield from _ids(broker, product.output.topic, None if since is None else since // 1_000)
        yield from _ids(broker, naming.quarantine_topic(product.name, product.major), None)


def whole(products: Sequence[ResolvedProduct], broker: Broker) -> bool:
    """Whether the topics still hold everything that was ever published to them."""
    for product in products:
        places = places_of(broker, product.output.topic)
        if any(broker.starts(places).values()):
            return False
    return True


def places_of(broker: Broker, topic: str) -> list[TopicPartition]:
    """A topic's partitions."""
    found = broker.describe([topic])
    return [TopicPartition(topic, number) for number in range(found[topic].partitions if topic in found else 0)]


def _ids(broker: Broker, topic: str, since_ms: int | None) -> Iterator[tuple[str, int]]:
    places = places_of(broker, topic)
    if not places:
        return
    starts, ends = broker.starts(places), broker.ends(places)
    if since_ms is not None:
        starts = {place: _first(broker, place, starts[place], ends[place], since_ms) for place in places}
    for item in read_to_end(broker, starts, ends):
        if isinstance(item, Message):
            for name, value in item.headers:
                if name in ("id", "replay.id", "quarantine.command"):
                    yield value.decode(errors="replace"), item.timestamp * 1_000


def _first(broker: Broker, place: TopicPartition, low: int, high: int, since_ms: int) -> int:
    """An offset before which no record has this timestamp or a later one; the last such, or a little before."""
    while high - low > _AT_ONCE:
        middle = (low + high) // 2
        found = _at(broker, place, middle)
        if found is None or found.timestamp >= since_ms:
            high = middle
        else:
            low = found.offset + 1
    return low


def _at(broker: Broker, place: TopicPartition, offset: int) -> Message | None:
    """The first record at or behind an offset; None where there is none."""
    for item in read_to_end(broker, {place: offset}):
        return None if isinstance(item, EndOfPartition) else item
    return None
