"""What a demo's onlooker sees: the records of every product as they become readable, counted and timed.

Reads what is committed, from the first offset on, so that counts are those of the topics; latency is measured only of
what was recorded while it looked on.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater import naming
from headwater.errors import CallerFault
from headwater.mesh.products import ResolvedProduct
from headwater.ports.progress import Settled, decode_mark
from headwater.ports.protocol import Broker
from headwater.ports.record import EndOfPartition, Message, TopicPartition
from headwater.schemas.codec import RowCodec, unframe
from headwater.schemas.registry import Registry
from headwater.timeline.clock import Clock
from headwater.timeline.instant import Instant

POLL_LIMIT = 5_000


@dataclass(slots=True)
class Count:
    """The account of one product. Latencies are microseconds from `recorded_at` to the arrival here."""

    published: int = 0
    corrections: int = 0
    quarantined: int = 0
    newest: int = -1
    latencies: array[int] = field(default_factory=lambda: array("q"))
    first_at: int = 0
    last_at: int = 0

    def latency_at(self, share: float) -> int | None:
        """The latency that this share of the records stayed within; None where none was measured."""
        ranked = sorted(self.latencies)
        return ranked[min(len(ranked) - 1, int(len(ranked) * share))] if ranked else None

    @property
    def events_per_second(self) -> float | None:
        """Records over the time from the first to the last arrival."""
        seconds = (self.last_at - self.first_at) / 1_000_000
        return len(self.latencies) / seconds if seconds > 0 else None


class Tally:
    """Counts what becomes readable of these products. `poll` reads on; one thread uses it."""

    def __init__(
        self, broker: Broker, products: Iterable[ResolvedProduct], *, registry: Registry, tick: int, clock: Clock
    ) -> None:
        self._clock = clock
        self._registry = registry
        self._codecs: dict[int, RowCodec] = {}
        self._since = clock.now()
        self.counts: dict[str, Count] = {}
        self._settled: dict[TopicPartition, Settled] = {}
        self._takes: dict[str, Callable[[Message, int], None]] = {}
        self._products = tuple(products)
        described = broker.describe([name for product in self._products for name in topics_of(product)])
        for product in self._products:
            self._watch(product, described, tick)
        starts = broker.starts(
            [TopicPartition(topic, p) for topic in self._takes for p in range(described[topic].partitions)]
        )
        self._reader = broker.reader(starts)

    def poll(self, timeout: float) -> int:
        """Read what has arrived, waiting up to `timeout` seconds; how many messages there were."""
        messages = self._reader.poll(POLL_LIMIT, timeout)
        arrived_at = self._clock.now()
        read = 0
        for message in messages:
            if isinstance(message, EndOfPartition):
                settled = self._settled.get(TopicPartition(message.topic, message.partition))
                if settled is not None:
                    settled.reached(message.offset)
            else:
                read += 1
                self._takes[message.topic](message, arrived_at)
        return read

    def settled(self, product: ResolvedProduct) -> Instant:
        """Up to when a product is settled: the least over its partitions."""
        return Instant(min(s.through for at, s in self._settled.items() if at.topic == product.output.topic))

    def outstanding(self, rows: Mapping[str, int]) -> str:
        """What is still to come, in words; empty when all is done.

        All is done when every row of the outbox (`rows`, by product) is published or in quarantine, and every product
        is settled past the newest of them.
        """
        missing, newest = [], -1
        for product in self._products:
            if product.product.outbox is not None:
                count = self.counts[str(product.name)]
                newest = max(newest, count.newest)
                left = rows.get(str(product.name), 0) - count.published - count.quarantined
                missing += [f"{left:,} rows of {product.name}"] if left > 0 else []
        late = [str(product.name) for product in self._products if self.settled(product) < newest]
        return "; ".join([*missing, f"not settled: {', '.join(late)}"] if late else missing)

    def close(self) -> None:
        """Let go of the reader."""
        self._reader.close()

    def _decoded(self, message: Message) -> Mapping[str, Any]:
        """The record by the schema that it was written with: a topic holds every version of its major."""
        schema_id, body = unframe(message.value)
        codec = self._codecs.get(schema_id)
        if codec is None:
            codec = self._codecs[schema_id] = RowCodec(self._registry.by_id(schema_id).schema)
        record: Mapping[str, Any] = codec.decode(body)
        return record

    def _watch(self, product: ResolvedProduct, described: Mapping[str, Any], tick: int) -> None:
        topic, progress, quarantine = topics_of(product)
        missing = [name for name in (topic, progress, quarantine) if name not in described]
        if missing:
            raise CallerFault(
                f"the topic '{missing[0]}' does not exist", code="HW-L083", hint="headwater apply, then try again"
            )
        count = self.counts[str(product.name)] = Count()
        settled = [Settled(tick) for _ in range(described[topic].partitions)]
        for partition, watermark in enumerate(settled):
            self._settled[TopicPartition(topic, partition)] = watermark

        def take(message: Message, arrived_at: int) -> None:
            record = self._decoded(message)
            recorded_at = record["recorded_at"]
            count.published += 1
            count.corrections += record["kind"] != "assert"
            count.newest = max(count.newest, recorded_at)
            settled[message.partition].record(offset=message.offset, recorded_at=recorded_at)
            if recorded_at >= self._since:
                count.latencies.append(arrived_at - recorded_at)
                count.first_at = count.first_at or arrived_at
                count.last_at = arrived_at

        def mark(message: Message, _: int) -> None:
            if message.value is not None:
                through, offset = decode_mark(message.value)
                settled[message.partition].mark(through=through, offset=offset)

        def refused(_: Message, __: int) -> None:
            count.quarantined += 1

        self._takes |= {topic: take, progress: mark, quarantine: refused}


def topics_of(product: ResolvedProduct) -> tuple[str, str, str]:
    """A product's topic, and beside it those of its marks and of its quarantine."""
    name, major = product.name, product.major
    return product.output.topic, naming.progress_topic(name, major), naming.quarantine_topic(name, major)
