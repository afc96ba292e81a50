"""The registry's log as a topic of a `Broker`: `_schemas`, compacted, one partition, one writer at a time.

Each write is a transaction under one transactional id: a registry that starts fences the one before it, so two can
never both believe that they gave out an id.
"""

from __future__ import annotations

from collections.abc import Iterable

from headwater.errors import HeadwaterError, Unreachable
from headwater.naming import SCHEMAS_TOPIC
from headwater.ports.protocol import Broker, TransactionalSink
from headwater.ports.record import EndOfPartition, TopicDescription, TopicPartition
from headwater.timeline.clock import Clock

TRANSACTIONAL_ID = "headwater-registry"
SETTINGS = {"cleanup.policy": "compact"}
_PARTITION = TopicPartition(SCHEMAS_TOPIC, 0)
_QUIET_POLLS_LIMIT = 60  # half a minute without a record and without the end: the broker is away


class SchemasLog:
    """A `headwater.schemas.registry_log.Log` on a broker."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._sink: TransactionalSink | None = None

    def prepare(self) -> None:
        """Make the topic where it is missing: it is the registry's own."""
        if SCHEMAS_TOPIC not in self._broker.describe([SCHEMAS_TOPIC]):
            self._broker.create_topic(TopicDescription(SCHEMAS_TOPIC, 1, dict(SETTINGS)))

    def claim(self) -> None:
        """Fence whoever wrote before."""
        self._opened()

    def append(self, records: Iterable[tuple[bytes, bytes | None]]) -> int:
        """Write all or none; after any error the writer is dropped, and what was written is not known."""
        sink = self._opened()
        try:
            sink.begin()
            for key, value in records:
                timestamp = self._clock.now().milliseconds
                sink.send(SCHEMAS_TOPIC, key, value, timestamp=timestamp, partition=0)
            offsets = sink.flush()
            sink.commit()
        except HeadwaterError as error:
            self._drop()
            raise Unreachable(
                "the registry's log did not take a write",
                code="HW-V006",
                detail=error.message,
                hint="repeat the request: registering the same schema again gives the same id",
            ) from error
        return offsets[_PARTITION]

    def read(self, offset: int) -> Iterable[tuple[int, bytes, bytes | None]]:
        """From an offset to the present end."""
        start = max(offset, self._broker.starts([_PARTITION])[_PARTITION])
        reader = self._broker.reader({_PARTITION: start})
        quiet = 0
        try:
            while quiet < _QUIET_POLLS_LIMIT:
                found = reader.poll(5_000, 0.5)
                quiet = 0 if found else quiet + 1
                for item in found:
                    if isinstance(item, EndOfPartition):
                        return
                    if item.key is not None:
                        yield item.offset + 1, item.key, item.value
        finally:
            reader.close()
        raise Unreachable(
            f"the topic {SCHEMAS_TOPIC} does not come to its end", code="HW-V007", hint="is Kafka up? headwater status"
        )

    def close(self) -> None:
        """Let the writer go."""
        if self._sink is not None:
            self._sink.close()

    def _opened(self) -> TransactionalSink:
        if self._sink is None:
            sink = self._broker.sink(TRANSACTIONAL_ID)
            sink.open()
            self._sink = sink
        return self._sink

    def _drop(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()
