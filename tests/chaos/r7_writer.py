"""The writer that R7 hurts: numbered transactions over three partitions through a guarded producer, and their ledger.

The control is the same producer with its suspicion switched off: what tears it and spares the other is the guard.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from headwater.errors import HeadwaterError
from headwater.hooks import Hooks
from headwater.ports.guarded import GuardedProducer
from headwater.timeline.clock import SystemClock

PARTITIONS = 3
TIMEOUT_MS = 10_000
NEVER = math.inf


class UnsuspectingProducer(GuardedProducer):
    """The saboteur: an end of transaction that took long is nothing to it."""

    def begin(self) -> None:
        self._suspicious = False
        super().begin()


@dataclass
class Written:
    """One transaction: how many records, how it ended for the application, and when it asked for the commit."""

    trial: str
    number: int
    size: int
    ended: str = "aborted"  # committed, aborted or unknown
    commit_called: float = NEVER


@dataclass
class Writer:
    """Transactions of one transactional id; after any error the producer is dropped and another takes its place."""

    make: type[GuardedProducer]
    settings: dict[str, Any]
    transactional_id: str
    topic: str
    trial: str
    ledger: list[Written] = field(default_factory=list)
    rebuilds: list[float] = field(default_factory=list)  # milliseconds that a begin took which changed the producer
    errors: list[str] = field(default_factory=list)
    _rebuilt: int = 0
    _sink: GuardedProducer | None = None

    def transaction(self, ending: str, *, size: int) -> Written:
        """One transaction to its end. The first partition is written and confirmed before the others are added."""
        written = Written(self.trial, len(self.ledger), size)
        self.ledger.append(written)
        try:
            self._do(written, ending)
        except HeadwaterError as error:
            self.errors.append(f"{error.code} {error.message}")
            self.close()
        return written

    def _do(self, written: Written, ending: str) -> None:
        sink = self._open()
        before, started = self._rebuilt, time.monotonic()
        sink.begin()
        if self._rebuilt > before:
            self.rebuilds.append((time.monotonic() - started) * 1_000)
        for member in range(written.size):
            if member == 1:
                sink.flush()
            value = {"trial": written.trial, "transaction": written.number, "member": member}
            sink.send(self.topic, b"", json.dumps(value).encode(), timestamp=1, partition=member % PARTITIONS)
        sink.flush()
        if ending == "abort":
            sink.abort()
            return
        written.ended, written.commit_called = "unknown", time.monotonic()
        sink.commit()
        written.ended = "committed"

    def _open(self) -> GuardedProducer:
        if self._sink is None:
            self._sink = self.make(
                self.settings, self.transactional_id, clock=SystemClock(), hooks=Hooks([self._heard]),
                timeout_ms=TIMEOUT_MS,
            )  # fmt: skip
            self._sink.open()
        return self._sink

    def _heard(self, happening: str, fields: dict[str, object]) -> None:
        self._rebuilt += happening == "producer.rebuilt"

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None


def normal_cost(bootstrap: str, topic: str, *, transactions: int, rounds: int) -> dict[str, Any]:
    """What the guard costs where nothing is wrong: transactions a second with and without, in turn."""
    kinds: dict[str, type[GuardedProducer]] = {"naive": UnsuspectingProducer, "guarded": GuardedProducer}
    seconds, needless = dict.fromkeys(kinds, 0.0), 0
    for number in range(rounds):
        order = list(kinds) if number % 2 else list(reversed(kinds))
        for kind in order:
            settings = {"bootstrap.servers": bootstrap}
            writer = Writer(kinds[kind], settings, f"{topic}-cost-{kind}", topic, f"cost-{kind}-{number}")
            seconds[kind] += _timed(lambda writer=writer: _many(writer, transactions))
            needless += len(writer.rebuilds)
            writer.close()
    count = transactions * rounds
    return {
        "transactions": count,
        "naive_per_second": round(count / seconds["naive"], 1),
        "guarded_per_second": round(count / seconds["guarded"], 1),
        "guard_cost_percent": round(100 * (seconds["guarded"] / seconds["naive"] - 1), 2),
        "needless_rebuilds": needless,
    }


def _many(writer: Writer, transactions: int) -> None:
    for _ in range(transactions):
        writer.transaction("commit", size=PARTITIONS)


def _timed(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
