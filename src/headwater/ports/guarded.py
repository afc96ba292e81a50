"""The guarded producer: a transactional Kafka producer that a delayed EndTxn cannot harm.

librdkafka speaks EndTxn 1: commit or abort frames of one producer epoch look alike, so a frame that the library itself
repeated after a cut may be delivered late and end a *later* transaction. So may a late repeat of the call that sends
offsets set a group back in a later one. The guard: flush first, then time the commit or abort call alone, and what
sends offsets. The library waits 0.8 to 1.2 times `retry.backoff.ms` before each repeat, so a call shorter than 0.75
times of it hides none. A longer one is suspicious: before the next `begin` the producer is dropped and a new one with
the same transactional id takes its place, whose `init_transactions` raises the epoch and fences the late frame.
An error is no matter for the guard: the caller drops sink, readers and state, and builds new ones.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import count, islice
from operator import itemgetter
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka import TopicPartition as KafkaTopicPartition

from headwater.errors import Fault, Unreachable
from headwater.hooks import Hooks
from headwater.ports.kafka_calls import called
from headwater.ports.kafka_errors import mapped
from headwater.ports.kafka_refusals import Reasons, unusable_setting
from headwater.ports.protocol import GroupOffsets, GroupSource
from headwater.ports.record import Header, Outgoing, TopicPartition
from headwater.timeline.clock import Clock

RETRY_BACKOFF_MS = 100  # librdkafka's default, written out because the guard's limit is made of it
SUSPICIOUS_SHARE = 0.75  # of the back-off; at 100 ms the fastest repeated call measured took 81.5 ms
OPEN_SECONDS = 30.0  # a predecessor's transaction is aborted first, and a fresh coordinator loads for a second
CALL_SECONDS = 15.0  # of one call; above the socket's timeout, so that one lost answer is still repeated
FORGOTTEN_SECONDS = 2.0
_PLACE = itemgetter(0, 1)  # of a record: topic and partition
QUEUE_WAIT_SECONDS = 0.05


def producer_settings(transactional_id: str, timeout_ms: int) -> dict[str, Any]:
    """librdkafka's options of a guarded producer, each with its reason."""
    return {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": timeout_ms,  # how long readers may stall behind a writer that is gone
        "enable.idempotence": True,  # implied by transactions; said, so that nobody turns it off
        "acks": "all",
        "partitioner": "murmur2_random",  # as Java clients; librdkafka's own default would break co-partitioning
        "compression.type": "lz4",
        "linger.ms": 20,  # fills batches while a transaction is built; `flush` does not wait for it
        "batch.size": 1_000_000,
        "batch.num.messages": 10_000,
        "message.max.bytes": 1_000_000,  # below the broker's own default of 1,048,588
        "queue.buffering.max.messages": 200_000,  # bounds memory; a full queue waits in `send`
        "queue.buffering.max.kbytes": 131_072,
        "retry.backoff.ms": RETRY_BACKOFF_MS,
        "socket.timeout.ms": max(1_000, min(10_000, timeout_ms - 1_000)),  # must lie below the transaction's timeout
        "reconnect.backoff.max.ms": 1_000,
        "socket.nagle.disable": True,  # a commit is one small frame: do not hold it back
        "delivery.report.only.error": False,
    }


class _Delivered:
    """Hears delivery reports and keeps the next offset of each partition."""

    __slots__ = ("ends",)

    def __init__(self) -> None:
        self.ends: dict[tuple[str, int], int] = {}

    def __call__(self, error: Any, message: Any) -> None:
        if error is None:
            place = (message.topic(), message.partition())
            end = message.offset() + 1
            if end > self.ends.get(place, 0):
                self.ends[place] = end


