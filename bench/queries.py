"""W5 and W6: Nexmark's queries, each with its oracle, how its outputs are read back, and Kafka Streams beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from confluent_kafka import Message

from bench import last_bids
from bench.filling import Feed
from bench.flink_queries import FLINK
from bench.folding import Judge, Workload
from bench.history import TAKEN_BACK, Demand, History, Said, Values
from bench.kafka import Kafka
from bench.nexmark import Bid, NexmarkLog
from bench.oracle import Verdict
from bench.orders import tick_end
from bench.stack import NEXMARK, Stack
from bench.systems.avro_reader import AvroReader
from bench.systems.flink import Flink, Job
from bench.systems.headwater import HeadwaterRun
from bench.systems.kafka_streams import KafkaStreams, Topology
from bench.systems.protocol import System
from headwater.naming import ProductName

DAY = 86_400_000_000
FRAME_BYTES = 5
RETRACT = 2
MILLI_EUROS, EVERY, CATEGORY = 908, 123, 10
GRACE_MS = {"kafka-streams": 30 * 86_400_000, "kafka-streams-no-grace": 0, "kafka-streams-grace-1d": 86_400_000}

Changes = Iterator[tuple[str, Values, int]]
Read = Callable[[AvroReader], tuple[str, Values]]


def euros(log: NexmarkLog) -> Changes:
    """Query 1. What only maps keeps its input's recorded time."""
    for bid in log.all_bids():
        yield bid.event_id, (bid.auction, bid.bidder, bid.price * MILLI_EUROS, bid.occurred_at), bid.recorded_at


def selected(log: NexmarkLog) -> Changes:
    """Query 2."""
    for bid in log.all_bids():
        if bid.auction_number % EVERY == 0:
            yield bid.event_id, (bid.auction, bid.price, bid.occurred_at), bid.recorded_at


def auction_days(log: NexmarkLog) -> Changes:
    """Query 17, from the bids of an auction's day as they stand after each change."""
    standing: dict[str, dict[str, int]] = {}
    for bid in log.all_bids():
        day = f"{bid.auction}@{bid.occurred_at - bid.occurred_at % DAY}"
        prices = standing.setdefault(day, {})
        if bid.kind == "retract":
            del prices[bid.event_id]
        else:
            prices[bid.event_id] = bid.price
        yield day, _statistics(list(prices.values())), tick_end(bid.recorded_at)


def expanded(log: NexmarkLog) -> Changes:
    """Query 20: auctions are there before the bids on them, and are not corrected."""
    known = {one.auction: one for one in log.auctions()}
    for bid in log.all_bids():
        auction = known[bid.auction]
        if auction.category == CATEGORY:
            more = (auction.seller, auction.category)
            values = (bid.auction, bid.bidder, bid.price, bid.occurred_at, *more)
            yield bid.event_id, values, tick_end(bid.recorded_at)


def _statistics(prices: Sequence[int]) -> Values:
    if not prices:
        return TAKEN_BACK
    low, high = sum(price < 10_000 for price in prices), sum(price >= 1_000_000 for price in prices)
    return len(prices), low, len(prices) - low - high, high, min(prices), max(prices), sum(prices)


def _euro(reader: AvroReader) -> tuple[str, Values]:
    return reader.text(), (reader.text(), reader.text(), reader.long(), reader.long())


def _selected(reader: AvroReader) -> tuple[str, Values]:
    return reader.text(), (reader.text(), reader.long(), reader.long())


def _auction_day(reader: AvroReader) -> tuple[str, Values]:
    auction, start = reader.text(), reader.long()
    if reader.long():
        reader.long()  # valid_to
    counts = [reader.long() for _ in range(4)]
    extremes = [reader.long() if reader.long() else None for _ in range(2)]
    return f"{auction}@{start}", (*counts, *extremes, reader.long())


def _expanded(reader: AvroReader) -> tuple[str, Values]:
    event, values = reader.text(), (reader.text(), reader.text(), reader.long(), reader.long())
    return event, (*values, reader.text() if reader.long() else None, reader.long() if reader.long() else None)


QUERIES: Mapping[str, tuple[str, Callable[[NexmarkLog], Changes], Read]] = {
    "q1": ("euros", euros, _euro),
    "q2": ("selected", selected, _selected),
    "q17": ("auction_days", auction_days, _auction_day),
    "q20": ("expanded", expanded, _expanded),
}


