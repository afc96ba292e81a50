"""The gap between transactions: it finds what the broker needs, whatever that is, and no more."""

from __future__ import annotations

import random

import pytest

from headwater.outbox.pace import LONGEST, REFUSED, Pace

_WORK = 5_000  # microseconds of a transaction that nothing refuses


class _Broker:
    """Refuses what begins before it has ended the transaction before, as Kafka and its client library do together."""

    def __init__(self, pace: Pace, needs: list[int]) -> None:
        self._pace = pace
        self._needs = needs
        self.now = 0
        self.refused = 0

    def transactions(self, count: int, *, seed: int = 0) -> None:
        chance = random.Random(seed)
        free = self.now
        for _ in range(count):
            self.now += self._pace.left(self.now)
            began = self.now
            while self.now < free:
                self.refused += 1
                self.now += REFUSED
            self.now += _WORK
            self._pace.began(began, self.now, records=30)
            self._pace.committed(self.now)
            free = self.now + chance.choice(self._needs)


@pytest.mark.parametrize("need", [0, 1_500, 4_000, 9_000])
def test_it_finds_what_the_broker_needs(need: int) -> None:
    pace = Pace()
    broker = _Broker(pace, [need])
    broker.transactions(300)
    learning, broker.refused = broker.refused, 0
    assert learning <= 60
    broker.transactions(1_000)
    assert need - 1_000 <= pace.gap <= need + 1_000
    assert broker.refused <= 60


def test_it_comes_back_when_the_broker_is_quick_again() -> None:
    pace = Pace()
    _Broker(pace, [9_000]).transactions(200)
    before = pace.gap
    _Broker(pace, [0]).transactions(500)
    assert before > 7_000 and pace.gap == 0


def test_a_broker_that_varies_costs_less_than_without() -> None:
    paced, bold = _Broker(Pace(), [2_000, 3_000, 5_000, 8_000]), _Broker(_Bold(), [2_000, 3_000, 5_000, 8_000])
    paced.transactions(1_000)
    bold.transactions(1_000)
    assert paced.now < bold.now * 0.7
    assert paced.refused < bold.refused / 5


def test_it_never_waits_long() -> None:
    pace = Pace()
    _Broker(pace, [REFUSED * 3]).transactions(500)
    assert pace.gap <= LONGEST
    pace.committed(1_000_000_000)
    assert pace.left(1_000_000_000 + LONGEST) == 0


def test_what_comes_late_or_is_large_teaches_nothing() -> None:
    pace = Pace()
    pace.began(0, REFUSED, records=1)  # nothing was committed before
    pace.committed(100_000)
    pace.began(100_000 + 2 * REFUSED, 100_000 + 4 * REFUSED, records=1)  # slow by itself
    pace.committed(300_000)
    pace.began(300_000, 600_000, records=20_000)
    assert (pace.gap, pace.refused) == (0, 0)


class _Bold(Pace):
    def left(self, now: int) -> int:
        return 0
