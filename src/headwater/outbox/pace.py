"""How soon after a commit the next transaction begins: as soon as the broker has ended the one before, and no sooner.

A broker answers a commit when it is decided, and ends the transaction afterwards, by a marker in each partition. What
begins before that is refused for the moment, and the client library asks again after a fixed 20 ms, which is several
times of what the whole transaction takes. So the relay gathers rows for some milliseconds more where that is shorter
in the end. Nobody tells it of a refusal, and on a busy machine all takes long: so it compares. It keeps what the
gaps have cost on average, wait and transaction together, stays with the best, and tries the others now and then.
"""

from __future__ import annotations

GAPS = (0, 1_000, 2_000, 4_000, 8_000, 12_000)  # microseconds
QUICK = 10_000  # a gap that costs less on average leaves nothing to gain by a longer one
TRY_LONGER, TRY_SHORTER = 8, 64  # transactions between two trials; a gap that is too short costs 20 ms
LEARNT_FROM = 2_000  # records at most; more of them take their time by themselves
_MOST = 60_000  # counted of one transaction: what takes longer has reasons of its own
_CLEARLY = 0.85  # of what the present gap costs, for a longer one: averages are not exact
_WEIGHT, _TRIAL_WEIGHT = 16, 4  # transactions that an average is made of, about; few are trials


class Pace:
    """The gap between a commit and the next begin. All times are microseconds of one monotonic clock.

    >>> pace = Pace()
    >>> pace.committed(1_000_000); pace.left(1_000_100)
    0
    """

    def __init__(self) -> None:
        self._costs: list[float | None] = [None] * len(GAPS)
        self._best = 0
        self._tried = 0  # the place in `GAPS` that the next transaction takes
        self._count = 0
        self._committed_at: int | None = None

    @property
    def gap(self) -> int:
        """How long the next transaction waits after the last commit."""
        return GAPS[self._tried]

    def left(self, now: int) -> int:
        """How long to gather rows still; 0 where a transaction may begin."""
        if self._committed_at is None:
            return 0
        return max(0, self._committed_at + self.gap - now)

    def began(self, at: int, answered_at: int, *, records: int) -> None:
        """A transaction began, and the broker has its records. What began long after a commit tells nothing."""
        if self._committed_at is None or records > LEARNT_FROM:
            return
        waited = at - self._committed_at
        if waited >= 2 * GAPS[-1]:
            return
        place = max(number for number, gap in enumerate(GAPS) if gap <= waited)
        cost, before = float(waited + min(answered_at - at, _MOST)), self._costs[place]
        weight = _WEIGHT if place == self._best else _TRIAL_WEIGHT
        self._costs[place] = cost if before is None else before + (cost - before) / weight
        self._choose()

    def committed(self, at: int) -> None:
        """The broker has answered a commit."""
        self._committed_at = at

    def _choose(self) -> None:
        known = {place: cost for place, cost in enumerate(self._costs) if cost is not None}
        cheapest = min(known, key=known.__getitem__)
        clearly = _CLEARLY if cheapest > self._best else 1.0
        if self._best not in known or known[cheapest] < known[self._best] * clearly:
            self._best = cheapest
        self._tried = self._best
        self._count += 1
        if self._count % TRY_SHORTER == 0 and self._best:
            self._tried = self._best - 1
        elif self._count % TRY_LONGER == 0 and known.get(self._best, 0) >= QUICK:
            longer = range(self._best + 1, len(GAPS))  # each in its turn: the next one may be too short as well
            if longer:
                self._tried = longer[self._count // TRY_LONGER % len(longer)]
