"""Faust's side of the intake without Faust: a consumer over the memory broker that does what Faust was seen to do.

Messages are under way between the fetch and the stage. They may be handed over after a rebalance, twice, or never; the
consumer may be set to offsets of Faust's own at any time, and a member may go on although its partitions are gone.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from headwater.ports.protocol import Broker, Reader
from headwater.ports.record import EndOfPartition, Message, TopicPartition
from headwater.processing.runners.faust_intake import Intake

FETCH = 20
POLLS = 3  # a memory broker's reader tells an end at once


@dataclass
class FaustInMemory:
    """One application's consumer and agents. `step` does something, by chance."""

    intake: Intake
    broker: Broker
    chance: random.Random
    loses: bool = True
    at: dict[TopicPartition, int] = field(default_factory=dict)
    flying: dict[str, deque[tuple[int, Message]]] = field(default_factory=dict)

    def share(self, places: Iterable[TopicPartition]) -> None:
        """A rebalance gave these; what is under way stays so."""
        self.intake.assigned(())
        self.at = {place: self.chance.randrange(3) for place in places}
        self.intake.assigned(sorted(self.at, key=lambda place: (place.topic, place.partition)))

    def step(self) -> None:
        """Fetch, hand over, or misbehave."""
        chance = self.chance.random()
        if chance < 0.45:
            self.fetch()
        elif chance < 0.9:
            self.hand_over()
        elif chance < 0.94:
            self.rewind()
        elif self.loses and chance < 0.96:
            for queue in self.flying.values():
                if queue:
                    del queue[self.chance.randrange(len(queue))]
        elif chance < 0.98:
            for queue in self.flying.values():  # handed over twice
                queue.extend(list(queue)[: self.chance.randrange(4)])

    def rewind(self) -> None:
        """To offsets of its own, wherever they are."""
        self.intake.rewinding()
        for place in self.at:
            self.at[place] = self.chance.randrange(40)
        self.intake.rewound()

    def fetch(self) -> None:
        """As the consumer's thread does: set back what is due, fetch what is open, tell what came."""
        for place, offset in self.intake.due().items():
            self.at[place] = offset
            self.intake.sought(place, offset)
        for place in self.at:
            if self.intake.open(place):
                messages, position = self._read(place)
                number = self.intake.fetched(place, [message.offset for message in messages], position)
                self.at[place] = position
                self.flying.setdefault(place.topic, deque()).extend((number, message) for message in messages)

    def hand_over(self) -> None:
        """Some of what is under way, topic by topic."""
        for queue in self.flying.values():
            count = self.chance.randrange(len(queue) + 1)
            if count:
                self.intake.offer([queue.popleft() for _ in range(count)])

    def _read(self, place: TopicPartition) -> tuple[Sequence[Message], int]:
        reader: Reader = self.broker.reader({place: self.at[place]})
        messages: list[Message] = []
        position = self.at[place]
        for item in reader.poll(FETCH, 0.0):
            if isinstance(item, EndOfPartition):
                position = max(position, item.offset)
            else:
                messages.append(item)
                position = item.offset + 1
        reader.close()
        return messages, position
