"""How long a committed row takes to be readable: W1's second figure, at a fixed rate that no stall slows down.

Open loop: each row has its moment before the run begins, and its latency counts from there, whatever holds up the
service that writes it, the relay or the reader. Each row is a transaction. The reader sees committed records only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import psycopg
from confluent_kafka import Consumer, TopicPartition

from bench.drain import POLL_SECONDS
from bench.filling import PARTITIONS
from bench.kafka import Kafka, header
from bench.machine import TESTED_CORE, start, stop
from bench.outbox import INSERT
from bench.outbox_rows import OutboxLog, OutboxRow
from bench.stack import Stack, tail
from bench.systems.protocol import System

RATE = 1_000  # rows a second
WRITERS = 8
READ_SECONDS = 0.002  # how long the reader gathers what has arrived: part of the figure
ROUND = 1_000_003  # of the rows, so that no other round has them
WARM_ROWS = 2_000  # the first ones do not count: a JVM compiles, connections open
WAIT_SECONDS = 60.0


def measure(system: System, stack: Stack, kafka: Kafka, topic: str, *, seconds: float) -> dict[str, Any]:
    """Milliseconds from a row's moment to its arrival at a reader: p50, p99, p99.9. Raises where one is missing.

    `from_commit` is the same from where the database had answered: what the writer was late is in the first alone.
    """
    counted = int(RATE * seconds)
    log = OutboxLog(WARM_ROWS + counted, round=ROUND)
    rows = [row for transaction in log.transactions() for row in transaction]
    output = stack.log(f"{system.name}-latency")
    output.unlink(missing_ok=True)
    process = start(system.command(), core=TESTED_CORE, log=output)
    try:
        system.progress()
        reader = _Reader(kafka, topic)
        _until(lambda: _serves(stack, system, reader), f"{system.name} publishes nothing:\n{tail(output)}")
        # Writers in a process of their own: in this one they would hold up the reader.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as writers:
            moments, committed = writers.submit(_write, stack.postgres("shop"), rows).result()
        _until(lambda: all(row.id in reader.arrived for row in rows), f"{system.name}: rows are missing")
        reader.stop()
    finally:
        stop(process)
    some = rows[WARM_ROWS:]
    return {
        **_percentiles([reader.arrived[row.id] - moments[row.id] for row in some]),
        "from_commit": _percentiles([reader.arrived[row.id] - committed[row.id] for row in some]),
        "rows_per_second": RATE,
        "rows": counted,
    }


def _percentiles(seconds: list[float]) -> dict[str, float]:
    took = sorted(seconds)
    shares = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    return {name: round(took[int(len(took) * share)] * 1_000, 1) for name, share in shares.items()}


def _write(address: str, rows: list[OutboxRow]) -> tuple[dict[str, float], dict[str, float]]:
    """Commit each row at its moment, or as soon after it as the database lets us; moments and commits by row.

    As services do it: over several connections, each commit on disk before it is answered. A commit that is not
    waited for is written out up to 200 ms later, and only then sent to whoever replicates.
    """
    begin = time.monotonic() + 0.5
    moments = {row.id: begin + number / RATE for number, row in enumerate(rows)}
    committed: dict[str, float] = {}

    def write(some: list[OutboxRow]) -> None:
        with psycopg.connect(address, autocommit=True) as connection:
            for row in some:
                wait = moments[row.id] - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                connection.execute(INSERT, ([row.id], [row.customer], [row.payload]), prepare=True)
                committed[row.id] = time.monotonic()

    writers = [threading.Thread(target=write, args=[rows[number::WRITERS]]) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return moments, committed


class _Reader:
    """Reads a topic's new records in a thread and keeps when each row's arrived."""

    def __init__(self, kafka: Kafka, topic: str) -> None:
        self.arrived: dict[str, float] = {}
        settings = {**kafka.reading(), "fetch.wait.max.ms": 5, "enable.partition.eof": False}
        self._consumer = Consumer(settings)
        ends = kafka.ends(topic, PARTITIONS)
        self._consumer.assign([TopicPartition(topic, number, end) for number, end in enumerate(ends)])
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            messages = self._consumer.consume(1_000, READ_SECONDS)
            now = time.monotonic()
            for message in messages:
                if message.error() is None:
                    self.arrived.setdefault(header(message, "id"), now)

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()
        self._consumer.close()


def _serves(stack: Stack, system: System, reader: _Reader) -> bool:
    """Whether the system publishes what is committed now: one row more, until one has arrived."""
    system.progress()
    rows = _probes()
    with psycopg.connect(stack.postgres("shop"), autocommit=True) as connection:
        row = next(rows)
        connection.execute(INSERT, ([row.id], [row.customer], [row.payload]))
    time.sleep(0.5)
    there = bool(reader.arrived)
    if there:
        time.sleep(1.0)
        reader.arrived.clear()
    return there


def _probes() -> Iterator[OutboxRow]:
    log = OutboxLog(1, round=time.monotonic_ns())
    return (row for transaction in log.transactions() for row in transaction)


def _until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(POLL_SECONDS)
