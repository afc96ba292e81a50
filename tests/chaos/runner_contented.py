"""A saboteur of P5: a runner that takes its store for whole, whatever its position: it reads no changelog's tail."""

from __future__ import annotations

import sys
from typing import Any

from headwater.cli.main import main
from headwater.processing import restoring

_start_of = restoring._start_of


def contented(store: Any, committed: Any, end: int, *about: Any) -> int:
    """In place of `restoring._start_of`."""
    return end if store.position is not None else _start_of(store, committed, end, *about)


if __name__ == "__main__":
    restoring._start_of = contented  # type: ignore[assignment]
    sys.argv = ["headwater", "run", *sys.argv[1:]]
    main()
