"""A saboteur of P1: a runner that commits its offsets by themselves, before what it has made of them is committed.

Killed between the two it believes that records are reflected which no reader ever sees. It has a failpoint of its own
for it, passed only where the transaction holds records: one of marks alone loses nothing.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from headwater.cli.main import main
from headwater.processing.checkpoint import Checkpoint
from headwater.processing.task import Work

FAILPOINT = "apart.after_offsets"

held: Counter[Checkpoint] = Counter()  # records of the transaction at hand; one thread for each key
outputs = Checkpoint._outputs


def counting(self: Checkpoint, work: Work) -> int:
    """In place of `_outputs`: the same, and counted."""
    records = outputs(self, work)
    held[self] += records
    return records


def apart(self: Checkpoint, offsets: Any, source: Any) -> None:
    """In place of `send_offsets`: the consumer's own commit."""
    from confluent_kafka import TopicPartition

    places = [TopicPartition(place.topic, place.partition, offset) for place, offset in offsets.items()]
    source._consumer.commit(offsets=places, asynchronous=False)
    if held.pop(self, 0):
        self._failpoint(FAILPOINT)


if __name__ == "__main__":
    Checkpoint.send_offsets = apart  # type: ignore[method-assign]
    Checkpoint._outputs = counting  # type: ignore[method-assign]
    sys.argv = ["headwater", "run", *sys.argv[1:]]
    main()