class GuardedProducer:
    """A `TransactionalSink` on Kafka. `settings` are the mesh's (bootstrap.servers, security) and win over ours."""

    def __init__(
        self, settings: Mapping[str, Any], transactional_id: str, *, clock: Clock, hooks: Hooks, timeout_ms: int
    ) -> None:
        self._settings = {**producer_settings(transactional_id, timeout_ms), **settings}
        # Made of the back-off that is in force: a mesh that sets a shorter one must not blind the guard.
        self._suspicious_after = int(float(self._settings["retry.backoff.ms"]) * 1_000 * SUSPICIOUS_SHARE)
        self._transactional_id = transactional_id
        self._bootstrap = str(settings.get("bootstrap.servers", ""))
        self._timeout = min(timeout_ms / 1_000, CALL_SECONDS)
        self._clock = clock
        self._hooks = hooks
        self._producer: Any = None
        self._suspicious = False  # since the producer was made, not since `begin`
        self._broken = False
        self._transacting = False
        # The last record of each partition is held back, so that only it asks for a delivery report: one report a
        # partition and transaction tells the end offset, instead of one a record.
        self._held: dict[tuple[str, int], tuple[bytes | None, bytes | None, int, Sequence[Header]]] = {}
        self._delivered = _Delivered()

    def open(self) -> None:
        """Fence and end what a predecessor left."""
        self._producer = None  # the old one must be gone before its successor fences it
        # Every error comes back through a call; without a callback the binding raises fatal ones from any of them.
        reasons = Reasons(self._bootstrap)
        try:
            self._producer = Producer({**self._settings, "error_cb": reasons.heard, "logger": reasons})
        except KafkaException as error:
            self._broken = True
            raise unusable_setting(error.args[0], self._settings) from None
        try:
            self._retried(lambda: called(lambda: self._producer.init_transactions(OPEN_SECONDS)))
        except KafkaException as error:
            failed = self._failed(error, "init_transactions")
            with contextlib.suppress(KafkaException):
                called(lambda: self._producer.poll(0))  # only so are the callbacks called that know why
            raise (isinstance(failed, Unreachable) and reasons.refusal()) or failed from None
        self._suspicious = False

    def begin(self) -> None:
        """Start a transaction, on a new epoch where the last end was suspicious."""
        if self._broken or self._producer is None:
            raise Fault(
                f"{self._transactional_id}: a sink is not used before open or after an error",
                code="HW-R009",
                hint="drop it and build a new one",
            )
        if self._suspicious:
            self._hooks.announce("producer.rebuilt", transactional_id=self._transactional_id, reason="a slow call")
            self.open()
        self._delivered.ends.clear()
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            raise self._failed(error, "begin") from None
        self._transacting = True

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        timestamp: int,
        partition: int = -1,
        headers: Sequence[Header] = (),
    ) -> None:
        """Add a record. Within a transaction a topic's records name their partition all, or none does."""
        if partition < 0:
            self._produce(topic, -1, (key, value, timestamp, headers), self._delivered)
            return
        place = (topic, partition)
        before = self._held.get(place)
        self._held[place] = (key, value, timestamp, headers)
        if before is None:
            return
        if before[3]:
            self._produce(topic, partition, before, None)
            return
        try:  # the way of nearly all records: no headers, no report, room in the queue
            self._producer.produce(topic, before[1], before[0], partition, timestamp=before[2])
        except (BufferError, KafkaException):
            self._produce(topic, partition, before, None)

    def send_many(self, records: Sequence[Outgoing]) -> None:
        """Add records in their order; a partition's last one is held back, as `send` does."""
        last = dict(zip(map(_PLACE, records), count()))
        for topic, partition in last:
            if before := self._held.pop((topic, partition), None):
                self._produce(topic, partition, before, None)
        start = 0
        for end in sorted(last.values()):
            self._straight(records[start:end])
            topic, partition, key, value, timestamp, headers = records[end]
            self.send(topic, key, value, timestamp=timestamp, partition=partition, headers=headers)
            start = end + 1

    def send_column(
        self,
        place: tuple[str, int],
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        timestamps: Sequence[int],
    ) -> None:
        """Add records of one partition in their order; the last one is held back, as `send` does."""
        if not keys:
            return
        topic, partition = place
        if before := self._held.pop(place, None):
            self._produce(topic, partition, before, None)
        produce = self._producer.produce
        last = len(keys) - 1
        for key, value, timestamp in islice(zip(keys, values, timestamps, strict=True), last):
            try:
                produce(topic, value, key, partition, None, None, timestamp)
            except (BufferError, KafkaException):
                self._produce(topic, partition, (key, value, timestamp, ()), None)
        self._held[place] = (keys[last], values[last], timestamps[last], ())

    def _straight(self, records: Sequence[Outgoing]) -> None:
        produce = self._producer.produce
        for topic, partition, key, value, timestamp, headers in records:
            if partition < 0:
                self.send(topic, key, value, timestamp=timestamp, partition=partition, headers=headers)
                continue
            try:  # no report: by position, since names cost as much as a third of the call
                if headers:
                    produce(topic, value, key, partition, None, None, timestamp, headers)
                else:
                    produce(topic, value, key, partition, None, None, timestamp)
            except (BufferError, KafkaException):
                self._produce(topic, partition, (key, value, timestamp, headers), None)

    def flush(self) -> Mapping[TopicPartition, int]:
        """Wait for the broker; the next offset of each partition written to in this transaction."""
        for (topic, partition), record in self._held.items():
            self._produce(topic, partition, record, self._delivered)
        self._held.clear()
        try:
            left = called(lambda: self._producer.flush(self._timeout))
        except (KafkaException, SystemError) as error:
            raise self._failed(error, "flush") from None
        if left:
            self._broken = True
            raise Unreachable(
                f"{self._transactional_id}: Kafka at {self._bootstrap} did not take the records in time",
                code="HW-R002",
                detail="the transaction is aborted",
            )
        return {TopicPartition(topic, partition): end for (topic, partition), end in self._delivered.ends.items()}

    def send_offsets(self, offsets: Mapping[TopicPartition, int], source: GroupSource | GroupOffsets) -> None:
        """Put a group's progress into the transaction."""
        if not offsets:
            return
        places = [KafkaTopicPartition(place.topic, place.partition, offset) for place, offset in offsets.items()]
        producer, metadata, timeout = self._producer, source.group_metadata(), self._timeout
        # Repeats of this one hurt in the same way: a late one sets the group back in the midst of a later transaction.
        self._timed("send_offsets", lambda: producer.send_offsets_to_transaction(places, metadata, timeout))

    def commit(self) -> None:
        """End the transaction; all visible."""
        self.flush()  # so that the timed call holds the EndTxn alone
        producer, timeout = self._producer, self._timeout
        self._end("commit", lambda: producer.commit_transaction(timeout))

    def abort(self) -> None:
        """End the transaction; nothing visible."""
        self._held.clear()
        self._producer.purge(in_queue=True, in_flight=False)
        called(lambda: self._producer.flush(self._timeout))
        producer, timeout = self._producer, self._timeout
        self._end("abort", lambda: producer.abort_transaction(timeout))

    def close(self) -> None:
        """Let go. An open transaction is aborted where the broker answers; else its timeout or successor ends it."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        producer.purge(in_queue=True, in_flight=True)
        if self._transacting and not self._broken:
            with contextlib.suppress(KafkaException):  # whoever opens the id next ends it
                producer.abort_transaction(1.0)
        self._broken = True

    def _end(self, doing: str, call: Callable[[], object]) -> None:
        self._timed(doing, call)
        self._transacting = False

    def _timed(self, doing: str, call: Callable[[], object]) -> None:
        started = self._clock.monotonic()
        self._bounded(doing, call)
        if self._clock.monotonic() - started >= self._suspicious_after:
            self._suspicious = True

    def _bounded(self, doing: str, call: Callable[[], object]) -> None:
        """Call in a thread of its own that is left behind when the library forgets its own timeout.

        After a coordinator was paused or restarted, `send_offsets_to_transaction` was seen to wait for ever. The thread
        keeps the producer alive, for destroying it would wait too; its successor's epoch fences whatever it still does.
        """
        outcome: list[BaseException | None] = []

        def run() -> None:
            try:
                called(call)
            except BaseException as error:
                outcome.append(error)
            else:
                outcome.append(None)

        thread = threading.Thread(target=run, daemon=True, name=f"{self._transactional_id} {doing}")
        thread.start()
        thread.join(self._timeout + FORGOTTEN_SECONDS)
        if not outcome:
            self._broken = True
            raise Unreachable(
                f"{self._transactional_id}: {doing} did not come back from Kafka at {self._bootstrap}",
                code="HW-R012",
                detail="whether the transaction took effect, only the broker knows",
            )
        error = outcome[0]
        if isinstance(error, KafkaException | SystemError):
            raise self._failed(error, doing) from None
        if error is not None:
            raise error

    def _produce(self, topic: str, partition: int, record: Any, report: Any) -> None:
        key, value, timestamp, headers = record
        options: dict[str, Any] = {"headers": list(headers)} if headers else {}
        if report is not None:
            options["on_delivery"] = report
        deadline = self._clock.monotonic() + int(self._timeout * 1_000_000)
        while True:
            try:
                self._producer.produce(topic, value, key, partition, timestamp=timestamp, **options)
                return
            except BufferError:  # the queue is full: let deliveries make room; no error of the transaction
                self._let_deliver(topic)
                if self._clock.monotonic() > deadline:
                    self._broken = True
                    raise Unreachable(
                        f"{self._transactional_id}: Kafka at {self._bootstrap} takes no more records",
                        code="HW-R002",
                    ) from None
            except KafkaException as error:
                raise self._failed(self._cause(error), f"send to {topic}") from None

    def _cause(self, error: KafkaException) -> KafkaException:
        """A transaction that is broken already says only "not now": another call out of turn is told why."""
        if error.args[0].name() == "_STATE":
            try:
                self._producer.begin_transaction()
            except KafkaException as why:
                return why
        return error

    def _let_deliver(self, topic: str) -> None:
        try:
            called(lambda: self._producer.poll(QUEUE_WAIT_SECONDS))
        except (KafkaException, SystemError) as error:
            raise self._failed(error, f"send to {topic}") from None

    def _retried(self, call: Any) -> None:
        deadline = self._clock.monotonic() + int(OPEN_SECONDS * 1_000_000)
        while True:
            try:
                call()
                return
            except KafkaException as error:
                if not error.args[0].retriable() or self._clock.monotonic() > deadline:
                    raise

    def _failed(self, error: BaseException, doing: str) -> Exception:
        """A fatal error surfaces in any call that serves callbacks, as a SystemError's cause if one was running."""
        self._broken = True
        cause = error if isinstance(error, KafkaException) else error.__cause__
        if not isinstance(cause, KafkaException):
            return Fault(f"{self._transactional_id}: {doing}", code="HW-R007", detail=repr(error))
        return mapped(cause.args[0], doing=f"{self._transactional_id}: {doing}", bootstrap=self._bootstrap)
