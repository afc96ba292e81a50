"""A saboteur of P7: a runner that asks its own disk, and not Kafka, up to where it has come.

What was committed in Kafka without its knowledge it does again.
"""

from __future__ import annotations

import sys
from typing import Any

from headwater.cli.main import main
from headwater.ports import kafka
from headwater.processing import restoring

_start_of = restoring._start_of


def of_nobody(self: Any, partitions: Any) -> dict[Any, int]:
    """In place of the group's offsets: none are known, so that the store's are taken."""
    return {}


def contented(store: Any, committed: Any, end: int, *about: Any) -> int:
    """In place of `restoring._start_of`: what the store holds is all there is."""
    return end if store.position is not None else _start_of(store, committed, end, *about)


if __name__ == "__main__":
    kafka._KafkaGroupSource.committed = of_nobody  # type: ignore[method-assign]
    restoring._start_of = contented  # type: ignore[assignment]
    sys.argv = ["headwater", "run", *sys.argv[1:]]
    main()
