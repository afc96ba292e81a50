"""What a rekey topic has handed over is deleted: what the stage that reads it has committed, nobody reads again.

A rekey topic is kept for ever otherwise, for time alone would lose rows that were not read yet. A reset makes it anew
from the product's inputs, and a restart reads from the group's offsets; neither needs what lies before them.
"""

from __future__ import annotations

from collections.abc import Mapping

from headwater.errors import HeadwaterError
from headwater.hooks import Hooks
from headwater.naming import ProductName
from headwater.ports.protocol import Broker
from headwater.ports.record import TopicPartition
from headwater.processing.steps import Stage
from headwater.timeline.clock import Clock

EVERY_MICROSECONDS = 60_000_000
LEAST = 100  # offsets of a partition that are worth a request: messages of up to 250 kB each


class HandedOver:
    """Deletes for one stage. The thread of the stage uses it, after a commit."""

    def __init__(self, product: ProductName, stage: Stage, broker: Broker, *, clock: Clock, hooks: Hooks) -> None:
        self._names = (str(product), stage.name)
        self._topics = {stage_input.topic for stage_input in stage.inputs if stage_input.product is None}
        self._broker = broker
        self._clock = clock
        self._hooks = hooks
        self._next = clock.monotonic() + EVERY_MICROSECONDS

    def step(self, committed: Mapping[TopicPartition, int]) -> None:
        """Delete, if it is time, what lies before these offsets, which a transaction has committed. What cannot be
        deleted now is deleted later: nothing waits for it.
        """
        now = self._clock.monotonic()
        if not self._topics or now < self._next:
            return
        self._next = now + EVERY_MICROSECONDS
        places = {place: offset for place, offset in committed.items() if place.topic in self._topics}
        try:
            starts = self._broker.starts(list(places))
            due = {place: offset for place, offset in places.items() if offset - starts[place] >= LEAST}
            if not due:
                return
            self._broker.delete_before(due)
        except HeadwaterError:
            return
        product, stage = self._names
        offsets = sum(offset - starts[place] for place, offset in due.items())
        self._hooks.announce("stage.cleared", product=product, stage=stage, offsets=offsets)
