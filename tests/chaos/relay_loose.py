"""A saboteur of R1: a relay whose position is committed by itself, not in the transaction of the rows that it covers.

Killed between the two commits it believes that rows are published which no reader ever sees.
"""

from __future__ import annotations

import sys
from typing import Any

from headwater.cli.main import main
from headwater.ports import kafka


class LooseBroker(kafka.KafkaBroker):
    """Its sinks let the position go ahead."""

    def sink(self, transactional_id: str, *, timeout_ms: int = 30_000) -> Any:
        return LooseSink(
            super().sink(transactional_id, timeout_ms=timeout_ms),
            super().sink(f"{transactional_id}.position", timeout_ms=timeout_ms),
        )


class LooseSink:
    """Two transactions where one belongs."""

    def __init__(self, rows: Any, position: Any) -> None:
        self._rows, self._position = rows, position

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    def open(self) -> None:
        self._rows.open()
        self._position.open()

    def send(self, topic: str, key: bytes | None, value: bytes | None, **more: Any) -> None:
        if not topic.startswith("headwater.position."):
            self._rows.send(topic, key, value, **more)
            return
        self._position.begin()
        self._position.send(topic, key, value, **more)
        self._position.commit()


if __name__ == "__main__":
    kafka.KafkaBroker = LooseBroker  # type: ignore[misc]
    sys.argv = ["headwater", "relay", *sys.argv[1:]]
    main()
