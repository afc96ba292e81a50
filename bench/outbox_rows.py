"""The seeded outbox rows of W1: orders as JSON, in transactions of 1 to 100 rows, as services would commit them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bench.orders import SKUS, customer_name, event_id

ROWS_PER_TRANSACTION = 100
OCCURRED_FROM = 1_735_689_600_000_000  # 2025-01-01T00:00:00Z


class OutboxRow(NamedTuple):
    """One row: its id, the customer that is its key, and the payload's JSON text."""

    id: str
    customer: str
    payload: str


@dataclass(frozen=True, slots=True)
class OutboxLog:
    """Transactions of outbox rows that can be read again and again; `round` makes rows that no other round has,
    `unique` gives each a customer of its own.

    >>> log = OutboxLog(rows=250, round=2)
    >>> sum(len(transaction) for transaction in log.transactions())
    250
    >>> max(len(transaction) for transaction in log.transactions()) <= 100
    True
    """

    rows: int
    round: int
    customers: int = 10_000
    seed: int = 1
    unique: bool = False

    def transactions(self) -> Iterator[list[OutboxRow]]:
        """The transactions, in the order of their commits."""
        chance = random.Random(f"{self.seed}/{self.round}")
        left, number = self.rows, 0
        while left:
            count = min(chance.randint(1, ROWS_PER_TRANSACTION), left)
            yield [self._row(chance, number + place) for place in range(count)]
            left -= count
            number += count

    def _row(self, chance: random.Random, number: int) -> OutboxRow:
        bits = chance.getrandbits(128)
        items = [
            {"sku": f"s{sku}", "quantity": sku % 5 + 1, "price_cents": 100 + sku * 7 % 5_000}
            for sku in ((bits >> shift) % SKUS for shift in range(0, 10 * (bits % 3 + 2), 10))
        ]
        payload = {
            "customer": f"u{self.round}-{number}" if self.unique else customer_name(bits % self.customers),
            "occurred_at": OCCURRED_FROM + number,
            "amount_cents": sum(item["quantity"] * item["price_cents"] for item in items),
            "items": items,
        }
        return OutboxRow(event_id(bits), payload["customer"], json.dumps(payload, separators=(",", ":")))
