"""Kafka Streams behind Debezium, as W10 has them: one core for both, exactly once, set for latency, not for throughput.

Debezium passes the payload's JSON on as text; Kafka Streams looks for the amount in it and commits at each tick of
Headwater's, 100 ms, which is its own default where it is exactly once.
"""

from __future__ import annotations

import shlex
from typing import Any

from bench.kafka import Kafka
from bench.machine import Command
from bench.oracle import Verdict
from bench.stack import ROOT, Stack
from bench.systems.debezium import TOPIC, Debezium
from bench.systems.kafka_streams import KafkaStreams, Topology

QUICK = {"commit.interval.ms": 100, "producer.linger.ms": 5}


class StreamsPipeline:
    """Both in one session; `topic` is what Kafka Streams writes."""

    name = "debezium-kafka-streams"

    def __init__(self, stack: Stack, kafka: Kafka) -> None:
        self._debezium = Debezium(stack, kafka, quick=True)
        topology = Topology("JsonTotals", {TOPIC: 0}, lambda found: Verdict("never asked", 0), QUICK)
        self._streams = KafkaStreams(stack, kafka, topology)

    @property
    def topic(self) -> str:
        """Where the totals are read."""
        return self._streams.output

    def version(self) -> str:
        """Of both."""
        return f"Debezium {self._debezium.version()}, Kafka Streams {self._streams.version()}"

    def settings(self) -> dict[str, Any]:
        """Of both."""
        return {"debezium": self._debezium.settings(), "kafka-streams": self._streams.settings()}

    def install(self) -> None:
        """Once for a stack: jars, topics, the replication slot."""
        self._debezium.install()
        self._streams.install()

    def prepare(self, round_: int) -> None:
        """The output of a round."""
        self._streams.prepare(round_)

    def command(self) -> Command:
        """Both, in one session, both of which are asked to end: a worker of Connect that is killed keeps its place."""
        commands = self._debezium.command(), self._streams.command()
        both = " & ".join(shlex.join(one.arguments) for one in commands)
        return Command(["/bin/sh", "-c", f"trap 'trap : TERM; kill 0' TERM; {both} & wait; wait"], {}, ROOT)

    def progress(self) -> int:
        """Not asked for; Debezium's worker is given its connector."""
        return int(self._debezium.configured())
