"""The changelog of a stage: its state as a compacted topic, and how a store is brought up to date from it.

A restore reads to the high watermark, open transactions included, and waits there: one that stops at the last stable
offset misses what was committed behind another writer's open transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headwater.errors import Unreachable
from headwater.hooks import Hooks
from headwater.ports.protocol import Broker, TransactionalSink
from headwater.ports.record import Message, TopicPartition
from headwater.processing.state import Change
from headwater.processing.state_rocksdb import Position, RocksStore
from headwater.timeline.clock import Clock

BATCH_ENTRIES = 50_000
POLL_MESSAGES = 10_000
POLL_SECONDS = 0.2
SILENCE_MICROSECONDS = 120_000_000  # far above any transaction's timeout; nothing read for so long is an outage


def mirror(sink: TransactionalSink, topic: str, partition: int, changes: Sequence[Change], timestamp: int) -> None:
    """Add a task's changes to the transaction."""
    keys, values = zip(*changes, strict=True) if changes else ((), ())
    sink.send_column((topic, partition), keys, values, [timestamp] * len(keys))


class Restore:
    """Brings the stores of gained partitions up to what their changelog holds.

    `committed` are the group's offsets: {partition: {source topic: next offset}}. A store that reflects more than the
    group has committed, or more than the changelog holds, or another changelog of the same name (a broker that was set
    up anew), is not of this history: it is wiped and built anew.
    """

    def __init__(self, broker: Broker, topic: str, *, clock: Clock, hooks: Hooks) -> None:
        self._broker = broker
        self._topic = topic
        self._clock = clock
        self._hooks = hooks

    def run(
        self, stores: Mapping[int, RocksStore], committed: Mapping[int, Mapping[str, int]], *, stage: str, product: str
    ) -> None:
        """Restore all of these; returns when each has what the changelog held at the call."""
        started = self._clock.monotonic()
        places = {partition: TopicPartition(self._topic, partition) for partition in stores}
        ends = self._broker.ends(list(places.values()))
        starts = self._broker.starts(list(places.values()))
        history = self._broker.identity(self._topic)
        begin: dict[TopicPartition, int] = {}
        for partition, store in stores.items():
            place = places[partition]
            offset = self._start_of(store, committed.get(partition, {}), ends[place], history)
            begin[place] = max(offset, starts[place])
        behind = {place: offset for place, offset in begin.items() if offset < ends[place]}
        counts = self._read(stores, behind, ends)
        for partition, store in stores.items():
            reached = max(begin[places[partition]], ends[places[partition]])
            before = store.position
            # A group's offsets expire when nobody has been a member for long: what the store reflects is still known.
            sources = {**(before.sources if before is not None else {}), **committed.get(partition, {})}
            store.commit((), Position(reached, sources, history))
            self._hooks.announce(
                "stage.restored",
                product=product,
                stage=stage,
                partition=partition,
                entries=counts.get(partition, 0),
                seconds=(self._clock.monotonic() - started) / 1_000_000,
            )

    def _start_of(self, store: RocksStore, committed: Mapping[str, int], end: int, history: str) -> int:
        position = store.position
        if position is None:
            store.wipe()
            return 0
        ahead = any(offset > committed.get(topic, offset) for topic, offset in position.sources.items())
        if ahead or position.changelog > end or position.history != history:
            store.wipe()
            return 0
        return position.changelog

    def _read(
        self, stores: Mapping[int, RocksStore], behind: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> Mapping[int, int]:
        """Read on until the end of each partition is reached, newest value per key and batch."""
        counts: dict[int, int] = {}
        if not behind:
            return counts
        pending: dict[int, dict[bytes, bytes | None]] = {place.partition: {} for place in behind}
        left = set(behind)
        reader = self._broker.reader(behind)
        heard = self._clock.monotonic()
        try:
            while left:
                polled = reader.poll(POLL_MESSAGES, POLL_SECONDS)
                if polled:
                    heard = self._clock.monotonic()
                for found in polled:
                    if isinstance(found, Message):
                        pending[found.partition][found.key or b""] = found.value
                        counts[found.partition] = counts.get(found.partition, 0) + 1
                    elif found.offset >= ends[TopicPartition(found.topic, found.partition)]:
                        left.discard(TopicPartition(found.topic, found.partition))
                for partition, entries in pending.items():
                    if len(entries) >= BATCH_ENTRIES:
                        stores[partition].apply(entries.items())
                        entries.clear()
                if self._clock.monotonic() - heard > SILENCE_MICROSECONDS:
                    raise Unreachable(
                        f"the changelog {self._topic} could not be read to its end",
                        code="HW-P032",
                        hint="look whether a transaction hangs in it",
                    )
        finally:
            reader.close()
        for partition, entries in pending.items():
            stores[partition].apply(entries.items())
        return counts
