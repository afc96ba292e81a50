"""Two relays that take one transactional id from each other, told from a relay whose place another took once.

A lease keeps two relays of one database apart. Where the databases are two (a copy of a cluster that still names the
production's Kafka, two primaries after a fail-over) each has a lease, and each fences the other whenever it starts.
"""

from __future__ import annotations

from collections import deque

from headwater import naming
from headwater.errors import CallerFault
from headwater.timeline.clock import Clock

# Who is fenced for the third time stops, so that the other goes on; together that is at most five fences. A standby
# that takes over, or a relay that wakes from a long freeze, is fenced once.
FENCES_LIMIT = 3
FENCES_WINDOW = 120_000_000  # microseconds; a round of fencing takes a second or two, and at most the longest back-off


class Fences:
    """How often another took this relay's place lately."""

    def __init__(self, source: str, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._at: deque[int] = deque(maxlen=FENCES_LIMIT)

    def note(self) -> None:
        """One more; raises `CallerFault` HW-R018 where they are too many to be a hand-over."""
        self._at.append(self._clock.monotonic())
        if len(self._at) == FENCES_LIMIT and self._at[-1] - self._at[0] <= FENCES_WINDOW:
            seconds = max(1, (self._at[-1] - self._at[0]) // 1_000_000)
            taken = naming.relay_transactional_id(self._source)
            raise CallerFault(
                f"{self._source}: another relay took the transactional id {taken} {FENCES_LIMIT} times in {seconds} s",
                code="HW-R018",
                detail="both publish to the same topics; this one stops, so that the other can go on",
                hint="see which mesh and which database is the right one, and stop the other; "
                "where two meshes share a Kafka, their sources need different names",
            )
