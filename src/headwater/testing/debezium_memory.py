"""Debezium in this process: what a `MemoryOutbox` committed goes to the capture topic, record for record as Connect's.

It may cut Connect's transactions anywhere, begin again in the middle of one of the database's, and send again what it
has sent, as a worker that was killed does where exactly-once is off.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from headwater import naming
from headwater.errors import Unreachable
from headwater.outbox.capture import COMMITTED_AT, OPERATION, ORDER, TRANSACTION
from headwater.outbox.debezium import CAPTURE_TOPIC_SETTINGS
from headwater.outbox.event import COLUMNS, OutboxEvent
from headwater.outbox.pgoutput import LogicalMessage
from headwater.outbox.store_memory import MemoryOutbox
from headwater.ports.protocol import Broker
from headwater.ports.record import TopicDescription
from headwater.timeline.clock import Clock

WRITER = "connect-cluster-memory"


class MemoryDebezium:
    """The connector of one source. Nothing is captured until `capture` is called."""

    def __init__(self, outbox: MemoryOutbox, broker: Broker, *, source: str, clock: Clock) -> None:
        self.outbox = outbox
        self.broker = broker
        self.topic = naming.capture_topic(source)
        self.clock = clock
        self.holder: MemoryCompanion | None = None
        self.published = True
        self.sent: list[dict[str, Any]] = []
        self._left: list[dict[str, Any]] = []
        self._place = 0
        self._pulses = 0
        if self.topic not in broker.describe([self.topic]):
            broker.create_topic(TopicDescription(self.topic, 1, dict(CAPTURE_TOPIC_SETTINGS)))

    def capture(self, records: int = 1 << 30) -> int:
        """Send up to so many records, all in one transaction of Connect; how many there were."""
        for transaction in self.outbox.transactions[self._place :]:
            rows = [row for row in transaction.rows if not isinstance(row, bytes)]
            self._left += _records(transaction.commit_lsn, transaction.end_lsn, transaction.committed_at, rows)
        self._place = len(self.outbox.transactions)
        now, self._left = self._left[:records], self._left[records:]
        self.send(now)
        return len(now)

    def skip(self) -> None:
        """Begin here: what is committed so far lies before the slot."""
        self._place = len(self.outbox.transactions)

    def send(self, records: Sequence[dict[str, Any]]) -> None:
        """Send these, in one transaction; a repeat is one that was sent before."""
        if not records:
            return
        sink = self.broker.sink(WRITER)
        sink.open()
        sink.begin()
        for record in records:
            sink.send(self.topic, b"key", json.dumps(record).encode(), timestamp=0, partition=0)
        sink.commit()
        sink.close()
        self.sent += [record for record in records if record not in self.sent]

    def begin_again(self) -> None:
        """Say again that the open transaction begins, as a connector does that was restarted in the middle of it."""
        open_one = next((one for one in reversed(self.sent) if one.get("status")), None)
        if open_one is not None and open_one["status"] == "BEGIN":
            self.send([{**open_one}])

    def pulse(self) -> None:
        """A transaction without rows."""
        self._pulses += 1
        self.outbox.roll_back(())
        lsn = self.outbox.lsn
        self.capture()
        self._left += _records(lsn, lsn, self.outbox.clock.now(), ())
        self.capture()

    def companion(self) -> MemoryCompanion:
        """A connection to the database."""
        return MemoryCompanion(self)


class MemoryCompanion:
    """A `Companion`: the lease is one object's at a time."""

    def __init__(self, debezium: MemoryDebezium, answer: Callable[[], None] | None = None) -> None:
        self._debezium = debezium
        self._answer = answer or debezium.pulse

    def take_lease(self) -> bool:
        """Only one has it."""
        if self._debezium.holder in (None, self):
            self._debezium.holder = self
            return True
        return False

    def keep_lease(self) -> None:
        """Raises where another has it."""
        if self._debezium.holder is not self:
            raise Unreachable("the lease is gone", code="HW-O031", hint="connect again")

    def pulse(self) -> None:
        """Comes back through the lane at once."""
        self._answer()

    def published(self) -> bool:
        """The publication."""
        return self._debezium.published

    def close(self) -> None:
        """Let go."""
        if self._debezium.holder is self:
            self._debezium.holder = None


def _records(
    commit_lsn: int, end_lsn: int, committed_at: int, rows: Sequence[OutboxEvent | LogicalMessage]
) -> list[dict[str, Any]]:
    boundary = {"event_count": None, "data_collections": None, "ts_ms": committed_at // 1_000}
    found: list[dict[str, Any]] = [{"status": "BEGIN", "id": f"{commit_lsn}:{commit_lsn - 8}", **boundary}]
    for order, row in enumerate(rows, 1):
        if isinstance(row, LogicalMessage):
            found.append(_logical(commit_lsn, committed_at, order, row))
            continue
        cells = {name: _cell(value) for name, value in zip(COLUMNS, row.values(), strict=True)}
        added = {OPERATION: "c", TRANSACTION: commit_lsn, COMMITTED_AT: committed_at, ORDER: order}
        found.append({**cells, **added})
    return [*found, {"status": "END", "id": f"{commit_lsn}:{end_lsn}", **boundary, "event_count": len(rows)}]


def _logical(transaction: int, committed_at: int, order: int, message: LogicalMessage) -> dict[str, Any]:
    content = base64.b64encode(message.content).decode()
    return {
        "op": "m",
        "source": {"txId": transaction, "ts_us": committed_at},
        "transaction": {"id": f"{transaction}:1", "total_order": order} if message.transactional else None,
        "message": {"prefix": message.prefix, "content": content},
    }


def _cell(value: object) -> object:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
