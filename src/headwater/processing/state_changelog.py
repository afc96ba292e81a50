"""The changelog of a stage: its state as a compacted topic; `restoring` brings a store up to date from it."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.ports.protocol import TransactionalSink
from headwater.processing.state import Change


def mirror(sink: TransactionalSink, topic: str, partition: int, changes: Sequence[Change], timestamp: int) -> None:
    """Add a task's changes to the transaction."""
    keys, values = zip(*changes, strict=True) if changes else ((), ())
    sink.send_column((topic, partition), keys, values, [timestamp] * len(keys))
