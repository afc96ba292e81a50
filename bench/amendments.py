"""The inputs that change what was said: orders corrected and taken back (W2d), and customers corrected (W4)."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bench.orders import RECORDED_FROM, TICK_MICROSECONDS, Order, OrderLog, customer_name

CORRECTED_PER_MILLE = 10
RETRACTED_PER_MILLE = 1
GREATEST_DELAY = 20_000  # orders between one and its change
SEGMENTS = ("none", "bronze", "silver", "gold")
CUSTOMERS_SINCE = RECORDED_FROM - 365 * 24 * 3_600_000_000
CUSTOMERS_RECORDED_AT = RECORDED_FROM - 3_600_000_000


@dataclass(frozen=True, slots=True)
class AmendedLog:
    """The orders of a log, 1 % of them corrected and 0.1 % taken back, up to 20,000 orders later.

    >>> orders = list(AmendedLog(OrderLog(events=5_000, orders_per_tick=500)).orders())
    >>> sum(order.kind == "correct" for order in orders) > 20, len({order.event_id for order in orders})
    (True, 5000)
    """

    base: OrderLog

    def orders(self) -> Iterator[Order]:
        """Orders and what became of them, in recorded order; what would come after the end comes at the end."""
        chance = random.Random(f"{self.base.seed}/amended")
        due: list[tuple[int, int, Order]] = []
        last = RECORDED_FROM
        for number, order in enumerate(self.base.orders()):
            last = order.recorded_at
            yield order
            draw = chance.randrange(1_000)
            if draw < CORRECTED_PER_MILLE + RETRACTED_PER_MILLE:
                heapq.heappush(due, (number + chance.randint(1, GREATEST_DELAY), number, _changed(order, draw)))
            while due and due[0][0] <= number:
                yield heapq.heappop(due)[2]._replace(recorded_at=last)
        for _, _, change in sorted(due):
            yield change._replace(recorded_at=last)

    @property
    def events(self) -> int:
        """How many records there are."""
        return sum(1 for _ in self.orders())

    @property
    def through(self) -> int:
        """As of the orders alone."""
        return self.base.through


def _changed(order: Order, draw: int) -> Order:
    if draw < RETRACTED_PER_MILLE:
        return order._replace(kind="retract", revision=2)
    return order._replace(kind="correct", revision=2, amount_cents=order.amount_cents + 1 + draw)


class Customer(NamedTuple):
    """A customer's segment, which holds from `valid_from` on, and since when the mesh knows."""

    customer: str
    valid_from: int
    segment: str
    recorded_at: int
    kind: str
    revision: int


@dataclass(frozen=True, slots=True)
class CustomerLog:
    """Every customer once, before the first order; then 1 % of them corrected while orders come.

    >>> [one.kind for one in CustomerLog(OrderLog(events=1_000, customers=100, orders_per_tick=10)).customers()][98:]
    ['assert', 'assert', 'correct']
    """

    orders: OrderLog

    def customers(self) -> Iterator[Customer]:
        """Facts in recorded order."""
        chance = random.Random(f"{self.orders.seed}/customers")
        first = [chance.choice(SEGMENTS) for _ in range(self.orders.customers)]
        for number, segment in enumerate(first):
            yield Customer(customer_name(number), CUSTOMERS_SINCE, segment, CUSTOMERS_RECORDED_AT, "assert", 1)
        corrected = chance.sample(range(self.orders.customers), self.orders.customers // 100)
        ticks = sorted(chance.randrange(self.orders.ticks) for _ in corrected)
        for number, tick in zip(corrected, ticks, strict=True):
            segment = SEGMENTS[(SEGMENTS.index(first[number]) + 1) % len(SEGMENTS)]
            at = RECORDED_FROM + tick * self.orders.ticks_apart * TICK_MICROSECONDS
            yield Customer(customer_name(number), CUSTOMERS_SINCE, segment, at, "correct", 2)
