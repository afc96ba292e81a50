"""A saboteur of P1: a runner that writes its store before the transaction commits, and believes its store afterwards.

The product's own runner would find the store ahead of the group, and wipe it; this one does not look.
"""

from __future__ import annotations

import sys
from typing import Any

from headwater.cli.main import main
from headwater.processing import restoring, state_rocksdb
from headwater.processing.checkpoint import Checkpoint

_commit = Checkpoint.commit


def hasty(self: Any, works: Any, source: Any) -> int:
    """Stores first."""
    for work in works:
        if work.owner.store is not None:
            changes = [*work.commit.changes, *work.commit.recalled]
            work.owner.store.commit(changes, work.owner.store.position)
    return _commit(self, works, source)


def believing(store: Any, *about: Any) -> int:
    """In place of `restoring._start_of`: the position is right, whatever it says."""
    position: state_rocksdb.Position | None = store.position
    return position.changelog if position is not None else 0


if __name__ == "__main__":
    Checkpoint.commit = hasty  # type: ignore[method-assign]
    restoring._start_of = believing  # type: ignore[assignment]
    sys.argv = ["headwater", "run", *sys.argv[1:]]
    main()
