"""W5 on persons and auctions: query 3, local sellers of a category, and 8, who signed up and sold in ten seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from bench.filling import Feed
from bench.folding import Judge, Workload
from bench.history import Demand, History, Values
from bench.kafka import Kafka
from bench.openings import Opening, OpeningLog, Person
from bench.orders import tick_end
from bench.queries import Changes, Read, feed_of, flinks, said
from bench.stack import Stack
from bench.systems.avro_reader import AvroReader
from bench.systems.headwater import HeadwaterRun
from bench.systems.kafka_streams import KafkaStreams, Topology
from bench.systems.protocol import System
from headwater.naming import ProductName

CATEGORY, STATES = 10, ("OR", "ID", "CA")
WINDOW = 10_000_000
PRODUCTS = {"q3": "local_sellers", "q8": "new_sellers"}


class Query(NamedTuple):
    """What a query must say, how its output is read back, and its two inputs."""

    changes: Callable[[OpeningLog], Changes]
    read: Read
    feeds: Callable[[OpeningLog], Sequence[Feed]]


def local_sellers(log: OpeningLog) -> Changes:
    """Query 3: the openings of one category whose seller lives in one of three states."""
    known: dict[str, Person] = {}
    for one in log.all():
        if isinstance(one, Person):
            known[one.person] = one
        elif one.category == CATEGORY and known[one.seller].state in STATES:
            who = known[one.seller]
            values = (one.seller, one.auction, one.occurred_at, who.full_name, who.city, who.state)
            yield one.event_id, values, tick_end(one.recorded_at)


def new_sellers(log: OpeningLog) -> Changes:
    """Query 8: persons who signed up and opened auctions within the same ten seconds, and how many."""
    names: dict[str, str] = {}
    opened: dict[str, int] = {}
    for one in log.all():
        person = one.person if isinstance(one, Person) else one.seller
        window = f"{person}@{one.occurred_at - one.occurred_at % WINDOW}"
        if isinstance(one, Person):
            names[window] = one.full_name
        else:
            opened[window] = opened.get(window, 0) + 1
        if window in names and window in opened:
            yield window, (names[window], opened[window]), tick_end(one.recorded_at)


def _local_seller(reader: AvroReader) -> tuple[str, Values]:
    event, known = reader.text(), (reader.text(), reader.text(), reader.long())
    return event, (*known, *(reader.text() if reader.long() else None for _ in range(3)))


def _new_seller(reader: AvroReader) -> tuple[str, Values]:
    person, start = reader.text(), reader.long()
    if reader.long():
        reader.long()  # valid_to
    return f"{person}@{start}", (reader.text() if reader.long() else None, reader.long())


def _openings(log: OpeningLog) -> Feed:
    return feed_of("openings", "Opening", (_record(one.seller, one) for one in log.openings()), log.through)


def _facts(log: OpeningLog) -> Feed:
    def fact(one: Person) -> Mapping[str, object]:
        return {**one._asdict(), "valid_from": one.occurred_at, "valid_to": None, "kind": "assert", "revision": 1}

    facts = ((one.person, one.recorded_at, fact(one)) for one in log.persons())
    return feed_of("persons", "Person", facts, log.through)


def _sign_ups(log: OpeningLog) -> Feed:
    return feed_of("sign_ups", "SignUp", (_record(one.person, one) for one in log.persons()), log.through)


def _record(key: str, one: Person | Opening) -> tuple[str, int, Mapping[str, object]]:
    return key, one.recorded_at, {**one._asdict(), "kind": "assert", "revision": 1}


QUERIES: Mapping[str, Query] = {
    "q3": Query(local_sellers, _local_seller, lambda log: [_openings(log), _facts(log)]),
    "q8": Query(new_sellers, _new_seller, lambda log: [_openings(log), _sign_ups(log)]),
}


def query(name: str, events: int) -> Workload:
    """W5's query of this name over persons and openings."""
    log = OpeningLog(events)
    asked = QUERIES[name]
    oracle = History(asked.changes(log))

    def systems(stack: Stack, kafka: Kafka, inputs: Mapping[str, int]) -> Sequence[System]:
        def judge(demand: Demand) -> Judge:
            return lambda found: oracle.judge(said(found, asked.read, whole=demand == "exact"), demand=demand)

        _, other = inputs
        properties = {"bench.query": name, "bench.other": other}
        ours = HeadwaterRun(stack, kafka, ProductName("nexmark", PRODUCTS[name]), inputs, judge("exact"))
        streams = KafkaStreams(stack, kafka, Topology("Sellers", inputs, judge("some"), properties))
        return [ours, streams, *flinks(stack, kafka, name, inputs, judge("some"))]

    about = {"query": name, "groups": len(oracle.versions), "outputs": oracle.count(), "seed": log.seed}
    return Workload(asked.feeds(log), about, systems)


def workloads(events: int) -> Mapping[str, Callable[[], Workload]]:
    """W5's workloads of persons and auctions by name, made when they are called."""
    return {f"W5-{name}": partial(query, name, events) for name in QUERIES}
