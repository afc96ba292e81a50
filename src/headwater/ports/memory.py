"""A broker in this process: the same answers as Kafka's where Headwater looks, and it forgets at exit.

What it keeps true: offsets, of which each transaction's end takes one in every partition it wrote to; readers see what
is committed and nothing behind an open transaction; a newer writer of a transactional id fences the older and ends its
transaction; groups share partitions by range and refuse the offsets of members that were left behind.
`memory_groups.py` holds the groups, `memory_reading.py` the readers.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from headwater.errors import Fault
from headwater.ports.kafka_errors import fenced, topic_missing
from headwater.ports.keys import partition_of
from headwater.ports.memory_groups import Group, GroupMetadata, MemoryGroupOffsets, MemoryGroupSource
from headwater.ports.memory_reading import Cursor, read, together, waiting
from headwater.ports.protocol import Assignments, GroupOffsets, GroupSource, Reader, TransactionalSink
from headwater.ports.record import EndOfPartition, Fetched, Header, Message, Outgoing, TopicDescription, TopicPartition
from headwater.timeline.clock import Clock, SystemClock


@dataclass(slots=True)
class _Transaction:
    writer: str
    began_at: int
    timeout: int
    state: str = "open"
    touched: set[TopicPartition] = field(default_factory=set)
    offsets: list[tuple[Group, Mapping[TopicPartition, int]]] = field(default_factory=list)


@dataclass(slots=True)
class _Entry:
    """One offset of a log: a record, the end of a transaction (`message` None), or what compaction left (both None)."""

    message: Message | None
    transaction: _Transaction | None


@dataclass(slots=True)
class _Writer:
    epoch: int = 0
    open: _Transaction | None = None


class MemoryBroker:
    """Topics, transactions and groups in memory. Threads may share it.

    >>> broker = MemoryBroker()
    >>> broker.create_topic(TopicDescription("a.b.v1", 1, {}))
    >>> sink = broker.sink("writer"); sink.open(); sink.begin()
    >>> sink.send("a.b.v1", b"key", b"value", timestamp=5, partition=0); sink.commit()
    >>> reader = broker.reader({TopicPartition("a.b.v1", 0): 0})
    >>> [type(found).__name__ + str(found.offset) for found in reader.poll(10, 0)]     # the commit took offset 1
    ['Message0', 'EndOfPartition2']
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.lock = threading.RLock()
        self._logs: dict[TopicPartition, list[_Entry]] = {}
        self._topics: dict[str, TopicDescription] = {}
        self._identities: dict[str, str] = {}
        self._starts: dict[TopicPartition, int] = {}
        self._writers: dict[str, _Writer] = {}
        self._groups: dict[str, Group] = {}

    def sink(self, transactional_id: str, *, timeout_ms: int = 30_000) -> TransactionalSink:
        """A transactional sink."""
        return _MemorySink(self, transactional_id, timeout_ms * 1_000)

    def reader(self, offsets: Mapping[TopicPartition, int]) -> Reader:
        """A reader of these partitions from these offsets."""
        return _MemoryReader(self, offsets)

    def group(self, group: str, topics: Sequence[str], assignments: Assignments, *, member: str = "") -> GroupSource:
        """A member of a group."""
        with self.lock:
            joined = self._groups.setdefault(group, Group(group))
            return MemoryGroupSource(self, joined, topics, assignments, member)

    def group_offsets(self, group: str) -> GroupOffsets:
        """The progress of a group, without joining it."""
        with self.lock:
            return MemoryGroupOffsets(self, self._groups.setdefault(group, Group(group)))

    def groups(self) -> Collection[str]:
        """The groups that have members now."""
        with self.lock:
            return {name for name, group in self._groups.items() if group.members}

    def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """High watermarks, open transactions included."""
        with self.lock:
            return {place: len(self._log(place)) for place in partitions}

    def stable_ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """How far readers may come now."""
        with self.lock:
            return {place: self.stable_end(place) for place in partitions}

    def starts(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """First offsets still there."""
        with self.lock:
            return {place: self._starts.get(place, 0) for place in partitions if self._log(place) is not None}

    def describe(self, topics: Sequence[str]) -> Mapping[str, TopicDescription]:
        """The topics that exist among these."""
        with self.lock:
            return {name: self._topics[name] for name in topics if name in self._topics}

    def identity(self, topic: str) -> str:
        """Drawn at random when the topic is created."""
        with self.lock:
            self.partitions([topic])
            return self._identities[topic]

    def topics(self) -> Sequence[str]:
        """Names of all topics."""
        with self.lock:
            return sorted(self._topics)

    def create_topic(self, description: TopicDescription) -> None:
        """Create; nothing happens where it exists."""
        with self.lock:
            if description.name not in self._topics:
                self._topics[description.name] = description
                self._identities[description.name] = uuid.uuid4().hex
                for partition in range(description.partitions):
                    self._logs[TopicPartition(description.name, partition)] = []

    def alter_topic(self, name: str, settings: Mapping[str, str]) -> None:
        """Set these settings, leaving others."""
        with self.lock:
            before = self._topics.get(name)
            if before is None:
                raise topic_missing(name)
            self._topics[name] = TopicDescription(name, before.partitions, {**before.settings, **settings})

    def forget_group(self, group: str) -> bool:
        """Delete a group's offsets; False while it has members."""
        with self.lock:
            known = self._groups.get(group)
            if known is not None and known.members:
                return False
            self._groups.pop(group, None)
            return True

    def delete_topic(self, name: str) -> None:
        """Delete; nothing happens where it does not exist."""
        with self.lock:
            gone = self._topics.pop(name, None)
            for partition in range(gone.partitions if gone else 0):
                del self._logs[TopicPartition(name, partition)]
                self._starts.pop(TopicPartition(name, partition), None)

    def delete_before(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Delete what lies before these offsets."""
        with self.lock:
            for place, offset in offsets.items():
                self._starts[place] = max(self.first(place), min(offset, len(self._log(place))))

    def close(self) -> None:
        """Nothing to let go of."""

    def compact(self, topic: str) -> None:
        """Keep the newest committed record of each key, as a broker's cleaner would."""
        with self.lock:
            for place in self._partitions(topic):
                log, newest = self._log(place), {}
                for offset in range(self.stable_end(place)):
                    message = self.visible(place, offset)
                    if message is not None:
                        newest[message.key] = offset
                for offset in range(self.stable_end(place)):
                    message = log[offset].message
                    if message is not None and newest.get(message.key) != offset:
                        log[offset] = _Entry(None, None)

    def truncate(self, place: TopicPartition, offset: int) -> None:
        """Remove everything before an offset, as retention would."""
        with self.lock:
            self._starts[place] = offset

    # What readers and groups of this package ask, under the lock.

    def partitions(self, topics: Sequence[str]) -> Mapping[str, int]:
        """How many partitions these topics have."""
        for name in topics:
            if name not in self._topics:
                raise topic_missing(name)
        return {name: self._topics[name].partitions for name in topics}

    def stable_end(self, place: TopicPartition) -> int:
        """The offset up to which everything is decided (Kafka's last stable offset)."""
        self._expire()
        log = self._log(place)
        open_ones = [w.open for w in self._writers.values() if w.open is not None and place in w.open.touched]
        if not open_ones:
            return len(log)
        return next((n for n, entry in enumerate(log) if entry.message and entry.transaction in open_ones), len(log))

    def visible(self, place: TopicPartition, offset: int) -> Message | None:
        """The committed record at an offset."""
        entry = self._log(place)[offset]
        if entry.transaction is not None and entry.transaction.state == "committed":
            return entry.message
        return None

    def first(self, place: TopicPartition) -> int:
        """The first offset still there."""
        return self._starts.get(place, 0)

    # What sinks ask.

    def take_over(self, transactional_id: str) -> int:
        """The next epoch of an id; what its predecessor left open is aborted."""
        with self.lock:
            writer = self._writers.setdefault(transactional_id, _Writer())
            if writer.open is not None:
                self._end(writer, "aborted")
            writer.epoch += 1
            return writer.epoch

    def writer(self, transactional_id: str, epoch: int) -> _Writer:
        """The writer of an id, if this epoch is still its newest and its transaction has not timed out."""
        self._expire()
        writer = self._writers[transactional_id]
        if writer.epoch != epoch:
            raise fenced(transactional_id)
        return writer

    def append(self, place: TopicPartition, message: Message, transaction: _Transaction) -> int:
        """Add a record to a log; the offset it has."""
        log = self._log(place)
        transaction.touched.add(place)
        log.append(_Entry(message._replace(offset=len(log)), transaction))
        return len(log) - 1

    def end(self, transactional_id: str, epoch: int, state: str) -> None:
        """Decide the open transaction of an id."""
        with self.lock:
            writer = self.writer(transactional_id, epoch)
            if writer.open is None:
                raise fenced(transactional_id, "its transaction timed out and was aborted")
            if state == "committed":
                for group, offsets in writer.open.offsets:
                    group.committed.update(offsets)
            self._end(writer, state)

    def let_go(self, transactional_id: str, epoch: int) -> None:
        """Abort what this epoch of an id has open, if anything."""
        with self.lock:
            writer = self._writers.get(transactional_id)
            if writer is not None and writer.epoch == epoch and writer.open is not None:
                self._end(writer, "aborted")

    def _end(self, writer: _Writer, state: str) -> None:
        transaction, writer.open = writer.open, None
        assert transaction is not None
        transaction.state = state
        for place in sorted(transaction.touched, key=lambda p: (p.topic, p.partition)):
            if place in self._logs:
                self._logs[place].append(_Entry(None, transaction))

    def _expire(self) -> None:
        now = self.clock.monotonic()
        for writer in self._writers.values():
            if writer.open is not None and now - writer.open.began_at > writer.open.timeout:
                self._end(writer, "aborted")
                writer.epoch += 1

    def _log(self, place: TopicPartition) -> list[_Entry]:
        log = self._logs.get(place)
        if log is None:
            raise topic_missing(place.topic)
        return log

    def _partitions(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, partition) for partition in range(self._topics[topic].partitions)]


class _MemorySink:
    def __init__(self, broker: MemoryBroker, transactional_id: str, timeout: int) -> None:
        self._broker = broker
        self._id = transactional_id
        self._timeout = timeout
        self._epoch = 0
        self._ends: dict[TopicPartition, int] = {}

    def open(self) -> None:
        self._epoch = self._broker.take_over(self._id)

    def begin(self) -> None:
        with self._broker.lock:
            if not self._epoch:
                raise Fault(f"{self._id}: a sink is opened before it is used", code="HW-R009", hint="call open first")
            writer = self._broker.writer(self._id, self._epoch)
            assert writer.open is None, "begin inside a transaction"
            writer.open = _Transaction(self._id, self._broker.clock.monotonic(), self._timeout)
            self._ends = {}

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
        with self._broker.lock:
            transaction = self._transaction()
            if partition < 0:
                count = self._broker.partitions([topic])[topic]
                partition = partition_of(key, count) if key is not None else 0
            place = TopicPartition(topic, partition)
            message = Message(topic, partition, 0, key, value, timestamp, tuple(headers))
            self._ends[place] = self._broker.append(place, message, transaction) + 1

    def send_many(self, records: Sequence[Outgoing]) -> None:
        for topic, partition, key, value, timestamp, headers in records:
            self.send(topic, key, value, timestamp=timestamp, partition=partition, headers=headers)

    def send_column(
        self,
        place: tuple[str, int],
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        timestamps: Sequence[int],
    ) -> None:
        for key, value, timestamp in zip(keys, values, timestamps, strict=True):
            self.send(place[0], key, value, timestamp=timestamp, partition=place[1])

    def flush(self) -> Mapping[TopicPartition, int]:
        with self._broker.lock:
            self._broker.writer(self._id, self._epoch)
            return dict(self._ends)

    def send_offsets(self, offsets: Mapping[TopicPartition, int], source: GroupSource | GroupOffsets) -> None:
        with self._broker.lock:
            metadata: GroupMetadata = source.group_metadata()
            metadata.check()
            self._transaction().offsets.append((metadata.group, dict(offsets)))

    def commit(self) -> None:
        self._broker.end(self._id, self._epoch, "committed")

    def abort(self) -> None:
        self._broker.end(self._id, self._epoch, "aborted")

    def close(self) -> None:
        self._broker.let_go(self._id, self._epoch)

    def _transaction(self) -> _Transaction:
        transaction = self._broker.writer(self._id, self._epoch).open
        if transaction is None:
            raise fenced(self._id, "its transaction timed out and was aborted")
        return transaction


class _MemoryReader:
    def __init__(self, broker: MemoryBroker, offsets: Mapping[TopicPartition, int]) -> None:
        self._broker = broker
        self._cursors = {place: Cursor(place, offset) for place, offset in offsets.items()}

    def poll(self, limit: int, timeout: float) -> list[Message | EndOfPartition]:
        """Waits by the broker's clock in small steps, so that other threads may write meanwhile."""
        return waiting(self._broker.clock, timeout, lambda: read(self._broker, self._cursors.values(), limit))

    def fetch(self, limit: int, timeout: float) -> list[Fetched | EndOfPartition]:
        return together(self.poll(limit, timeout))

    def close(self) -> None:
        self._cursors = {}
