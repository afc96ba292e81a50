"""The `faust` runner: a derived product inside a Faust application, beside the user's own agents, timers and views.

Faust shares the partitions, fetches, and hands over in batches. Everything after that is what the kafka runner does:
the same stages, the same state and changelog, the same offsets in the same transactions. So a product moves from one to
the other by being stopped here and started there, and its log shows no difference.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from headwater import naming
from headwater.errors import CallerFault, HeadwaterError
from headwater.ports.record import Message, TopicPartition
from headwater.processing.alone import require_alone
from headwater.processing.runners.faust_intake import STALE, Intake
from headwater.processing.runners.faust_watch import STALLED_EXIT, FaustWatch, Seen, Watched
from headwater.processing.runners.faust_writing import PartitionCheckpoint, StageBroker
from headwater.processing.runners.kafka import KafkaRunner
from headwater.processing.state_rocksdb import make_folder
from headwater.processing.steps import Plan, Stage, topics_of
from headwater.processing.surroundings import Surroundings

TAKE_MESSAGES = 1_000
TAKE_SECONDS = 0.1
FULL_SECONDS = 0.01
STOP_SECONDS = 5.0
SESSION_SECONDS = 10.0


class FaustProducts:
    """Derived products that join a Faust application.

    `settings` are those that the application is made with; `join` adds the stages to it, and the caller an agent for
    each of `topics`, whose batches go to `take`. Raises what the kafka runner raises where topics are missing, and
    `CallerFault` HW-P213 while workers of that runner have the product.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        around: Surroundings,
        settings: Mapping[str, Any],
        *,
        stall_seconds: int = 60,
        end: Callable[[int], None] = os._exit,
    ) -> None:
        """`settings` tell Faust where the broker is; `end` ends a process whose loop may never answer again."""
        self.topics = sorted({topic for plan in plans for stage in plan.stages for topic in topics_of(stage)})
        self.error: BaseException | None = None
        self._names = ", ".join(str(plan.product) for plan in plans)
        self._id = naming.faust_group([naming.topic(plan.product, plan.major) for plan in plans])
        self._around = around
        self._given = dict(settings)
        self._intake = Intake(self.topics)
        self._end = end
        self._stall_seconds = stall_seconds
        self._seen = Seen(around.clock.monotonic())
        require_alone(plans, around.broker, around.clock)
        self.runner = KafkaRunner(plans, around, around_of=self._around_of)
        self._thread: threading.Thread | None = None
        self._watch: FaustWatch | None = None

    def settings(self) -> dict[str, Any]:
        """What `faust.App` is made with; a setting of your own may be added, and `processing_guarantee` may not."""
        return {
            "id": self._id,
            "autodiscover": False,
            "broker_heartbeat_interval": 2.0,
            "broker_session_timeout": SESSION_SECONDS,
            "consumer_group_instance_id": f"{self._id}-{self._around.slot}",  # a restart takes its partitions back
            "consumer_auto_offset_reset": "earliest",
            "datadir": str(self._around.folder / f"faust-{self._around.slot}"),
            "store": "memory://",
            "stream_wait_empty": False,
            "topic_allow_declare": False,  # apply makes topics
            "topic_disable_leader": True,
            "worker_redirect_stdouts": False,
            **self._given,
        }

    def topic(self, app: Any, name: str) -> Any:
        """A topic of the stages in an application: bytes as they are, tombstones too."""
        return app.topic(
            name,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            allow_empty=True,
        )

    async def take(self, stream: Any) -> None:
        """Hand a stream's messages over in batches, for as long as the agent lives."""
        async for events in stream.take_events(TAKE_MESSAGES, within=TAKE_SECONDS):
            while self._intake.full(events[0].message.topic):
                await asyncio.sleep(FULL_SECONDS)
            self._intake.offer([_numbered(event.message) for event in events])

    def join(self, app: Any) -> None:
        """Run the stages for as long as the application runs. Raises `CallerFault` HW-P210 where it is set to
        `exactly_once`.
        """
        from faust.types.enums import ProcessingGuarantee
        from mode import Service

        from headwater.processing.runners.faust_transport import Transport

        if app.conf.processing_guarantee == ProcessingGuarantee.EXACTLY_ONCE:
            raise exactly_once_refused(self._names)
        make_folder(self._around.folder)  # in which Faust makes its own
        transport = Transport(app.conf.broker_consumer, app)
        transport.intake = self._intake
        transport.booting = lambda: self._boot(app)
        app.transport = transport
        product = self

        class Stages(Service):  # type: ignore[misc]
            async def on_start(self) -> None:
                product._start()

            async def on_stop(self) -> None:
                await asyncio.get_running_loop().run_in_executor(None, product._stop)

        app.service(Stages)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="stages", daemon=True)
        self._thread.start()

    def _boot(self, app: Any) -> None:
        """In Faust's loop, before it has joined its group: what keeps it from joining is watched too."""
        around, loop = self._around, asyncio.get_running_loop()
        self._seen.beat = around.clock.monotonic()
        watched = Watched(
            self._names,
            self._seen,
            ask=lambda: _asked(loop, self._pulse(app)),
            shared=lambda: self._intake.shared,
            stands=self._intake.stands,
            ends=around.broker.stable_ends,
            stopped=self._stalled,
        )
        self._watch = FaustWatch(watched, hooks=around.hooks, clock=around.clock, stall_seconds=self._stall_seconds)
        self._watch.start()

    def _run(self) -> None:
        try:
            self.runner.run()
        except BaseException as error:  # whatever it is, the application ends and the caller is told
            self.error = error
            os.kill(os.getpid(), signal.SIGTERM)

    def _stop(self) -> None:
        if self._watch is not None:
            self._watch.stop()
        self.runner.stop()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _stalled(self, error: HeadwaterError) -> None:
        """The stages finish what they are at; then the process ends, hung loop and all."""
        self._stop()
        self._end(STALLED_EXIT)

    def _pulse(self, app: Any) -> Callable[[], None]:
        """In Faust's loop: that it answers, and what the user's own agents hold."""

        def pulse() -> None:
            oldest: dict[TopicPartition, int] = {}
            for message in list(app.consumer.unacked):
                if message.topic not in self._intake.topics and not message.acked:
                    place = TopicPartition(message.topic, message.partition)
                    oldest[place] = min(message.offset, oldest.get(place, message.offset))
            self._seen.oldest, self._seen.beat = oldest, self._around.clock.monotonic()

        return pulse

    def _around_of(self, plan: Plan, stage: Stage) -> Surroundings:
        def name_of(partition: int) -> str:
            return naming.partition_transactional_id(plan.product, plan.major, stage.name, partition)

        broker: Any = StageBroker(self._around.broker, self._intake, name_of)
        return replace(self._around, broker=broker, checkpoint=PartitionCheckpoint, standby=False)


