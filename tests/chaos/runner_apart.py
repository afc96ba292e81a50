"""A saboteur of P1: a runner that commits its offsets by themselves, before what it has made of them is committed.

Killed between the two it believes that records are reflected which no reader ever sees.
"""

from __future__ import annotations

import sys
from typing import Any

from headwater.cli.main import main
from headwater.processing.checkpoint import Checkpoint


def apart(self: Any, offsets: Any, source: Any) -> None:
    """In place of `send_offsets`: the consumer's own commit."""
    from confluent_kafka import TopicPartition

    places = [TopicPartition(place.topic, place.partition, offset) for place, offset in offsets.items()]
    source._consumer.commit(offsets=places, asynchronous=False)


if __name__ == "__main__":
    Checkpoint.send_offsets = apart  # type: ignore[method-assign]
    sys.argv = ["headwater", "run", *sys.argv[1:]]
    main()
