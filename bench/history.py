"""The oracle of workloads whose values change more than once: each group's versions in order, recomputed plainly.

A group is what revisions are counted for: a customer, a customer and an hour, an order. What is asked of a system:
`exact`: one version for each change and tick; `some`: none that was never right, and one of each group, where a system
merges changes or cannot follow them; `share`: nothing but how much is right at the end, where it drops what is late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Literal, NamedTuple

from bench.amendments import Customer
from bench.oracle import Verdict
from bench.orders import Order, tick_end

HOUR = 3_600_000_000
Values = tuple[object, ...]
Demand = Literal["exact", "some", "share"]
TAKEN_BACK: Values = ("taken back",)  # the values of a retract


class Said(NamedTuple):
    """One version as it was read back; `recorded_at` and `revision` are 0 where a system has none."""

    group: str
    values: Values
    recorded_at: int = 0
    revision: int = 0


class History:
    """What must be said of each group, version by version."""

    def __init__(self, changes: Iterable[tuple[str, Values, int]]) -> None:
        """`changes`: group, its values, the end of the tick, in recorded order; the last one within a tick counts."""
        self.versions: dict[str, list[tuple[Values, int]]] = {}
        self._right: dict[str, set[Values]] = {}
        self._passing: dict[str, set[Values]] = {}  # right for a moment within a tick: said by who says every change
        for group, values, at in changes:
            known = self.versions.setdefault(group, [])
            if known and known[-1][1] == at:
                self._passing.setdefault(group, set()).add(known.pop()[0])
            if (known[-1][0] if known else TAKEN_BACK) != values:  # of what was never said nothing is taken back
                known.append((values, at))
        self.versions = {group: known for group, known in self.versions.items() if known}

    def count(self) -> int:
        """How many versions there are."""
        return sum(map(len, self.versions.values()))

    def judge(self, said: Iterable[Said], *, demand: Demand) -> Verdict:
        """Compare what was read back, in the order of each partition; `right_share` is that of the last values."""
        place: dict[str, int] = dict.fromkeys(self.versions, 0)
        last: dict[str, Values] = {}
        count = 0
        for one in said:
            fault = self._fault(one, place, demand)
            if fault:
                return Verdict(f"output {count}: {fault}", count)
            last[one.group] = one.values
            count += 1
        right = sum(last.get(group, TAKEN_BACK) == known[-1][0] for group, known in self.versions.items())
        share = right / max(len(self.versions), 1)
        missing = len(self.versions) - len(last) if demand == "some" else 0
        if demand == "exact":
            missing = sum(place[group] != len(known) for group, known in self.versions.items())
        return Verdict(f"{missing} groups lack their last value" if missing else "", count, share)

    def _ever(self, group: str) -> set[Values]:
        """All that was right of a group at some moment."""
        found = self._right.get(group)
        if found is None:
            found = {values for values, _ in self.versions[group]} | self._passing.get(group, set())
            self._right[group] = found
        return found

    def _fault(self, one: Said, place: dict[str, int], demand: Demand) -> str:
        known = self.versions.get(one.group)
        if known is None:
            return "" if demand == "share" else "a group that was never written"
        if demand == "exact":
            at = place[one.group]
            if at == len(known):
                return "a version more than there are"
            if one.values != known[at][0]:
                return "a wrong value"
            if one.recorded_at != known[at][1]:
                return "recorded_at is not the end of the tick of what made it"
            if one.revision != at + 1:
                return "revisions do not count 1, 2, 3 ..."
            place[one.group] = at + 1
        elif demand == "some" and one.values not in self._ever(one.group):
            return "a value that was never right"
        return ""


def sums(orders: Iterable[Order], group: Callable[[Order], str]) -> Iterator[tuple[str, Values, int]]:
    """Count and sum of amounts by group after each order, or change of one."""
    totals: dict[str, tuple[int, int]] = {}
    counted: dict[str, int] = {}  # amounts by order, where orders change
    for order in orders:
        name = group(order)
        number, amount = totals.get(name, (0, 0))
        before = counted.get(order.event_id)
        if before is not None:
            number, amount = number - 1, amount - before
        if order.kind != "retract":
            number, amount = number + 1, amount + order.amount_cents
            counted[order.event_id] = order.amount_cents
        totals[name] = (number, amount)
        yield name, (number, amount) if number else TAKEN_BACK, tick_end(order.recorded_at)


def by_customer(order: Order) -> str:
    """The group of W2d."""
    return order.customer


def by_hour(order: Order) -> str:
    """The group of W3: a customer's hour."""
    return f"{order.customer}@{order.occurred_at - order.occurred_at % HOUR}"


def enriched(orders: Iterable[Order], customers: Iterable[Customer]) -> Iterator[tuple[str, Values, int]]:
    """Orders with their customer's segment, and anew when it is corrected; facts of a tick come before its orders."""
    segment: dict[str, str] = {}
    placed: dict[str, list[Order]] = {}
    every: list[Order | Customer] = [*orders, *customers]
    merged = sorted(every, key=lambda one: (tick_end(one.recorded_at), isinstance(one, Order)))
    for end, together in groupby(merged, key=lambda one: tick_end(one.recorded_at)):
        for one in together:
            if isinstance(one, Order):
                placed.setdefault(one.customer, []).append(one)
                touched = [one]
            else:
                segment[one.customer] = one.segment
                touched = placed.get(one.customer, [])
            for order in touched:
                values = (order.customer, order.occurred_at, order.amount_cents, segment.get(order.customer))
                yield order.event_id, values, end
