"""A worker of P4: it stands still before a transaction, and dies within it once it is woken.

`CHAOS_LATE` is `<changelog>:<nth>`: whose transaction, and which of those that change the state. What it wrote stays in
the topics, open, until its transaction is timed out.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from headwater.cli.main import main
from headwater.processing.checkpoint import Checkpoint

VARIABLE = "CHAOS_LATE"
_commit = Checkpoint.commit
_left: dict[str, int] = {}


def late(self: Any, works: Any, source: Any) -> int:
    """As the engine's, but for the one transaction."""
    changelog = self._targets.stage.changelog
    if _left.get(changelog) and any(work.commit.changes for work in works):
        _left[changelog] -= 1
        if not _left[changelog]:
            os.kill(os.getpid(), signal.SIGSTOP)
            self._failpoint = _dies
    return _commit(self, works, source)


def _dies(name: str) -> None:
    if name == "stage.after_outputs":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    wanted, _, nth = os.environ[VARIABLE].rpartition(":")
    _left[wanted] = int(nth)
    Checkpoint.commit = late  # type: ignore[method-assign]
    sys.argv = ["headwater", "run", *sys.argv[1:]]
    main()
