"""The newest records of a topic, for who wants a look and not the history. Nothing is written, no group is joined."""

from __future__ import annotations

from collections.abc import Mapping

from headwater.ports.protocol import Broker
from headwater.ports.reading import places_of, read_to_end
from headwater.ports.record import Message, TopicPartition


def newest(broker: Broker, topic: str, limit: int) -> list[Message]:
    """The `limit` newest committed records by timestamp; partition after partition, each in order.

    Offsets count more than records, so more is read until there are enough or the topic's beginning is reached.
    """
    places = places_of(broker, topic)
    starts, ends = broker.starts(places), broker.ends(places)
    reach = max(1, limit)
    while True:
        first = {place: max(starts[place], ends[place] - reach) for place in places}
        found = [item for item in read_to_end(broker, first, ends) if isinstance(item, Message)]
        complete = all(first[place] == starts[place] for place in places)
        if complete or _enough(found, first, starts, limit):
            kept = sorted(found, key=lambda message: message.timestamp)[-limit:] if limit else []
            return sorted(kept, key=lambda message: (message.partition, message.offset))
        reach *= 4


def _enough(
    found: list[Message], first: Mapping[TopicPartition, int], starts: Mapping[TopicPartition, int], limit: int
) -> bool:
    """Whether no partition that was cut short could hold one more record among the newest."""
    if not limit or len(found) < limit:
        return not limit
    oldest = sorted(message.timestamp for message in found)[-limit]
    for place, start in first.items():
        own = [message.timestamp for message in found if message.partition == place.partition]
        if start > starts[place] and (not own or own[0] > oldest):
            return False
    return True
