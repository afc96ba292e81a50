"""A topic read to its end: what is committed in it now, and then no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headwater.errors import Unreachable
from headwater.ports.kafka_errors import topic_missing
from headwater.ports.protocol import Broker
from headwater.ports.record import EndOfPartition, Message, TopicPartition

_AT_ONCE = 5_000
_SILENT_POLLS_LIMIT = 60  # of a second each: a broker that restarts needs some


def places_of(broker: Broker, topic: str) -> list[TopicPartition]:
    """The partitions of a topic, in order; raises where it is not there."""
    described = broker.describe([topic])
    if topic not in described:
        raise topic_missing(topic)
    return [TopicPartition(topic, number) for number in range(described[topic].partitions)]


def read_to_end(
    broker: Broker, start: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int] | None = None
) -> Iterator[Message | EndOfPartition]:
    """The committed records from these offsets on, each partition in order and followed by where it ended.

    Up to `ends`, exclusive, where they are given (a partition that is not among them has none); else up to where
    nothing more is committed. Raises `Unreachable` HW-R020 where an end is not reached for a minute: a transaction is
    open, or the broker is away.
    """
    left = {place for place, first in start.items() if ends is None or first < ends.get(place, 0)}
    if not left:
        return
    reader = broker.reader({place: start[place] for place in left})
    silent = 0
    try:
        while left:
            items = reader.poll(_AT_ONCE, 1.0)
            silent = 0 if items else silent + 1
            if silent > _SILENT_POLLS_LIMIT:
                raise _not_reached(next(iter(left)).topic)
            for item in items:
                place = TopicPartition(item.topic, item.partition)
                if place not in left:
                    continue
                beyond = ends is not None and item.offset >= ends[place]
                if isinstance(item, EndOfPartition):
                    if ends is None or beyond:
                        left.discard(place)
                        yield item
                elif beyond:
                    left.discard(place)
                    yield EndOfPartition(place.topic, place.partition, item.offset)
                else:
                    yield item
    finally:
        reader.close()


def _not_reached(topic: str) -> Unreachable:
    return Unreachable(
        f"the end of the topic {topic} was not reached",
        code="HW-R020",
        detail=f"Kafka sent nothing for {_SILENT_POLLS_LIMIT} s; a transaction in the topic may still be open",
        hint="try again; headwater status shows whether Kafka answers; if it stays so, look for a hanging transaction",
    )
