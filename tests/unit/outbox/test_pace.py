"""The gap between transactions: it finds what the broker needs, whatever that is, and no more."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from headwater.outbox.pace import GAPS, LEARNT_FROM, TRY_SHORTER, Pace

_BACKOFF = 20_000  # microseconds, of the client library


def quiet(chance: random.Random) -> int:
    return 5_000


def busy(chance: random.Random) -> int:
    """A machine where all takes long, now and then."""
    return 5_000 + int(chance.expovariate(1 / 15_000))


class _Broker:
    """Refuses what begins before it has ended the transaction before, as Kafka and its client library do together."""

    def __init__(self, pace: Pace, needs: list[int], work: Callable[[random.Random], int] = quiet) -> None:
        self._pace = pace
        self.needs = needs
        self._work = work
        self._chance = random.Random(1)
        self._now = 0
        self._free = 0
        self.refused = 0

    def transactions(self, count: int) -> float:
        """The microseconds of one, on average."""
        before, self.refused = self._now, 0
        for _ in range(count):
            self._now += self._pace.left(self._now)
            began = self._now
            while self._now < self._free:
                self.refused += 1
                self._now += _BACKOFF
            self._now += self._work(self._chance)
            self._pace.began(began, self._now, records=30)
            self._now += 2_000  # the commit
            self._pace.committed(self._now)
            self._free = self._now + self._chance.choice(self.needs)
        return (self._now - before) / count


class _Bold(Pace):
    def left(self, now: int) -> int:
        return 0


@pytest.mark.parametrize("need", [500, 1_500, 3_500, 7_000, 11_000])
def test_it_finds_what_the_broker_needs(need: int) -> None:
    pace = Pace()
    broker = _Broker(pace, [need])
    broker.transactions(200)
    assert pace.gap == min(gap for gap in GAPS if gap >= need)
    broker.transactions(10 * TRY_SHORTER)
    assert broker.refused <= 10


@pytest.mark.parametrize("work", [quiet, busy])
def test_without_refusals_it_costs_next_to_nothing(work: Callable[[random.Random], int]) -> None:
    paced, bold = (_Broker(pace, [0], work).transactions(2_000) for pace in (Pace(), _Bold()))
    assert paced < bold * 1.1


@pytest.mark.parametrize(("work", "share"), [(quiet, 0.6), (busy, 0.8)])
@pytest.mark.parametrize("needs", [[1_500], [3_500], [1_000, 2_000, 3_000], [2_000, 3_000, 5_000, 8_000]])
def test_where_it_begins_at_once_the_broker_would_refuse(
    needs: list[int], work: Callable[[random.Random], int], share: float
) -> None:
    paced, bold = (_Broker(pace, needs, work) for pace in (Pace(), _Bold()))
    assert paced.transactions(1_000) < bold.transactions(1_000) * share
    assert paced.refused < bold.refused / 4


def test_it_follows_a_broker_that_changes() -> None:
    pace = Pace()
    broker = _Broker(pace, [7_000])
    broker.transactions(200)
    assert pace.gap == 8_000
    broker.needs = [0]
    broker.transactions(20 * TRY_SHORTER)
    assert pace.gap <= 1_000
    broker.needs = [3_000]
    broker.transactions(300)
    assert pace.gap == 4_000


def test_where_no_gap_helps_it_waits_for_nothing() -> None:
    paced, bold = (_Broker(pace, [3 * _BACKOFF]).transactions(1_000) for pace in (Pace(), _Bold()))
    assert paced < bold * 1.03


def test_what_comes_late_or_is_large_teaches_nothing() -> None:
    pace = Pace()
    pace.began(0, _BACKOFF, records=1)  # nothing was committed before
    for _ in range(100):
        pace.committed(0)
        pace.began(1_000_000, 1_100_000, records=1)  # slow by itself
        pace.committed(0)
        pace.began(100, 300_000, records=LEARNT_FROM + 1)
    assert pace.gap == 0 and pace.left(0) == 0
