"""W8 and W10, which are no drains: a state lost and read back, and a row's way through relay and runner."""

from __future__ import annotations

from typing import Any

from bench import latency, restoring
from bench.filling import fill
from bench.kafka import Kafka
from bench.plan import Selection, Size, Tell, emptied, installed
from bench.stack import Stack
from bench.systems.headwater import HeadwaterPipeline, HeadwaterRun
from bench.systems.kafka_streams import KafkaStreams
from bench.systems.streams_pipeline import StreamsPipeline
from bench.wide_totals import keyed

# (rows a second, rows to a transaction). Five hundred commits a second and what follows them ask for more than the core
# that load, database, broker and reader share here, so that the load itself comes late; fifty do not.
PIPELINE_LOADS = ((500, 10), (5_000, 100), (5_000, 10))


def restores(selection: Selection, size: Size, *, stack: Stack, kafka: Kafka, tell: Tell) -> list[dict[str, Any]]:
    """W8: a state of as many keys as there are orders; lost, and read back."""
    workload = keyed(0, size.events)
    tell(f"W8: {dict(workload.about)}")
    stack.call("apply", "--yes")
    (feed,) = workload.feeds
    inputs = {feed.topic: fill(kafka, stack.registry_url, feed)[0]}
    systems = [
        one
        for one in workload.systems(stack, kafka, inputs)
        if isinstance(one, HeadwaterRun | KafkaStreams) and selection.takes(one)
    ]
    broken = dict(installed(systems))
    rounds: dict[str, list[dict[str, Any]]] = {system.name: [] for system in systems}
    for number in range(size.rounds):
        for system in systems:
            fault = broken.get(system.name)
            events = size.events
            done = {"fault": fault} if fault else restoring.measure(system, stack, events=events, round_=100 + number)
            tell(f"W8 round {number + 1} of {size.rounds}: {system.name}: {done}")
            rounds[system.name].append(done)
    emptied(kafka, workload, tell)
    about = {**workload.about, "events": size.events}
    return [restoring.entry("W8", system, rounds[system.name], about) for system in systems]


def pipeline(selection: Selection, size: Size, *, stack: Stack, kafka: Kafka, tell: Tell) -> list[dict[str, Any]]:
    """W10: relay and runner behind each other, and Kafka Streams behind Debezium; gently, then at W10's rate."""
    ours, peer = HeadwaterPipeline(stack, kafka), StreamsPipeline(stack, kafka)
    entries = []
    if selection.takes(peer):
        peer.install()
    for number, (rate, together) in enumerate(PIPELINE_LOADS):
        stack.call("apply", "--yes")
        # The peer first: what one has not read yet the other reads when it starts, and Headwater is the quicker one.
        for turn, system in enumerate((peer, ours)):
            if selection.takes(system):
                round_ = 2 * number + turn
                load = latency.Load(rows_per_second=rate, rows_per_transaction=together, unique=True, round=round_)
                system.prepare(number)
                entries.append(_timed(system, load, size, stack=stack, kafka=kafka, tell=tell))
    return entries


def _timed(
    system: HeadwaterPipeline | StreamsPipeline,
    load: latency.Load,
    size: Size,
    *,
    stack: Stack,
    kafka: Kafka,
    tell: Tell,
) -> dict[str, Any]:
    try:
        found = latency.measure(system, stack, kafka, system.topic, seconds=size.latency_seconds, load=load)
    except (RuntimeError, TimeoutError, OSError) as error:
        found = {"fault": str(error)}
    tell(f"W10: {system.name}: {found}")
    head = {
        "workload": f"W10-{load.rows_per_second}-by-{load.rows_per_transaction}",
        "system": system.name,
        "version": system.version(),
    }
    none = {"events_per_second": None, "cpu_seconds_per_million": None, "rss_mb": None}
    told = {"verified": "fault" not in found, **({"fault": found["fault"]} if "fault" in found else {})}
    return {**head, **none, **told, "latency_ms": found, "settings": system.settings()}
