"""A saboteur of P2: a runner that slept and asks neither its clock nor its group: it commits without its offsets.

The broker tells a sleeper only by them that another has its partitions: its outputs come beside the other's.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from headwater.cli.main import main
from headwater.processing.checkpoint import Checkpoint

SLEPT_SECONDS = 4.0
_commit, _send_offsets = Checkpoint.commit, Checkpoint.send_offsets
_began = threading.local()


def commit(self: Any, works: Any, source: Any) -> int:
    """As the engine's, but that it may take as long as it likes."""
    self._in_time = lambda: None
    _began.at = time.monotonic()
    return _commit(self, works, source)


def careless(self: Any, offsets: Any, source: Any) -> None:
    """As the engine's, but after a sleep."""
    if time.monotonic() - _began.at < SLEPT_SECONDS:
        _send_offsets(self, offsets, source)


if __name__ == "__main__":
    Checkpoint.commit = commit  # type: ignore[method-assign]
    Checkpoint.send_offsets = careless  # type: ignore[method-assign]
    sys.argv = ["headwater", "run", *sys.argv[1:]]
    main()
