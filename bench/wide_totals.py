"""W2c and W8: totals of millions of customers, judged as columns: every version, by its place among its customer's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyruhvro
from confluent_kafka import Message

from bench.filling import ORDERS, PARTITIONS, Encoded, Feed
from bench.folding import Judge, Workload
from bench.kafka import Kafka
from bench.oracle import Verdict
from bench.orders import RECORDED_FROM, TICK_MICROSECONDS
from bench.stack import MESH, Stack
from bench.systems.headwater import HeadwaterRun
from bench.systems.kafka_streams import KafkaStreams, Topology
from bench.systems.protocol import System
from bench.wide import NAME_DIGITS, Longs, WideLog, partitions
from headwater.naming import ProductName

SCHEMA = MESH / "schemas" / "avro" / "shop" / "orders" / "Order.avsc"
FRAME_BYTES = 5
NAME_BYTES = 2 + NAME_DIGITS  # its length before it, and a letter
READ_AT_ONCE = 100_000


class Said(NamedTuple):
    """Versions as they were read back, column by column; without recorded times and revisions where there are none."""

    customer: Longs
    orders: Longs
    amount_cents: Longs
    recorded_at: Longs | None = None
    revision: Longs | None = None


class WideTotals:
    """Totals per customer after each order, by plain summation over columns."""

    def __init__(self, log: WideLog) -> None:
        columns = [(some.customer, some.amount_cents, some.recorded_at) for some in log.stretches()]
        customer, amount, recorded_at = (np.concatenate(parts) for parts in zip(*columns, strict=True))
        order = np.argsort(customer, kind="stable")
        customer = customer[order]
        self.counts = np.bincount(customer, minlength=log.customers)
        self.starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        running = np.cumsum(amount[order])
        before = np.where(self.starts > 0, running[self.starts - 1], 0)
        self.amounts = running - before[customer]
        ticks = recorded_at[order] - RECORDED_FROM
        self.ticks = RECORDED_FROM + ticks - ticks % TICK_MICROSECONDS + TICK_MICROSECONDS - 1
        same = (customer[1:] == customer[:-1]) & (self.ticks[1:] == self.ticks[:-1])
        self.kept = np.concatenate([~same, [True]])  # the last one of a customer's tick

    def judge(self, said: Said) -> Verdict:
        """Versions in the order of each partition; with recorded times one per customer and tick is demanded."""
        count = len(said.customer)
        if count and not 0 <= said.customer.min() <= said.customer.max() < len(self.counts):
            return Verdict("a customer that was never written", count)
        if not bool(np.all((said.orders >= 1) & (said.orders <= self.counts[said.customer]))):
            return Verdict("a version that is beyond the input", count)
        order = np.argsort(said.customer, kind="stable")
        customer = said.customer[order]
        place = self.starts[customer] + said.orders[order] - 1
        if not bool(np.all(np.diff(place) > 0)):
            return Verdict("a version that is repeated or out of order", count)
        if not np.array_equal(self.amounts[place], said.amount_cents[order]):
            return Verdict("a wrong sum", count)
        fault = self._exactly(said, order, place)
        last = np.zeros(len(self.counts), np.int64)
        last[customer] = said.orders[order]  # in order: the last one stays
        missing = int(np.count_nonzero(last != self.counts))
        return Verdict(fault or (f"{missing} customers lack their last value" if missing else ""), count)

    def _exactly(self, said: Said, order: Longs, place: Longs) -> str:
        if said.recorded_at is None or said.revision is None:
            return ""
        if not np.array_equal(place, np.flatnonzero(self.kept)):
            return "there is not one version per customer and tick"
        if not np.array_equal(self.ticks[place], said.recorded_at[order]):
            return "recorded_at is not the end of the last input's tick"
        ahead = np.concatenate([[0], np.cumsum(self.kept)])
        if not np.array_equal(
            np.arange(1, len(place) + 1) - ahead[self.starts[said.customer[order]]], said.revision[order]
        ):
            return "revisions do not count 1, 2, 3 ..."
        return ""

    def outputs(self) -> int:
        """How many there are at one per customer and tick."""
        return int(np.count_nonzero(self.kept))


def keyed(events: int, customers: int, *, zipf: bool = False) -> Workload:
    """W2c: `events` orders once each customer has ordered; only these are measured. W8: none."""
    log = WideLog(events, customers, zipf)
    oracle = WideTotals(log)
    about = {
        "customers": customers,
        "keys": "Zipf, exponent 1" if zipf else "uniform",
        "ordered_before": customers,
        "outputs": oracle.outputs(),
        "seed": log.seed,
    }

    def systems(stack: Stack, kafka: Kafka, inputs: Mapping[str, int]) -> Sequence[System]:
        def judge(*, ours: bool) -> Judge:
            return lambda found: oracle.judge(read(found, ours=ours))

        topology = Topology("Totals", inputs, judge(ours=False))
        ours = HeadwaterRun(stack, kafka, ProductName("shop", "totals"), inputs, judge(ours=True))
        return [ours, KafkaStreams(stack, kafka, topology)]

    feed = Feed(ORDERS, SCHEMA, (), log.through, encoded=lambda frame: encoded(log, frame))
    return Workload([feed], about, systems, warm=customers)


def workloads(events: int) -> Mapping[str, Callable[[], Workload]]:
    """W2c's workloads by name, made when they are called."""
    return {
        f"W2c-{customers // 1_000}k-{'zipf' if zipf else 'uniform'}": partial(keyed, events, customers, zipf=zipf)
        for customers in (10_000, 1_000_000, 10_000_000)
        for zipf in (False, True)
    }


