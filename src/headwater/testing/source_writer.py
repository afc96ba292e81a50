"""A source of a mesh, written as a relay does: records and, behind them, progress marks, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from headwater import naming
from headwater.mesh.products import ResolvedProduct
from headwater.ports.keys import key_bytes, partition_of
from headwater.ports.progress import encode_mark, mark_key
from headwater.ports.protocol import Broker, TransactionalSink
from headwater.ports.reading import places_of, read_to_end
from headwater.ports.record import Message, TopicPartition
from headwater.schemas.codec import RowCodec, frame
from headwater.schemas.registry import Registry


class SourceWriter:
    """Writes one product between `with` and its end, and again later: marks know what was written before."""

    def __init__(self, broker: Broker, registry: Registry, source: ResolvedProduct) -> None:
        """Raises an AssertionError where the product's schema is not registered."""
        self._broker = broker
        self._output = source.output
        self._progress = naming.progress_topic(source.name, source.major)
        registered = registry.find(self._output.subject, self._output.schema)
        assert registered is not None
        self._schema_id = registered.id
        self._encode = RowCodec(self._output.schema).encode
        self._ends: dict[TopicPartition, int] = {}
        self._sink: TransactionalSink | None = None

    def __enter__(self) -> SourceWriter:
        self._sink = self._broker.sink(f"source-{self._output.topic}")
        self._sink.open()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._sink is not None
        self._sink.close()

    def write(self, records: Iterable[Mapping[str, Any]], through: int) -> None:
        """One transaction: these records, and for every partition a mark that nothing up to `through` follows."""
        sink, topic, count = self._sink, self._output.topic, self._output.output.partitions
        assert sink is not None
        sink.begin()
        for record in records:
            key = key_bytes([record[name] for name in self._output.output.key])
            value, timestamp = frame(self._schema_id, self._encode(dict(record))), record["recorded_at"] // 1_000
            sink.send(topic, key, value, timestamp=timestamp, partition=partition_of(key, count))
        self._ends.update(sink.flush())
        for number in range(count):
            mark = encode_mark(through, self._ends.get(TopicPartition(topic, number), 0))
            sink.send(self._progress, mark_key(number), mark, timestamp=through // 1_000, partition=number)
        sink.commit()


def messages_of(broker: Broker, topic: str) -> list[Message]:
    """What is committed in a topic, partition after partition."""
    starts = broker.starts(places_of(broker, topic))
    found = [item for item in read_to_end(broker, starts) if isinstance(item, Message)]
    return sorted(found, key=lambda message: (message.partition, message.offset))
