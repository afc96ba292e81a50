"""Kafka as a `Broker`: readers of given partitions, members of groups, guarded producers, administration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import TopicPartition as KafkaTopicPartition

from headwater.hooks import Hooks
from headwater.ports.guarded import GuardedProducer
from headwater.ports.kafka_admin import KafkaAdmin
from headwater.ports.kafka_calls import called
from headwater.ports.kafka_errors import AWAY, MOVED, kafka_log, mapped, offset_missing
from headwater.ports.kafka_refusals import check_settings
from headwater.ports.protocol import Assignments, GroupOffsets, GroupSource, Reader, TransactionalSink
from headwater.ports.record import EndOfPartition, Fetched, Message, TopicDescription, TopicPartition
from headwater.timeline.clock import Clock, SystemClock

COMMITTED_SECONDS = 15.0
_ERROR, _TOPIC, _PARTITION = KafkaMessage.error, KafkaMessage.topic, KafkaMessage.partition
_OFFSET, _KEY, _VALUE = KafkaMessage.offset, KafkaMessage.key, KafkaMessage.value


def consumer_settings(group: str, member: str = "") -> dict[str, Any]:
    """librdkafka's options of every consumer of Headwater, each with its reason."""
    return {
        "group.id": group,
        **({"group.instance.id": member} if member else {}),  # a restart takes its partitions back at once
        "enable.auto.commit": False,  # offsets go into the writer's transaction
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",  # a missing offset is an incident: neither a repeat nor a loss
        "enable.partition.eof": True,  # the only way to see past transaction markers
        "partition.assignment.strategy": "range",  # equal partition numbers of all topics go to one member
        "group.protocol": "classic",
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 1_000,
        "max.poll.interval.ms": 300_000,
        "allow.auto.create.topics": False,
        "fetch.wait.max.ms": 100,  # only an idle partition waits: for its end to be told
        "fetch.queue.backoff.ms": 20,  # the default leaves a full queue alone for a second
        "fetch.error.backoff.ms": 50,
        "queued.min.messages": 50_000,
        "queued.max.messages.kbytes": 16_384,  # bounds memory, a consumer
        "socket.nagle.disable": True,
        "reconnect.backoff.max.ms": 1_000,
        "logger": kafka_log(),
    }


