"""The seeded orders that the workloads read: the same bytes for every system, for the same seed.

Recorded time is part of the workload: `orders_per_tick` says how many orders share a tick, whoever drains them and
however fast. With `distinct` at most one order of a customer falls into a tick, so that each order is one output.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

TICK_MICROSECONDS = 100_000  # `tick` of bench/meshes/orders/mesh.yaml
RECORDED_FROM = 1_735_689_600_000_000  # 2025-01-01T00:00:00Z, an end of a tick
SKUS = 1_000
LATE_FROM = 600_000_000  # ten minutes
LATE_SPAN = 432  # times that is three days


class Item(NamedTuple):
    """One line of an order."""

    sku: str
    quantity: int
    price_cents: int


class Order(NamedTuple):
    """An order as the service wrote it, and the instant at which the mesh first knew of it, in microseconds."""

    event_id: str
    customer: str
    occurred_at: int
    amount_cents: int
    items: tuple[Item, ...]
    recorded_at: int
    kind: str = "assert"
    revision: int = 1


@dataclass(frozen=True, slots=True)
class OrderLog:
    """A log of orders that can be read again and again: each reading gives the same orders.

    `zipf` draws customers by Zipf's law with exponent 1, `ticks_apart` leaves ticks empty between the filled ones,
    `late_per_mille` of the orders were placed ten minutes to three days before the mesh knew, the others within a
    minute.

    >>> log = OrderLog(events=6, customers=4, orders_per_tick=3, distinct=True)
    >>> [tick_of(order.recorded_at) for order in log.orders()]
    [0, 0, 0, 1, 1, 1]
    >>> list(log.orders()) == list(log.orders())
    True
    """

    events: int
    customers: int = 10_000
    orders_per_tick: int = 5_000
    distinct: bool = True
    seed: int = 1
    zipf: bool = False
    ticks_apart: int = 1
    late_per_mille: int = 0

    def __post_init__(self) -> None:
        if self.distinct and not self.zipf and self.orders_per_tick > self.customers:
            raise ValueError("a tick cannot hold more distinct customers than there are")

    def orders(self) -> Iterator[Order]:
        """The orders, in recorded order."""
        chance = random.Random(self.seed)
        items = [Item(f"s{number}", number % 5 + 1, 100 + number * 7 % 5_000) for number in range(SKUS)]
        step = TICK_MICROSECONDS // self.orders_per_tick
        left, tick = self.events, 0
        while left:
            count = min(self.orders_per_tick, left)
            start = RECORDED_FROM + tick * self.ticks_apart * TICK_MICROSECONDS
            for place, customer in enumerate(self._buyers(chance, count)):
                bits = chance.getrandbits(128)
                lines = tuple(items[(bits >> shift) % SKUS] for shift in range(0, 10 * (bits % 3 + 2), 10))
                recorded_at = start + place * step
                yield Order(
                    event_id=event_id(bits),
                    customer=customer_name(customer),
                    occurred_at=recorded_at - self._lateness(bits >> 64),
                    amount_cents=sum(item.quantity * item.price_cents for item in lines),
                    items=lines,
                    recorded_at=recorded_at,
                )
            left -= count
            tick += 1

    def _buyers(self, chance: random.Random, count: int) -> Iterable[int]:
        if self.zipf:  # the inverse of Zipf's distribution, near enough: P(rank <= n) = ln n / ln N
            return (int(self.customers ** chance.random()) - 1 for _ in range(count))
        everyone = range(self.customers)
        return chance.sample(everyone, count) if self.distinct else chance.choices(everyone, k=count)

    def _lateness(self, bits: int) -> int:
        if (bits >> 32) % 1_000 >= self.late_per_mille:
            return bits % 60_000_000
        return int(LATE_FROM * LATE_SPAN ** ((bits & 0xFFFF) / 0x10000))

    @property
    def ticks(self) -> int:
        """How many ticks the log spans."""
        return -(-self.events // self.orders_per_tick)

    @property
    def through(self) -> int:
        """All that is recorded at or before this instant is in the log: the last instant of a later tick."""
        return RECORDED_FROM + (self.ticks * self.ticks_apart + 1) * TICK_MICROSECONDS - 1


def customer_name(number: int) -> str:
    """The key of a customer."""
    return f"c{number:06d}"


def event_id(bits: int) -> str:
    """128 bits as UUID text."""
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def tick_of(recorded_at: int) -> int:
    """Which tick of the log an instant falls into, from 0."""
    return (recorded_at - RECORDED_FROM) // TICK_MICROSECONDS


def tick_end(recorded_at: int) -> int:
    """The last instant of an instant's tick: what a product that folds stamps its record with."""
    return recorded_at - recorded_at % TICK_MICROSECONDS + TICK_MICROSECONDS - 1
