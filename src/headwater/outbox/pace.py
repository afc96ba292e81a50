"""How soon after a commit the next transaction begins: as soon as the broker has ended the one before, and no sooner.

A broker answers a commit when it is decided, and ends the transaction afterwards, by a marker in each partition. What
begins before that is refused for the moment, and the client library asks again after a fixed 20 ms, which is several
times of what the whole transaction takes. So the relay gathers rows for some milliseconds more, and learns how many:
each refusal makes it wait longer, each transaction without one a little less.
"""

from __future__ import annotations

REFUSED = 20_000  # the library's back-off: what takes as long from its begin to the last answer was most likely refused
LONGER, SHORTER = 1_000, 25  # one refusal in about forty transactions is what this comes to rest at
LONGEST = 12_000  # beyond it a refusal costs hardly more
LEARNT_FROM = 2_000  # records at most; more of them take their time by themselves


class Pace:
    """The gap between a commit and the next begin. All times are microseconds of one monotonic clock.

    >>> pace = Pace()
    >>> pace.committed(1_000_000); pace.left(1_000_100)
    0
    >>> pace.began(1_000_200, 1_021_300, records=30); pace.committed(1_025_000); pace.left(1_025_100)
    900
    """

    def __init__(self) -> None:
        self.gap = 0
        self.refused = 0  # transactions that most likely were
        self._committed_at: int | None = None

    def left(self, now: int) -> int:
        """How long to gather rows still; 0 where a transaction may begin."""
        if self._committed_at is None:
            return 0
        return max(0, self._committed_at + self.gap - now)

    def began(self, at: int, answered_at: int, *, records: int) -> None:
        """A transaction began, and the broker has its records. What began sooner or much later tells nothing."""
        if self._committed_at is None or records > LEARNT_FROM:
            return
        waited = at - self._committed_at
        if not self.gap <= waited <= self.gap + REFUSED:
            return
        if answered_at - at >= REFUSED:
            self.refused += 1
            self.gap = min(LONGEST, self.gap + LONGER)
        else:
            self.gap = max(0, self.gap - SHORTER)

    def committed(self, at: int) -> None:
        """The broker has answered a commit."""
        self._committed_at = at