def make_app(product: FaustProducts) -> Any:
    """The application of a product with nothing of the user's own."""
    import faust

    app = faust.App(**product.settings())
    product.join(app)
    for name in product.topics:
        app.agent(product.topic(app, name), name=f"headwater.{name}", concurrency=1)(product.take)
    return app


def run_app(app: Any, product: FaustProducts) -> None:
    """Until SIGTERM or Ctrl-C; raises what has ended the stages."""
    import faust

    worker = faust.Worker(app, loglevel="WARN", quiet=True, redirect_stdouts=False)
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        if product.error is None and ended.code not in (None, 0):
            raise
    if product.error is not None:
        raise product.error


def exactly_once_refused(product: str) -> CallerFault:
    """Faust's own exactly-once is not what it says."""
    return CallerFault(
        f"{product}: a Faust application with processing_guarantee exactly_once is refused",
        code="HW-P210",
        detail="its commits bear no generation, so that a member that lost its partitions is not fenced, and records "
        "double or go missing (faust-streaming/faust#323, robinhood/faust#340)",
        hint="leave the setting out: the product's records are exactly once without it",
    )


def _numbered(message: Any) -> tuple[int, Message]:
    number = STALE if message.checksum is None else message.checksum
    headers = tuple(message.headers or ())
    timestamp = round((message.timestamp or 0) * 1_000)
    return number, Message(
        message.topic, message.partition, message.offset, message.key, message.value, timestamp, headers
    )


def _asked(loop: asyncio.AbstractEventLoop, pulse: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(pulse)