def query(name: str, bids: int, *, late: bool = False) -> Workload:
    """W5's query of this name; `late`: W6's, over late and amended bids."""
    log = NexmarkLog(bids, late_per_mille=20 if late else 0, amended=late)
    product, changes, read = QUERIES[name]
    oracle = History(changes(log))
    prefix = "amended_" if late else ""
    feeds = [_bids(log, f"{prefix}bids", "AmendedBid" if late else "Bid")]
    if name == "q20":
        facts = ((one.auction, one.recorded_at, one._asdict()) for one in log.auctions())
        feeds.append(feed_of("auctions", "Auction", facts, log.through))

    def systems(stack: Stack, kafka: Kafka, inputs: Mapping[str, int]) -> Sequence[System]:
        def judge(demand: Demand) -> Judge:
            return lambda messages: oracle.judge(said(messages, read, whole=demand == "exact"), demand=demand)

        def peer(grace: str) -> KafkaStreams:
            properties = {"bench.query": name, "bench.grace.ms": GRACE_MS[grace], "bench.table": [*inputs][-1]}
            demand: Demand = "share" if late else "some"
            return KafkaStreams(stack, kafka, Topology("Nexmark", inputs, judge(demand), properties), name=grace)

        ours = HeadwaterRun(stack, kafka, ProductName("nexmark", f"{prefix}{product}"), inputs, judge("exact"))
        flink = [] if late else flinks(stack, kafka, name, inputs, judge("some"))
        return [ours, *(peer(grace) for grace in (tuple(GRACE_MS) if late else ("kafka-streams",))), *flink]

    about = {"query": name, "late_per_mille": log.late_per_mille, "groups": len(oracle.versions), "seed": log.seed}
    return Workload(feeds, {**about, "amended": late, "outputs": oracle.count()}, systems)


def flinks(stack: Stack, kafka: Kafka, name: str, inputs: Mapping[str, int], judge: Judge) -> Sequence[System]:
    """Flink on a query, with either store."""
    job = Job(name, inputs, FLINK[name], judge)
    return [Flink(stack, kafka, job), Flink(stack, kafka, job, name="flink-heap")]


def last_bids_of(bids: int) -> Workload:
    """W5's query 18, whose output is a state over valid time, in two stages; Flink keeps the last bid alone."""
    log = NexmarkLog(bids)
    oracle = last_bids.LastBids(log)
    newest = History(last_bids.newest(log))

    def systems(stack: Stack, kafka: Kafka, inputs: Mapping[str, int]) -> Sequence[System]:
        def ours(found: Iterable[Message]) -> Verdict:
            return oracle.judge(last_bids.read(found))

        def theirs(found: Iterable[Message]) -> Verdict:
            return newest.judge(said(found, last_bids.read_newest, whole=False), demand="some")

        product = ProductName("nexmark", "last_bids")
        through = HeadwaterRun(stack, kafka, product, inputs, ours, through=log.through)
        return [through, *flinks(stack, kafka, "q18", inputs, theirs)]

    about = {"query": "q18", "groups": len(oracle.pieces), "seed": log.seed}
    return Workload([_bids(log, "bids", "Bid")], about, systems)


def workloads(bids: int) -> Mapping[str, Callable[[], Workload]]:
    """W5's and W6's workloads by name, made when they are called."""
    made: dict[str, Callable[[], Workload]] = {f"W5-{name}": partial(query, name, bids) for name in QUERIES}
    made["W5-q18"] = partial(last_bids_of, bids)
    made["W6-q17"] = partial(query, "q17", bids, late=True)
    return made


def said(messages: Iterable[Message], read: Read, *, whole: bool) -> Iterator[Said]:
    """What was read back. `whole`: with recorded time, kind and revision after the values, which a rival has not.

    Flink deletes, by a key without a value, what its filter lets through no more, and also what it never let through.
    """
    standing: set[str] = set()
    for message in messages:
        if not whole and not message.value():
            group = "@".join(map(str, json.loads(message.key() or b"{}").values()))
            if group in standing:
                yield Said(group, TAKEN_BACK)
            continue
        reader = AvroReader(message.value() or b"", FRAME_BYTES)
        group, values = read(reader)
        if not whole:
            standing.add(group)
            yield Said(group, values)
            continue
        recorded_at, kind, revision = reader.long(), reader.long(), reader.long()
        yield Said(group, TAKEN_BACK if kind == RETRACT else values, recorded_at, revision)


def _bids(log: NexmarkLog, product: str, schema: str) -> Feed:
    def record(bid: Bid) -> tuple[str, int, Mapping[str, object]]:
        return bid.auction, bid.recorded_at, bid._asdict()

    return feed_of(product, schema, map(record, log.all_bids()), log.through)


def feed_of(product: str, schema: str, records: Iterable[tuple[str, int, Mapping[str, object]]], through: int) -> Feed:
    """The input of a source product of Nexmark's mesh."""
    file = NEXMARK / "schemas" / "avro" / "nexmark" / product / f"{schema}.avsc"
    return Feed(ProductName("nexmark", product), file, records, through)
