"""A saboteur of P4: a runner that restores its state up to the last stable offset, as a common reader would."""

from __future__ import annotations

import sys
from typing import Any

from confluent_kafka import IsolationLevel, TopicPartition
from tests.chaos import topics

from headwater.cli.main import main
from headwater.processing import restoring

_made = restoring.Restore.__init__


class Bounded:
    """A broker whose ends are the last stable ones."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def ends(self, places: Any) -> Any:
        wanted = [TopicPartition(place.topic, place.partition) for place in places]
        stable = topics.ends(self._broker._bootstrap, wanted, IsolationLevel.READ_COMMITTED)
        return {place: stable[place.topic, place.partition] for place in places}


def bounded(self: Any, broker: Any, topic: str, **more: Any) -> None:
    """In place of `Restore.__init__`."""
    _made(self, Bounded(broker), topic, **more)


if __name__ == "__main__":
    restoring.Restore.__init__ = bounded  # type: ignore[method-assign]
    sys.argv = ["headwater", "run", *sys.argv[1:]]
    main()
