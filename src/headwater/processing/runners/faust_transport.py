"""Faust's Kafka consumer, told by the stages where to read: committed records only, equal partitions together.

Three things differ from Faust's own. It reads what is committed, which Faust does with `exactly_once` only. It shares
partitions by range, so that equal numbers of all topics come to one member. And partitions of the stages' topics are
set to what their transactions have committed, whatever Faust has acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.transport.drivers import aiokafka as driver

from headwater.ports.record import TopicPartition
from headwater.processing.runners.faust_intake import Intake

FETCH_SECONDS = 0.1  # bounds how long a seek or a stop waits, and how late the end of a partition is told
FETCH_WAIT_MS = 100


class Transport(driver.Transport):  # type: ignore[misc]  # Faust is not there when types are checked
    """What an application takes its consumer from. `intake` and `booting` are set before it starts; that is called in
    its loop, before it joins its group.
    """

    intake: Intake
    booting: Callable[[], None]

    def create_consumer(self, callback: Any, **options: Any) -> Any:
        """The one consumer of the application."""
        self.booting()
        return Consumer(self.intake, self, callback=callback, loop=self.loop, **options)


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Tells the intake of partitions and of each time that Faust sets them to its own offsets."""

    def __init__(self, intake: Intake, *args: Any, **options: Any) -> None:
        self.intake = intake
        super().__init__(*args, **options)

    def _new_consumer_thread(self) -> Any:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """All of them: Faust shares eagerly."""
        self.intake.revoked()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """These, and no others."""
        self.intake.assigned(sorted((_place(tp) for tp in assigned), key=lambda place: (place.topic, place.partition)))
        await super().on_partitions_assigned(assigned, generation_id)

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Faust's own offsets are for the user's topics; the stages' are set right before the next fetch."""
        self.intake.rewinding()
        try:
            found: Mapping[Any, int] = await super().seek_to_committed()
        finally:
            self.intake.rewound()
        return {tp: None if tp.topic in self.intake.topics else offset for tp, offset in found.items()}  # type: ignore[misc]


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Fetches in a loop of its own. Between a fetch and what is noted of it nothing else runs there."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        if not self.app.tables.changelog_topics:  # tables of the user's own need Faust's assignor
            self._assignor = RangePartitionAssignor
            consumer._partition_assignment_strategy = [RangePartitionAssignor]
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Iterable[Any],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Any:
        intake = self.consumer.intake
        states = consumer._subscription.subscription
        if not self.consumer.flow_active or states is None or states.assignment is None:
            await asyncio.sleep(FETCH_SECONDS)
            return {}
        ours = states.assignment
        for place, offset in intake.due().items():
            tp = _TP(place)
            if tp in ours.tps:
                consumer.seek(tp, offset)
                intake.sought(place, offset)
        chosen = {tp for tp in active_partitions if intake.open(_place(tp))}
        if not chosen:
            await asyncio.sleep(FETCH_SECONDS)
            return {}
        wait = min(FETCH_SECONDS, timeout or FETCH_SECONDS)
        records = await super()._fetch_records(consumer, chosen, wait, max_records)
        for tp in chosen:
            if tp.topic in intake.topics:
                state = ours.state_value(tp)
                fetched = records.get(tp, ())
                if state is None or not state.has_valid_position:
                    continue
                number = intake.fetched(_place(tp), [record.offset for record in fetched], state.position)
                for record in fetched:
                    record.checksum = number  # Faust hands this field on as it is, and looks at it nowhere
        return records


def _place(tp: Any) -> TopicPartition:
    return TopicPartition(tp.topic, tp.partition)


def _TP(place: TopicPartition) -> Any:  # noqa: N802
    return driver._TopicPartition(place.topic, place.partition)