def encoded(log: WideLog, frame: bytes) -> Iterator[Encoded]:
    """The orders as they go into the topic."""
    text = SCHEMA.read_text()
    for some in log.stretches():
        names = some.names()
        (bodies,) = pyruhvro.serialize_record_batch(some.table(), text, 1)
        keys = np.ascontiguousarray(names).view(f"S{names.shape[1]}").ravel().tolist()
        where = partitions(names, PARTITIONS).tolist()
        moments = (some.recorded_at // 1_000).tolist()
        _, places, data = bodies.buffers()
        ends, every = np.frombuffer(places, np.int32).tolist(), data.to_pybytes()  # ten times as quick as its values
        for number, (key, partition, moment) in enumerate(zip(keys, where, moments, strict=True)):
            yield Encoded(key, frame + every[ends[number] : ends[number + 1]], partition, moment)


def read(messages: Iterable[Message], *, ours: bool) -> Said:
    """Headwater's `shop.totals`, or the same of Kafka Streams, which has neither interval nor revision."""
    stretches: list[list[Longs]] = []
    waiting = iter(messages)
    while some := [message.value() or b"" for message in islice(waiting, READ_AT_ONCE)]:
        stretches.append(_columns(some, ours=ours))
    columns = [np.concatenate(parts) for parts in zip(*stretches, strict=True)] or [np.empty(0, np.int64)] * 3
    return Said(*columns)


def _columns(values: Sequence[bytes], *, ours: bool) -> list[Longs]:
    data = np.frombuffer(b"".join(values), np.uint8)
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
    place = np.concatenate([[0], ends[:-1]]) + FRAME_BYTES
    digits = data[place[:, None] + np.arange(2, NAME_BYTES)].astype(np.int64) - ord("0")
    customer = digits @ 10 ** np.arange(NAME_DIGITS - 1, -1, -1, dtype=np.int64)
    place = place + NAME_BYTES
    if ours:
        _, place = longs(data, place)  # valid_from
        if bool(np.any(data[place])):
            raise ValueError("a total does not hold for all time")
        place = place + 1
    orders, place = longs(data, place)
    amount, place = longs(data, place)
    recorded_at, place = longs(data, place)
    if not ours:
        return [customer, orders, amount]
    kind, place = longs(data, place)
    revision, place = longs(data, place)
    if not np.array_equal(kind, np.where(revision == 1, 0, 1)) or not np.array_equal(place, ends):
        raise ValueError("a total is not an assert first and a correct later, or has bytes too many")
    return [customer, orders, amount, recorded_at, revision]


def longs(data: npt.NDArray[np.uint8], place: Longs) -> tuple[Longs, Longs]:
    """Avro's longs at these places, and the places after them."""
    value = np.zeros(len(place), np.uint64)
    place = place.copy()
    open_ = np.arange(len(place))
    for shift in range(0, 70, 7):
        byte = data[place[open_]]
        value[open_] |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
        place[open_] += 1
        open_ = open_[byte > 0x7F]
        if not len(open_):
            break
    return (value >> np.uint64(1)).astype(np.int64) ^ -(value & np.uint64(1)).astype(np.int64), place
