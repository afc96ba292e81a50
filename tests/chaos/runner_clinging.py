"""A saboteur of P3: a runner that does not let go of partitions that are taken from it.

What it had read of them it commits a while later, as the member of the group that it still is: beside whoever has them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from headwater.cli.main import main
from headwater.processing.incarnation import Incarnation

CLINGS_MICROSECONDS = 2_000_000
_gained = Incarnation.gained


def gained(self: Any, partitions: Sequence[Any]) -> Mapping[Any, int]:
    """As the engine's; what was taken away is committed only once its next owner has had its time."""
    kept = set(self._unfinished)
    answer = _gained(self, partitions)
    if kept - {place.partition for place in partitions}:
        self._rest_until = self._around.clock.monotonic() + CLINGS_MICROSECONDS
    return answer


def revoked(self: Any, partitions: Sequence[Any]) -> None:
    """In place of the engine's: nothing is dropped."""
    self._unfinished.update(self._owned)
    self._rest_until = self._around.clock.monotonic() + 10 * CLINGS_MICROSECONDS


if __name__ == "__main__":
    Incarnation.gained = gained  # type: ignore[method-assign]
    Incarnation.revoked = revoked  # type: ignore[method-assign]
    sys.argv = ["headwater", "run", *sys.argv[1:]]
    main()
