"""The seeded orders that the workloads read: the same bytes for every system, for the same seed.

Recorded time is part of the workload: `orders_per_tick` says how many orders share a tick, whoever drains them and
however fast. With `distinct` at most one order of a customer falls into a tick, so that each order is one output.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

TICK_MICROSECONDS = 100_000  # `tick` of bench/meshes/orders/mesh.yaml
RECORDED_FROM = 1_735_689_600_000_000  # 2025-01-01T00:00:00Z, an end of a tick
SKUS = 1_000


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


@dataclass(frozen=True, slots=True)
class OrderLog:
    """A log of orders that can be read again and again: each reading gives the same orders.

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

    def __post_init__(self) -> None:
        if self.distinct and self.orders_per_tick > self.customers:
            raise ValueError("a tick cannot hold more distinct customers than there are")

    def orders(self) -> Iterator[Order]:
        """The orders, in recorded order."""
        chance = random.Random(self.seed)
        names = [customer_name(number) for number in range(self.customers)]
        items = [Item(f"s{number}", number % 5 + 1, 100 + number * 7 % 5_000) for number in range(SKUS)]
        step = TICK_MICROSECONDS // self.orders_per_tick
        left, tick = self.events, 0
        while left:
            count = min(self.orders_per_tick, left)
            buyers = chance.sample(names, count) if self.distinct else chance.choices(names, k=count)
            start = RECORDED_FROM + tick * TICK_MICROSECONDS
            for place, customer in enumerate(buyers):
                bits = chance.getrandbits(128)
                lines = tuple(items[(bits >> shift) % SKUS] for shift in range(0, 10 * (bits % 3 + 2), 10))
                recorded_at = start + place * step
                yield Order(
                    event_id=event_id(bits),
                    customer=customer,
                    occurred_at=recorded_at - (bits >> 64) % 60_000_000,
                    amount_cents=sum(item.quantity * item.price_cents for item in lines),
                    items=lines,
                    recorded_at=recorded_at,
                )
            left -= count
            tick += 1

    @property
    def ticks(self) -> int:
        """How many ticks the log spans."""
        return -(-self.events // self.orders_per_tick)

    @property
    def through(self) -> int:
        """All that is recorded at or before this instant is in the log: the last instant of a later tick."""
        return RECORDED_FROM + (self.ticks + 1) * TICK_MICROSECONDS - 1


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
