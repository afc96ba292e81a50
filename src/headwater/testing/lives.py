"""A relay over fakes, one life after the other, and what it has published by then."""

from __future__ import annotations

from typing import Protocol

from headwater.hooks import FailpointReached
from headwater.outbox.relay import Relay
from headwater.ports.protocol import Broker
from headwater.ports.reading import read_to_end
from headwater.ports.record import Message, TopicPartition


class Severed(Protocol):
    """A fake store, whose open sessions can be cut as a crash cuts them."""

    def sever(self) -> None:
        """Cut them."""


def live(relay: Relay, store: Severed, turns: int) -> None:
    """One life of a relay: so many turns of its loop, or until its failpoint raises, at which it is cut off."""
    left = [turns]

    def stopping() -> bool:
        left[0] -= 1
        return left[0] < 0

    try:
        relay.serve(stopping)
    except FailpointReached:
        store.sever()


def messages_of(broker: Broker, topic: str) -> list[Message]:
    """The committed records of a topic, partition after partition, each in order."""
    count = broker.describe([topic])[topic].partitions
    start = {TopicPartition(topic, number): 0 for number in range(count)}
    found = [item for item in read_to_end(broker, start) if isinstance(item, Message)]
    return sorted(found, key=lambda message: (message.partition, message.offset))
