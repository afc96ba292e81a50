"""A runner of P6: its transactions take time with each record, so that a large one outlives its timeout.

With the argument `steadfast` it is a saboteur: it tries the same records again, however long they took.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from headwater.cli.main import main
from headwater.processing.batch import Batch
from headwater.processing.checkpoint import Checkpoint

SECONDS_A_RECORD = 0.004
_commit, _send_offsets = Checkpoint.commit, Checkpoint.send_offsets
_at_hand = threading.local()


def commit(self: Any, works: Any, source: Any) -> int:
    """As the engine's; it counts the records."""
    _at_hand.records = sum(work.folded for work in works)
    return _commit(self, works, source)


def slow(self: Any, offsets: Any, source: Any) -> None:
    """As the engine's, late."""
    time.sleep(_at_hand.records * SECONDS_A_RECORD)
    _send_offsets(self, offsets, source)


def unmoved(self: Any, inputs: int) -> None:
    """In place of `shrink`."""


if __name__ == "__main__":
    Checkpoint.commit = commit  # type: ignore[method-assign]
    Checkpoint.send_offsets = slow  # type: ignore[method-assign]
    if "steadfast" in sys.argv:
        sys.argv.remove("steadfast")
        Batch.shrink = unmoved  # type: ignore[method-assign]
    sys.argv = ["headwater", "run", *sys.argv[1:]]
    main()
