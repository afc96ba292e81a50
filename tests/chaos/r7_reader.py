"""An independent reader for R7: sees what is committed, as soon as it is, and judges it against the writer's ledger."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka import IsolationLevel as Isolation
from tests.chaos import topics
from tests.chaos.r7_writer import PARTITIONS, Written

STABLE_SECONDS = 60.0
COUNTS = ("lost", "duplicates", "phantom", "torn", "aborted_reads", "early_reads")


@dataclass(frozen=True)
class Seen:
    """A record that became visible, and when."""

    trial: str
    number: int
    member: int
    at: float


class Reader:
    """Reads a topic read_committed from its start, in a thread of its own, until told to end."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap, self._topic = bootstrap, topic
        self._places = [TopicPartition(topic, number, 0) for number in range(PARTITIONS)]
        self._target: dict[tuple[str, int], int] | None = None
        self.seen: list[Seen] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def finish(self) -> list[Seen]:
        """All there is once no transaction is open any more."""
        deadline = time.monotonic() + STABLE_SECONDS
        while any(topics.open_transactions(self._bootstrap, self._places) for _ in range(2)):
            assert time.monotonic() < deadline, "a transaction stays open"
            time.sleep(0.1)
        self._target = topics.ends(self._bootstrap, self._places, Isolation.READ_UNCOMMITTED)
        self._thread.join(STABLE_SECONDS)
        assert not self._thread.is_alive(), "the reader did not come to the end"
        return self.seen

    def _read(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "chaos-checkers",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
                "log_level": 2,
            }
        )
        consumer.assign(self._places)
        while not self._done(consumer):
            for message in consumer.consume(1_000, 0.05):
                if message.error() is None:
                    value = json.loads(message.value())
                    self.seen.append(Seen(value["trial"], value["transaction"], value["member"], time.monotonic()))
        consumer.close()

    def _done(self, consumer: Consumer) -> bool:
        target = self._target
        if target is None:
            return False
        return all(place.offset >= target[place.topic, place.partition] for place in consumer.position(self._places))


def judge(seen: Sequence[Seen], ledger: Sequence[Written]) -> Counter[str]:
    """Counts of what must not be. A transaction of unknown outcome may be there or not, but whole."""
    found: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
    visible: dict[tuple[str, int], list[Seen]] = {}
    for one in seen:
        visible.setdefault((one.trial, one.number), []).append(one)
    for written in ledger:
        records = visible.pop((written.trial, written.number), [])
        members = {one.member for one in records}
        found["duplicates"] += len(records) - len(members)
        found["torn"] += 0 < len(members) < written.size
        if written.ended == "committed":
            found["lost"] += written.size - len(members)
        if written.ended == "aborted":
            found["aborted_reads"] += len(members)
        else:
            found["early_reads"] += sum(one.at < written.commit_called for one in records)
    found["phantom"] += sum(len(records) for records in visible.values())
    return found
