"""What the outputs must be, recomputed plainly from the seeded inputs, and the judge that compares.

A run whose verdict is not `verified` has no time. Three modes, by what a system promises:
`each`: one version per order; `per_tick`: one per customer and tick; `some`: any versions on the way, and the last one.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bench.orders import OrderLog, tick_end
from bench.outbox_rows import OutboxLog

Mode = Literal["each", "per_tick", "some"]


class Version(NamedTuple):
    """One published version of a customer's totals; `revision` is 0 for systems that have none."""

    customer: str
    orders: int
    amount_cents: int
    recorded_at: int
    revision: int = 0


class Published(NamedTuple):
    """One row of the outbox as it arrived in a topic; `payload` without what the platform adds."""

    id: str
    customer: str
    occurred_at: int
    amount_cents: int
    items: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found; `fault` is the first thing that is not as it must be, in words without values of records.

    `right_share`: of the values that must be there at the end, which share is; below 1 without a fault where a system
    cannot know better, as one that drops what is late.
    """

    fault: str
    outputs: int
    right_share: float = 1.0

    @property
    def verified(self) -> bool:
        """Whether nothing was wrong."""
        return not self.fault


class TotalsOracle:
    """Totals per customer after each order: amounts and recorded times in order, by plain summation."""

    def __init__(self, log: OrderLog) -> None:
        self.amounts: dict[str, array[int]] = {}
        self.ticks: dict[str, array[int]] = {}
        for order in log.orders():
            amounts = self.amounts.setdefault(order.customer, array("q"))
            amounts.append((amounts[-1] if amounts else 0) + order.amount_cents)
            self.ticks.setdefault(order.customer, array("q")).append(tick_end(order.recorded_at))

    def outputs_per_tick(self) -> int:
        """How many outputs there are at one per customer and tick."""
        return sum(len(set(ticks)) for ticks in self.ticks.values())

    def judge(self, versions: Iterable[Version], mode: Mode) -> Verdict:
        """Compare what was read back, in the order of each partition; reads `versions` once."""
        done: dict[str, int] = dict.fromkeys(self.amounts, 0)
        revisions: Counter[str] = Counter()
        count = 0
        for version in versions:
            fault = self._fault(version, done, mode)
            revisions[version.customer] += 1
            if version.revision and version.revision != revisions[version.customer]:
                fault = fault or "revisions do not count 1, 2, 3 ..."
            if fault:
                return Verdict(f"output {count}: {fault}", count)
            done[version.customer] = version.orders
            count += 1
        missing = sum(1 for customer, orders in done.items() if orders != len(self.amounts[customer]))
        return Verdict(f"{missing} customers lack their last value" if missing else "", count)

    def _fault(self, version: Version, done: dict[str, int], mode: Mode) -> str:
        if version.customer not in self.amounts:
            return "a customer that was never written"
        amounts, ticks = self.amounts[version.customer], self.ticks[version.customer]
        before, orders = done[version.customer], version.orders
        if not before < orders <= len(amounts):
            return "a version that is repeated, out of order or beyond the input"
        if version.amount_cents != amounts[orders - 1]:
            return "a wrong sum"
        if mode == "each" and orders != before + 1:
            return "a version is missing"
        if mode == "per_tick":
            if version.recorded_at != ticks[orders - 1]:
                return "recorded_at is not the end of the last input's tick"
            if orders < len(amounts) and ticks[orders] == version.recorded_at:
                return "a version before the end of its tick"
            if ticks[before] != version.recorded_at:
                return "the version of a tick is missing"
        return ""


class RowsOracle:
    """Rows in = rows published, each once, whole, and in the order of their commits per key."""

    def __init__(self, log: OutboxLog) -> None:
        self.payloads: dict[str, tuple[int, str]] = {}
        for transaction in log.transactions():
            for row in transaction:
                self.payloads[row.id] = (len(self.payloads), row.payload)

    def judge(self, rows: Iterable[Published]) -> Verdict:
        """Compare what was read back, in the order of each partition; reads `rows` once."""
        seen: set[str] = set()
        last: dict[str, int] = {}
        count = 0
        for row in rows:
            count += 1
            if row.id not in self.payloads:
                return Verdict(f"record {count}: a row that was never committed", count)
            if row.id in seen:
                return Verdict(f"record {count}: a row published twice", count)
            seen.add(row.id)
            place, payload = self.payloads[row.id]
            if place < last.get(row.customer, -1):
                return Verdict(f"record {count}: a key's rows are out of order", count)
            last[row.customer] = place
            wanted = json.loads(payload)
            items = tuple((item["sku"], item["quantity"], item["price_cents"]) for item in wanted["items"])
            content = (wanted["customer"], wanted["occurred_at"], wanted["amount_cents"], items)
            if content != (row.customer, row.occurred_at, row.amount_cents, row.items):
                return Verdict(f"record {count}: the content is not the row's", count)
        missing = len(self.payloads) - len(seen)
        return Verdict(f"{missing} rows are missing" if missing else "", count)