class KafkaBroker:
    """A Kafka cluster. `settings` are librdkafka's and win over Headwater's own; `bootstrap.servers` at least."""

    def __init__(self, settings: Mapping[str, str], *, clock: Clock | None = None, hooks: Hooks | None = None) -> None:
        check_settings(settings)
        self._settings = dict(settings)
        self._clock = clock or SystemClock()
        self._hooks = hooks or Hooks()
        self._bootstrap = str(settings.get("bootstrap.servers", ""))
        self._admin = KafkaAdmin(settings, clock=self._clock)  # knows all settings, so that a misspelt one is said here

    def sink(self, transactional_id: str, *, timeout_ms: int = 30_000) -> TransactionalSink:
        """A guarded producer."""
        self._admin.reach()
        settings = {key: value for key, value in self._settings.items() if key not in _CONSUMERS_ONLY}
        return GuardedProducer(settings, transactional_id, clock=self._clock, hooks=self._hooks, timeout_ms=timeout_ms)

    def reader(self, offsets: Mapping[TopicPartition, int]) -> Reader:
        """A reader of these partitions from these offsets."""
        self._admin.reach()
        options = {**consumer_settings("headwater.reader"), "fetch.wait.max.ms": 10, **self._settings}
        consumer = Consumer(options)
        consumer.assign([KafkaTopicPartition(p.topic, p.partition, offset) for p, offset in offsets.items()])
        return _KafkaReader(consumer, self._bootstrap)

    def group(self, group: str, topics: Sequence[str], assignments: Assignments, *, member: str = "") -> GroupSource:
        """A member of a group."""
        self._admin.reach()
        consumer = Consumer({**consumer_settings(group, member), **self._settings})
        return _KafkaGroupSource(consumer, self._bootstrap, topics, assignments)

    def group_offsets(self, group: str) -> GroupOffsets:
        """The progress of a group, without joining it."""
        self._admin.reach()
        consumer = Consumer({**consumer_settings(group), **self._settings})
        return _KafkaGroupOffsets(consumer, self._bootstrap)

    def groups(self) -> Collection[str]:
        """The groups that have members now."""
        return self._admin.groups()

    def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """High watermarks, open transactions included."""
        return self._admin.ends(partitions)

    def stable_ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Last stable offsets."""
        return self._admin.stable_ends(partitions)

    def starts(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """First offsets still there."""
        return self._admin.starts(partitions)

    def describe(self, topics: Sequence[str]) -> Mapping[str, TopicDescription]:
        """The topics that exist among these."""
        return self._admin.describe(topics)

    def identity(self, topic: str) -> str:
        """The topic's id, which Kafka draws at random."""
        return self._admin.identity(topic)

    def topics(self) -> Sequence[str]:
        """Names of all topics that are not the broker's own."""
        return self._admin.topics()

    def create_topic(self, description: TopicDescription) -> None:
        """Create; nothing happens where it exists."""
        self._admin.create_topic(description)

    def alter_topic(self, name: str, settings: Mapping[str, str]) -> None:
        """Set these settings, leaving others."""
        self._admin.alter_topic(name, settings)

    def forget_group(self, group: str) -> bool:
        """Delete a group's offsets; False while it has members."""
        return self._admin.forget_group(group)

    def delete_topic(self, name: str) -> None:
        """Delete; nothing happens where it does not exist."""
        self._admin.delete_topic(name)

    def delete_before(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Delete what lies before these offsets."""
        self._admin.delete_before(offsets)

    def close(self) -> None:
        """Nothing is kept open but the admin client, which ends with this object."""


class _KafkaReader:
    # A client wants a group's name though it reads given partitions, and looks for that group's coordinator; that the
    # principal has no right to the group, or that a starved broker names none, is no matter then. An event of the
    # consumer never says of itself that it is retriable; leaders that have moved the client finds by itself.
    _passed_over = AWAY | MOVED | {"_ALL_BROKERS_DOWN", "GROUP_AUTHORIZATION_FAILED"}

    def __init__(self, consumer: Any, bootstrap: str) -> None:
        self._consumer = consumer
        self._bootstrap = bootstrap
        self._raised: BaseException | None = None

    def poll(self, limit: int, timeout: float) -> list[Message | EndOfPartition]:
        """Each message by itself."""
        found: list[Message | EndOfPartition] = []
        make = Message._make
        for raw in self._polled(limit, timeout):
            flaw = raw.error()
            if flaw is None:
                place = (raw.topic(), raw.partition(), raw.offset())
                found.append(make((*place, raw.key(), raw.value(), raw.timestamp()[1], raw.headers() or ())))
            elif flaw.name() == "_PARTITION_EOF":
                found.append(EndOfPartition(raw.topic(), raw.partition(), raw.offset()))
            else:
                self._judge(raw, flaw)
        return found

    def fetch(self, limit: int, timeout: float) -> list[Fetched | EndOfPartition]:
        """What follows each other in a partition together: asking each of many messages by itself costs the most."""
        raws = self._polled(limit, timeout)
        found: list[Fetched | EndOfPartition] = []
        if raws and not any(map(_ERROR, raws)) and len(set(map(_TOPIC, raws))) == 1:  # what there is under load
            topic, start = raws[0].topic(), 0
            for partition, run in groupby(map(_PARTITION, raws)):
                end = start + len(list(run))
                found.append(_fetched((topic, partition), raws[start:end]))
                start = end
            return found
        # Errors cannot be compared with nothing: what tells runs apart is whether there is one.
        flaws = list(map(_ERROR, raws))
        start = 0
        whole = (flaw is None for flaw in flaws)
        for (good, topic, partition), run in groupby(zip(whole, map(_TOPIC, raws), map(_PARTITION, raws), strict=True)):
            end = start + len(list(run))
            if good:
                found.append(_fetched((topic, partition), raws[start:end]))
            for raw, flaw in [] if good else zip(raws[start:end], flaws[start:end], strict=True):
                if flaw.name() == "_PARTITION_EOF":
                    found.append(EndOfPartition(topic, partition, raw.offset()))
                else:
                    self._judge(raw, flaw)
            start = end
        return found

    def _polled(self, limit: int, timeout: float) -> list[Any]:
        """`consume` waits for a full batch: so first what is there, and only if nothing is, for one."""
        try:
            polled = called(lambda: self._consumed(limit, timeout))
        except KafkaException as error:
            raise mapped(error.args[0], doing="poll", bootstrap=self._bootstrap) from None
        if self._raised is not None:
            raise self._raised
        return polled

    def _consumed(self, limit: int, timeout: float) -> list[Any]:
        polled: list[Any] = self._consumer.consume(limit, 0)
        if not polled and timeout > 0:
            polled = self._consumer.consume(1, timeout)
            if polled and limit > 1:
                polled += self._consumer.consume(limit - 1, 0)
        return polled

    def _judge(self, raw: Any, error: Any) -> None:
        if error.name() == "_AUTO_OFFSET_RESET":
            raise offset_missing(f"{raw.topic()} [{raw.partition()}]")
        # A broker that is away for a moment is no reason to stop reading: the client reconnects by itself.
        if not error.fatal() and (error.retriable() or error.name() in self._passed_over):
            return
        raise mapped(error, doing=f"poll {raw.topic() or ''}".strip(), bootstrap=self._bootstrap)

    def close(self) -> None:
        self._consumer.close()


class _KafkaGroupSource(_KafkaReader):
    _passed_over = frozenset({"_TRANSPORT", "_ALL_BROKERS_DOWN", "_TIMED_OUT"})

    def __init__(self, consumer: Any, bootstrap: str, topics: Sequence[str], assignments: Assignments) -> None:
        super().__init__(consumer, bootstrap)
        self._assignments = assignments
        self._gaining: list[TopicPartition] | None = None  # what is paused while partitions are being given
        consumer.subscribe(list(topics), on_assign=self._gained, on_revoke=self._revoked, on_lost=self._lost)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        if self._gaining is not None:  # the client knows them only once they are assigned
            self._gaining += partitions
            return
        self._consumer.pause([KafkaTopicPartition(p.topic, p.partition) for p in partitions])

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self._consumer.resume([KafkaTopicPartition(p.topic, p.partition) for p in partitions])

    def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return _committed(self._consumer, partitions, self._bootstrap)

    def group_metadata(self) -> Any:
        return self._consumer.consumer_group_metadata()

    # The binding garbles what a callback raises inside `consume`: it is kept here, and raised once that has returned.

    def _gained(self, consumer: Any, partitions: Sequence[Any]) -> None:
        self._gaining = []
        try:
            starts = self._assignments.gained(_places(partitions))
            for place in partitions:
                offset = starts.get(TopicPartition(place.topic, place.partition))
                if offset is not None:
                    place.offset = offset
            consumer.assign(partitions)
            paused, self._gaining = self._gaining, None
            if paused:
                self.pause(paused)
        except BaseException as error:
            self._raised = error
            self._gaining = None
            consumer.assign([])

    def _revoked(self, consumer: Any, partitions: Sequence[Any]) -> None:
        self._told(self._assignments.revoked, partitions)

    def _lost(self, consumer: Any, partitions: Sequence[Any]) -> None:
        self._told(self._assignments.lost, partitions)

    def _told(self, tell: Callable[[Sequence[TopicPartition]], None], partitions: Sequence[Any]) -> None:
        try:
            tell(_places(partitions))
        except BaseException as error:
            self._raised = error


class _KafkaGroupOffsets:
    """By a consumer that never joins: its metadata have no generation, which a broker takes inside a transaction."""

    def __init__(self, consumer: Any, bootstrap: str) -> None:
        self._consumer = consumer
        self._bootstrap = bootstrap

    def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return _committed(self._consumer, partitions, self._bootstrap)

    def group_metadata(self) -> Any:
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        self._consumer.close()


def _committed(consumer: Any, partitions: Sequence[TopicPartition], bootstrap: str) -> Mapping[TopicPartition, int]:
    places = [KafkaTopicPartition(p.topic, p.partition) for p in partitions]
    try:
        answers = consumer.committed(places, COMMITTED_SECONDS)
    except KafkaException as error:
        raise mapped(error.args[0], doing="committed", bootstrap=bootstrap) from None
    return {TopicPartition(p.topic, p.partition): p.offset for p in answers if p.offset >= 0}


def _fetched(place: tuple[str, int], raws: Sequence[Any]) -> Fetched:
    def messages() -> list[Message]:
        return [
            Message(*place, raw.offset(), raw.key(), raw.value(), raw.timestamp()[1], raw.headers() or ())
            for raw in raws
        ]

    columns = (list(map(_OFFSET, raws)), list(map(_KEY, raws)), list(map(_VALUE, raws)))
    return Fetched(place, columns, messages)


def _places(partitions: Sequence[Any]) -> list[TopicPartition]:
    return [TopicPartition(p.topic, p.partition) for p in partitions]


# Settings of the mesh that only consumers know; the library warns of those that do not fit.
_CONSUMERS_ONLY = frozenset(
    {"session.timeout.ms", "heartbeat.interval.ms", "fetch.wait.max.ms", "max.poll.interval.ms"}
)
