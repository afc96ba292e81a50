"""Topics and offsets of a Kafka cluster: what can be asked and changed without reading or writing records."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from confluent_kafka import ConsumerGroupState, IsolationLevel, KafkaException, TopicCollection
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from headwater.errors import HeadwaterError, Unreachable
from headwater.ports.kafka_errors import MISSING, MOVED, mapped, topic_missing
from headwater.ports.kafka_refusals import Reasons, unusable_setting
from headwater.ports.record import TopicDescription, TopicPartition
from headwater.timeline.clock import Clock

ANSWER_SECONDS = 10.0
FIRST_ANSWER_MICROSECONDS = 5_000_000  # a broker that is away should be said soon
SILENCE_MICROSECONDS = 15_000_000  # nobody refused: one that is starved of CPU takes connections and is late to answer
FIRST_LOOK_SECONDS = 1.0
APPEAR_MICROSECONDS = 15_000_000  # a created topic has leaders in well under a second
SETTLE_MICROSECONDS = 20_000
BUSY = {
    ConsumerGroupState.STABLE,
    ConsumerGroupState.PREPARING_REBALANCING,
    ConsumerGroupState.COMPLETING_REBALANCING,
}
LEADER_MICROSECONDS = 15_000_000  # a broker short of CPU took over two seconds to know of a new leader

_OPTIONS: dict[str, Any] = {
    "socket.timeout.ms": 10_000,
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 500,
}


class KafkaAdmin:
    """Administration of one cluster. `settings` are librdkafka's: bootstrap.servers and security."""

    def __init__(self, settings: Mapping[str, Any], *, clock: Clock) -> None:
        self._bootstrap = str(settings.get("bootstrap.servers", ""))
        self._clock = clock
        self._answered = False
        self._reasons = Reasons(self._bootstrap)
        listening = {"error_cb": self._reasons.heard, "logger": self._reasons}
        try:
            self._client = AdminClient({**_OPTIONS, **settings, **listening})
        except KafkaException as error:
            raise unusable_setting(error.args[0], settings) from None

    def reach(self) -> None:
        """Raise `Unreachable` HW-R001 or `CallerFault` HW-R013 unless the cluster answers; asked once.

        Where connections are refused it is said after 5 s; where nothing is heard at all, after 15 s.
        """
        began = self._clock.monotonic()
        while not self._answered:
            try:
                self._metadata(FIRST_LOOK_SECONDS)
                self._answered = True
            except Unreachable:  # a refusal is known at the first look, and is no `Unreachable`
                patience = FIRST_ANSWER_MICROSECONDS if self._reasons.why else SILENCE_MICROSECONDS
                if self._clock.monotonic() - began > patience:
                    raise
                self._clock.sleep(SETTLE_MICROSECONDS)

    def topics(self) -> Sequence[str]:
        """Names of all topics that are not the broker's own."""
        return sorted(name for name in self._metadata() if not name.startswith("__"))

    def describe(self, topics: Sequence[str]) -> Mapping[str, TopicDescription]:
        """The topics that exist among these."""
        self.reach()
        metadata = self._metadata()
        found = [name for name in dict.fromkeys(topics) if name in metadata]
        if not found:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in found]
        answers = self._client.describe_configs(resources, request_timeout=ANSWER_SECONDS)
        descriptions = {}
        for resource, future in answers.items():
            entries = self._result(future, f"describe {resource.name}").values()
            own = {e.name: e.value for e in entries if e.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value}
            partitions = len(metadata[resource.name].partitions)
            descriptions[resource.name] = TopicDescription(resource.name, partitions, own)
        return {name: descriptions[name] for name in found}

    def identity(self, topic: str) -> str:
        """The topic's id."""
        answers = self._client.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_SECONDS)
        return str(self._result(answers[topic], f"describe {topic}", topic=topic).topic_id)

    def create_topic(self, description: TopicDescription) -> None:
        """Create and wait until every partition has a leader; nothing happens where it exists."""
        new = NewTopic(description.name, num_partitions=description.partitions, config=dict(description.settings))
        answers = self._client.create_topics([new], request_timeout=ANSWER_SECONDS)
        try:
            self._result(answers[description.name], f"create {description.name}")
        except _Exists:
            return
        self._until(lambda metadata: _led(metadata.get(description.name)), f"{description.name} to appear")

    def alter_topic(self, name: str, settings: Mapping[str, str]) -> None:
        """Set these settings, leaving others."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        answers = self._client.incremental_alter_configs([resource], request_timeout=ANSWER_SECONDS)
        self._result(answers[resource], f"alter {name}")

    def delete_topic(self, name: str) -> None:
        """Delete and wait until it is gone; nothing happens where it does not exist."""
        if name not in self._metadata():
            return
        self._result(self._client.delete_topics([name], request_timeout=ANSWER_SECONDS)[name], f"delete {name}")
        self._until(lambda metadata: name not in metadata, f"{name} to go")

    def forget_group(self, group: str) -> bool:
        """Delete a group's offsets; False while it has members. Nothing happens where it does not exist."""
        future = self._client.delete_consumer_groups([group], request_timeout=ANSWER_SECONDS)[group]
        refusal = future.exception(timeout=ANSWER_SECONDS + 1)
        name = refusal.args[0].name() if isinstance(refusal, KafkaException) else ""
        if name == "NON_EMPTY_GROUP":
            return False
        if name != "GROUP_ID_NOT_FOUND":
            self._result(future, f"forget the group {group}")
        return True

    def groups(self) -> Collection[str]:
        """The groups that have members now."""
        future = self._client.list_consumer_groups(states=BUSY, request_timeout=ANSWER_SECONDS)
        return {group.group_id for group in self._result(future, "list the groups").valid}

    def delete_before(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Delete the records before these offsets."""
        if not offsets:
            return
        wanted = [KafkaTopicPartition(place.topic, place.partition, offset) for place, offset in offsets.items()]
        answers = self._client.delete_records(wanted, request_timeout=ANSWER_SECONDS)
        for place, future in answers.items():
            self._result(future, f"delete records of {place.topic}", topic=place.topic)

    def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """High watermarks, open transactions included."""
        return self._offsets(partitions, OffsetSpec.latest())

    def stable_ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Last stable offsets: open transactions, and what lies behind them, left out."""
        return self._offsets(partitions, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)

    def starts(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """First offsets still there."""
        return self._offsets(partitions, OffsetSpec.earliest())

    def _offsets(
        self,
        partitions: Sequence[TopicPartition],
        which: OffsetSpec,
        level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    ) -> Mapping[TopicPartition, int]:
        if not partitions:
            return {}
        deadline = self._clock.monotonic() + LEADER_MICROSECONDS
        while True:
            try:
                return self._offsets_now(partitions, which, level)
            except _Moved:
                if self._clock.monotonic() > deadline:
                    raise
                self._metadata()
                self._clock.sleep(SETTLE_MICROSECONDS * 5)

    def _offsets_now(
        self, partitions: Sequence[TopicPartition], which: OffsetSpec, level: IsolationLevel
    ) -> Mapping[TopicPartition, int]:
        # read_uncommitted unless asked otherwise: a restore that stops at the last stable offset misses what lies
        # behind an open transaction
        answers = self._client.list_offsets(
            {KafkaTopicPartition(place.topic, place.partition): which for place in partitions},
            isolation_level=level,
            request_timeout=ANSWER_SECONDS,
        )
        return {
            TopicPartition(place.topic, place.partition): int(
                self._result(future, f"offsets of {place.topic}", topic=place.topic).offset
            )
            for place, future in answers.items()
        }

    def _metadata(self, seconds: float = ANSWER_SECONDS) -> Mapping[str, Any]:
        try:
            topics: Mapping[str, Any] = self._client.list_topics(timeout=seconds).topics
        except KafkaException as error:
            if error.args[0].name() in {"_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN"}:
                raise self._silent() from None
            raise mapped(error.args[0], doing="metadata", bootstrap=self._bootstrap) from None
        return topics

    def _until(self, reached: Any, what: str) -> None:
        deadline = self._clock.monotonic() + APPEAR_MICROSECONDS
        while not reached(self._metadata()):
            if self._clock.monotonic() > deadline:
                raise Unreachable(f"Kafka took too long for {what}", code="HW-R010", hint="look at the broker's log")
            self._clock.sleep(SETTLE_MICROSECONDS)

    def _result(self, future: Any, doing: str, *, topic: str = "") -> Any:
        try:
            return future.result(timeout=ANSWER_SECONDS + 1)
        except TimeoutError:
            raise self._silent() from None
        except KafkaException as error:
            if error.args[0].name() == "TOPIC_ALREADY_EXISTS":
                raise _Exists from None
            if error.args[0].name() in MOVED:
                raise _Moved(f"{doing}: {error.args[0].name()}", code="HW-R002") from None
            if topic and error.args[0].name() in MISSING:
                # "no leader" has the same name: a broker that has just come back
                raise _Moved(doing, code="HW-R002") if topic in self._metadata() else topic_missing(topic) from None
            raise mapped(error.args[0], doing=doing, bootstrap=self._bootstrap) from None

    def _silent(self) -> HeadwaterError:
        while self._client.poll(0):  # only so are the callbacks called that know why
            pass
        refusal = None if self._answered else self._reasons.refusal()
        return refusal or self._reasons.away()


class _Moved(Unreachable):
    """A partition's leader is another than the client knew."""


class _Exists(Exception):
    """The topic is there already."""


def _led(topic: Any) -> bool:
    return topic is not None and bool(topic.partitions) and all(p.leader >= 0 for p in topic.partitions.values())
