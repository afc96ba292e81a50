"""How long a committed row takes to be readable: W1's second figure, at a fixed rate that no stall slows down.

Open loop: each row has its moment before the run begins, and its latency counts from there, whatever holds up the
service that writes it, the relay or the reader. Each row is a transaction. The reader sees committed records only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Protocol

import psycopg
from confluent_kafka import Consumer, Message, TopicPartition

from bench.drain import POLL_SECONDS
from bench.filling import PARTITIONS
from bench.kafka import Kafka, header
from bench.machine import TESTED_CORE, Command, start, stop
from bench.outbox import INSERT
from bench.outbox_rows import OutboxLog, OutboxRow
from bench.stack import Stack, tail

WRITERS = 8
READ_SECONDS = 0.002  # how long the reader gathers what has arrived: part of the figure
ROUND = 1_000_003  # of the rows, so that no other round has them
WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """How rows come: W1's are a transaction each; W10's, many to a transaction, are known by customers of their own."""

    rows_per_second: int = 1_000
    rows_per_transaction: int = 1
    unique: bool = False
    round: int = 0  # no two measurements on one stack may write the same rows

    def name(self, row: OutboxRow) -> str:
        """What a row's record is known by."""
        return row.customer if self.unique else row.id

    def read(self, message: Message) -> str:
        """The same from a record: a key, or the row's id in a header."""
        return (message.key() or b"").decode() if self.unique else header(message, "id")


class Tested(Protocol):
    """What is measured; a system of the protocol is one."""

    @property
    def name(self) -> str:
        """As it stands in the results."""

    def command(self) -> Command:
        """What is started."""

    def progress(self) -> int:
        """Called while it starts, for what needs a hand then."""


def measure(
    system: Tested, stack: Stack, kafka: Kafka, topic: str, *, seconds: float, load: Load | None = None
) -> dict[str, Any]:
    """Milliseconds from a row's moment to its arrival at a reader: p50, p99, p99.9. Raises where one is missing.

    `from_commit` is the same from where the database had answered: what the writer was late is in the first alone.
    """
    load = load or Load()
    # The first ones do not count: a JVM compiles, connections open.
    counted, warm = int(load.rows_per_second * seconds), 2 * load.rows_per_second
    log = OutboxLog(warm + counted, round=ROUND + load.round, unique=load.unique)
    rows = [row for transaction in log.transactions() for row in transaction]
    output = stack.log(f"{system.name}-latency")
    output.unlink(missing_ok=True)
    process = start(system.command(), core=TESTED_CORE, log=output)
    try:
        system.progress()
        reader = _Reader(kafka, topic, load)
        sent: list[str] = []
        _until(lambda: _serves(stack, system, reader, load, sent), f"{system.name} publishes nothing:\n{tail(output)}")
        # Writers in a process of their own: in this one they would hold up the reader.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as writers:
            moments, committed = writers.submit(_write, stack.postgres("shop"), rows, load).result()
        _until(lambda: all(load.name(row) in reader.arrived for row in rows), f"{system.name}: rows are missing")
        reader.stop()
    finally:
        stop(process)
    some = rows[warm:]
    arrived = {row.id: reader.arrived[load.name(row)] for row in some}
    return {
        **_percentiles([arrived[row.id] - moments[row.id] for row in some]),
        "from_commit": _percentiles([arrived[row.id] - committed[row.id] for row in some]),
        "rows_per_second": load.rows_per_second,
        "rows_per_transaction": load.rows_per_transaction,
        "rows": counted,
    }


def _percentiles(seconds: list[float]) -> dict[str, float]:
    took = sorted(seconds)
    shares = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    return {name: round(took[int(len(took) * share)] * 1_000, 1) for name, share in shares.items()}


def _write(address: str, rows: list[OutboxRow], load: Load) -> tuple[dict[str, float], dict[str, float]]:
    """Commit each row at its moment, or as soon after it as the database lets us; moments and commits by row.

    As services do it: over several connections, each commit on disk before it is answered. A commit that is not
    waited for is written out up to 200 ms later, and only then sent to whoever replicates.
    """
    begin = time.monotonic() + 0.5
    together = [rows[at : at + load.rows_per_transaction] for at in range(0, len(rows), load.rows_per_transaction)]
    pause = load.rows_per_transaction / load.rows_per_second
    moments = {row.id: begin + number * pause for number, batch in enumerate(together) for row in batch}
    committed: dict[str, float] = {}

    def write(some: list[list[OutboxRow]]) -> None:
        with psycopg.connect(address, autocommit=True) as connection:
            for batch in some:
                wait = moments[batch[0].id] - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                connection.execute(INSERT, [list(column) for column in zip(*batch, strict=True)], prepare=True)
                committed.update(dict.fromkeys((row.id for row in batch), time.monotonic()))

    writers = [threading.Thread(target=write, args=[together[number::WRITERS]]) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return moments, committed


class _Reader:
    """Reads a topic's new records in a thread and keeps when each row's arrived."""

    def __init__(self, kafka: Kafka, topic: str, load: Load) -> None:
        self._load = load
        self.arrived: dict[str, float] = {}
        # The client's own default. The broker answers as soon as something new is stable; a reader that asks each 5 ms
        # took a quarter of the core by itself, and added more to the latency than it saved.
        settings = {**kafka.reading(), "fetch.wait.max.ms": 500, "enable.partition.eof": False}
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
                    self.arrived.setdefault(self._load.read(message), now)

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()
        self._consumer.close()


def _serves(stack: Stack, system: Tested, reader: _Reader, load: Load, sent: list[str]) -> bool:
    """Whether the system publishes what is committed now: one row more, until one has arrived.

    `sent` keeps what these rows are known by: older ones than the first, of another system's turn, are passed by.
    """
    system.progress()
    rows = _probes(load)
    with psycopg.connect(stack.postgres("shop"), autocommit=True) as connection:
        row = next(rows)
        connection.execute(INSERT, ([row.id], [row.customer], [row.payload]))
    sent.append(load.name(row))
    time.sleep(0.5)
    there = any(name in reader.arrived for name in sent)
    if there:
        time.sleep(1.0)
        reader.arrived.clear()
    return there


def _probes(load: Load) -> Iterator[OutboxRow]:
    log = OutboxLog(1, round=time.monotonic_ns(), unique=load.unique)
    return (row for transaction in log.transactions() for row in transaction)


def _until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(POLL_SECONDS)
