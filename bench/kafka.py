"""The bench's own look at Kafka: topics made and removed, offsets asked for, committed records read back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

WAIT_SECONDS = 30.0
# A starved broker serves the metadata of a new topic long before it knows itself to be its leader.
LEADER_SECONDS = 120.0
LAST_OFFSETS = 100  # room for the markers of transactions that end a partition


class Kafka:
    """One broker's topics and groups."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = self._new_admin()

    def _new_admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2})

    def topics(self) -> list[str]:
        """Every topic that there is."""
        return sorted(self._admin.list_topics(timeout=WAIT_SECONDS).topics)

    def create(self, topic: str, partitions: int, settings: Mapping[str, str]) -> None:
        """Make a topic anew, removing one of that name first."""
        self.delete([topic])
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=dict(settings))
        for future in self._admin.create_topics([new]).values():
            future.result(WAIT_SECONDS)

    def delete(self, topics: Sequence[str]) -> None:
        """Remove topics, and wait until the broker has forgotten them."""
        there = sorted(set(topics) & set(self.topics()))  # the client dies of a name that stands there twice
        if not there:
            return
        for future in self._admin.delete_topics(there).values():
            future.result(WAIT_SECONDS)
        deadline = time.monotonic() + WAIT_SECONDS
        while set(there) & set(self.topics()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{', '.join(there)} not removed within {WAIT_SECONDS:.0f} s")
            time.sleep(0.05)

    def groups(self) -> list[str]:
        """Every consumer group that there is."""
        listing = self._admin.list_consumer_groups(request_timeout=WAIT_SECONDS).result(WAIT_SECONDS)
        return [group.group_id for group in listing.valid]

    def delete_group(self, group: str) -> None:
        """Remove a consumer group, once its last member's session has ended; nothing where there is none."""
        deadline = time.monotonic() + WAIT_SECONDS
        while group in self.groups():
            (future,) = self._admin.delete_consumer_groups([group]).values()
            try:
                future.result(WAIT_SECONDS)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.NON_EMPTY_GROUP or time.monotonic() > deadline:
                    raise TimeoutError(f"the group {group} cannot be removed: {error.args[0].str()}") from None
                time.sleep(0.2)

    def ends(self, topic: str, partitions: int, *, committed: bool = False) -> list[int]:
        """The offset after the last record, by partition; `committed`: before the first open transaction.

        Raises a TimeoutError where the broker refuses for as long as it may take to lead a topic that was just made.
        """
        isolation = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        deadline = time.monotonic() + LEADER_SECONDS
        while True:
            asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(partitions)}
            answers = self._admin.list_offsets(asked, isolation_level=isolation, request_timeout=WAIT_SECONDS)
            try:
                offsets = {partition.partition: future.result().offset for partition, future in answers.items()}
                return [offsets[number] for number in range(partitions)]
            except KafkaException as error:
                # A client remembers the leader of a topic that was removed, and of the new one of that name is told no.
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{topic} has no ends: {error.args[0].str()}") from None
                self._admin = self._new_admin()
                time.sleep(0.5)  # a new client costs the broker's core something too

    def committed(self, group: str, topic: str, partitions: int) -> int:
        """How many records of a topic a group has done, by its committed offsets; the topic's log starts at 0."""
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, number) for number in range(partitions)])
        for future in self._admin.list_consumer_group_offsets([asked]).values():
            try:
                answer = future.result(WAIT_SECONDS)
            except KafkaException:
                return 0  # the group is not there yet
            return sum(max(partition.offset, 0) for partition in answer.topic_partitions if not partition.error)
        return 0

    def read(self, topic: str, partitions: int, start: Sequence[int] = ()) -> Iterator[Message]:
        """Every committed record from `start` (default: the beginning) to the end as it is now, by partition."""
        ends = self.ends(topic, partitions)
        for number in range(partitions):
            yield from self._read_partition(topic, number, start[number] if start else OFFSET_BEGINNING, ends[number])

    def last_header(self, topic: str, number: int, end: int, name: str) -> str:
        """A header of the last committed record before `end`, as text; empty where there is none."""
        consumer = Consumer(self.reading())
        try:
            consumer.assign([TopicPartition(topic, number, max(end - LAST_OFFSETS, 0))])
            last = ""
            deadline = time.monotonic() + WAIT_SECONDS
            while time.monotonic() < deadline:
                for message in consumer.consume(LAST_OFFSETS, 1.0):
                    if message.error() is None:
                        last = header(message, name)
                    elif message.offset() >= end:
                        return last
            return last
        finally:
            consumer.close()

    def reading(self) -> dict[str, object]:
        """The settings of a consumer of committed records."""
        return {
            "bootstrap.servers": self.bootstrap,
            "group.id": "bench-reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 10,
            "log_level": 2,
        }

    def _read_partition(self, topic: str, number: int, start: int, end: int) -> Iterator[Message]:
        if end == 0 or start >= end:
            return
        consumer = Consumer(self.reading())
        try:
            consumer.assign([TopicPartition(topic, number, start)])
            deadline = time.monotonic() + WAIT_SECONDS
            while True:
                for message in consumer.consume(10_000, 1.0):
                    deadline = time.monotonic() + WAIT_SECONDS
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:
                        # The last offsets may be transaction markers, which only this event shows as read.
                        if message.offset() >= end:
                            return
                    else:
                        raise RuntimeError(str(error))
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{topic}/{number}: nothing more before offset {end}; a transaction is open")
        finally:
            consumer.close()


def header(message: Message, name: str) -> str:
    """A header's value as text; empty where the record has none of that name."""
    for key, value in message.headers() or ():
        if key == name:
            return value.decode() if isinstance(value, bytes) else str(value)
    return ""
