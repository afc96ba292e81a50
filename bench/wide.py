"""Orders of millions of customers, as columns: what W2c and W8 read, generated and judged without an object for each.

Every customer orders once before the part that is measured begins, so that this part meets a state as large as it gets.
Then `events` orders come, drawn uniformly or by Zipf's law. The same seed gives the same orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bench.orders import RECORDED_FROM, SKUS, TICK_MICROSECONDS

PER_TICK = 5_000
CHUNK_TICKS = 20
NAME_DIGITS = 8
ITEMS = 3
HEX = np.frombuffer(b"0123456789abcdef", np.uint8)

Longs = npt.NDArray[np.int64]


class Orders(NamedTuple):
    """A stretch of orders, column by column; of `items` the numbers of the articles, three to an order."""

    customer: Longs
    occurred_at: Longs
    amount_cents: Longs
    items: npt.NDArray[np.int64]
    recorded_at: Longs
    identity: npt.NDArray[np.uint8]

    def table(self) -> pa.RecordBatch:
        """As the schema of orders has them."""
        count = len(self.customer)
        articles = self.items.ravel()
        lines = pa.StructArray.from_arrays(
            [
                _texts(_digits(articles, 3, b"s")),
                pa.array(quantities(articles), pa.int32()),
                pa.array(prices(articles)),
            ],
            names=["sku", "quantity", "price_cents"],
        )
        ends = pa.array(np.arange(0, ITEMS * count + 1, ITEMS, dtype=np.int32))
        columns = {
            "event_id": _texts(_uuids(self.identity)),
            "customer": _texts(self.names()),
            "occurred_at": pa.array(self.occurred_at, pa.timestamp("us")),
            "amount_cents": pa.array(self.amount_cents),
            "items": pa.ListArray.from_arrays(ends, lines),
            "recorded_at": pa.array(self.recorded_at, pa.timestamp("us")),
            "kind": pa.array(["assert"] * count),
            "revision": pa.array(np.ones(count, np.int64)),
        }
        return pa.RecordBatch.from_pydict(columns)

    def names(self) -> npt.NDArray[np.uint8]:
        """The keys, a row of bytes each."""
        return _digits(self.customer, NAME_DIGITS, b"c")


@dataclass(frozen=True, slots=True)
class WideLog:
    """A log that can be read again and again: first every customer once, then `events` orders more.

    >>> log = WideLog(events=10_000, customers=20_000)
    >>> sum(len(some.customer) for some in log.stretches()), log.records
    (30000, 30000)
    """

    events: int
    customers: int
    zipf: bool = False
    seed: int = 1

    @property
    def records(self) -> int:
        """How many orders there are, those of the beginning among them."""
        return self.customers + self.events

    @property
    def through(self) -> int:
        """All that is recorded at or before this instant is in the log."""
        return RECORDED_FROM + (-(-self.records // PER_TICK) + 1) * TICK_MICROSECONDS - 1

    def stretches(self) -> Iterator[Orders]:
        """The orders in recorded order, some ticks at a time."""
        chance = np.random.default_rng(self.seed)
        everyone = chance.permutation(self.customers)
        step = PER_TICK * CHUNK_TICKS
        for start in range(0, self.records, step):
            numbers = np.arange(start, min(start + step, self.records), dtype=np.int64)
            first = everyone[start : start + len(numbers)].astype(np.int64)
            again = self._drawn(chance, len(numbers) - len(first))
            yield _orders(chance, np.concatenate([first, again]), numbers)

    def _drawn(self, chance: np.random.Generator, count: int) -> Longs:
        if self.zipf:  # the inverse of Zipf's distribution, near enough: P(rank <= n) = ln n / ln N
            return (self.customers ** chance.random(count)).astype(np.int64) - 1
        if self.customers > 100 * PER_TICK:  # hardly ever twice in a tick
            return chance.integers(0, self.customers, count)
        ticks = [chance.permutation(self.customers)[:PER_TICK] for _ in range(-(-count // PER_TICK))]
        return np.concatenate([*ticks, np.empty(0, np.int64)])[:count].astype(np.int64)


def quantities(articles: Longs) -> Longs:
    """How many of an article an order has."""
    return articles % 5 + 1


def prices(articles: Longs) -> Longs:
    """What one of it costs, in cents."""
    return 100 + articles * 7 % 5_000


def _orders(chance: np.random.Generator, customer: Longs, numbers: Longs) -> Orders:
    count = len(customer)
    articles = chance.integers(0, SKUS, (count, ITEMS))
    tick, place = np.divmod(numbers, PER_TICK)
    recorded_at = RECORDED_FROM + tick * TICK_MICROSECONDS + place * (TICK_MICROSECONDS // PER_TICK)
    return Orders(
        customer=customer,
        occurred_at=recorded_at - chance.integers(0, 60_000_000, count),
        amount_cents=(quantities(articles) * prices(articles)).sum(axis=1),
        items=articles,
        recorded_at=recorded_at,
        identity=chance.integers(0, 256, (count, 16), dtype=np.uint8),
    )


def _digits(numbers: Longs, width: int, before: bytes) -> npt.NDArray[np.uint8]:
    """Numbers as text of one width, a row of bytes each, behind a letter."""
    made = np.empty((len(numbers), 1 + width), np.uint8)
    made[:, 0] = before[0]
    left = numbers
    for place in range(width, 0, -1):
        left, digit = np.divmod(left, 10)
        made[:, place] = digit + ord("0")
    return made


def _uuids(identity: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    digits = HEX[np.stack([identity >> 4, identity & 15], axis=2).reshape(len(identity), 32)]
    return np.insert(digits, [8, 12, 16, 20], ord("-"), axis=1)


def _texts(rows: npt.NDArray[np.uint8]) -> pa.StringArray:
    count, width = rows.shape
    ends = np.arange(0, width * count + 1, width, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(rows)))


def partitions(names: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.int64]:
    """The partitions of keys of one width, as Kafka's clients choose them: murmur2, for all at once."""
    mixed, all_bits = np.uint64(0x5BD1E995), np.uint64(0xFFFFFFFF)
    width = names.shape[1]
    hashes = np.full(len(names), 0x9747B28C ^ width, np.uint64)
    whole = width & ~3
    words = np.ascontiguousarray(names[:, :whole]).view("<u4").astype(np.uint64)
    for word in words.T:
        word = word * mixed & all_bits
        hashes = (hashes * mixed & all_bits) ^ ((word ^ (word >> np.uint64(24))) * mixed & all_bits)
    if whole < width:
        for place in range(whole, width):
            hashes ^= names[:, place].astype(np.uint64) << np.uint64(8 * (place - whole))
        hashes = hashes * mixed & all_bits
    hashes = (hashes ^ (hashes >> np.uint64(13))) * mixed & all_bits
    hashes ^= hashes >> np.uint64(15)
    return ((hashes & np.uint64(0x7FFFFFFF)) % np.uint64(count)).astype(np.int64)
