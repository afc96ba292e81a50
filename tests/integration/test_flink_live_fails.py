"""A live job whose task fails, and one whose transaction is taken away before its commit: it ends, or it is said.

With Flink's own restarts there is no alarm: the job goes on from a checkpoint by itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.flink_products import FOLD, flink_mesh
from tests.integration.test_flink_runner import require_the_same, run_flink

from headwater import naming
from headwater.contracts.environment import Environment
from headwater.hooks import Hooks
from headwater.local.flink_live import LiveJob
from headwater.local.flink_own import OwnProcess
from headwater.local.flink_place import Note
from headwater.local.flink_record import fence_live
from headwater.local.flink_rest import JobState
from headwater.local.flink_run import FlinkRun
from headwater.local.flink_watch import Watch
from headwater.observability.prometheus import PrometheusListener
from headwater.ports.kafka import KafkaBroker
from headwater.testing.broker_mesh import Batch, BrokerMesh, random_batches, wait_until
from headwater.testing.kafka_proxy import KafkaProxy
from headwater.testing.kafka_proxy_rules import Elapsed, Frames, Hold, Rule
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


class Restarting(OwnProcess):
    """A place where Flink starts a job again whose task failed."""

    def start(self, statements: Sequence[str], settings: Mapping[str, object], note: Note) -> None:
        own = {"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": 99}
        super().start(statements, {**settings, **own}, note)


class Failing:
    """A product with a live job in a process of its own, asked from here."""

    def __init__(self, stack: Stack, folder: Path, bootstrap: str = "") -> None:
        kafka = KafkaBroker({"bootstrap.servers": stack.kafka})
        self.small: BrokerMesh = flink_mesh(
            kafka, stack.registry_url, folder / "mesh", f"t{uuid.uuid4().hex[:8]}", FOLD
        )
        self.name = str(self.small.product.name)
        environment = Environment("test", {"bootstrap.servers": bootstrap or stack.kafka}, stack.registry_url)
        run = FlinkRun(self.small.mesh, self.name, environment, kafka, self.small.registry)
        self.job = LiveJob(run)
        self.place = OwnProcess(self.name, folder / "data", SystemClock())

    def state(self) -> JobState:
        state = self.job.state()[1]
        assert state is not None
        return state

    def wait_for_more(self, than: int) -> int:
        wait_until(lambda: len(self.small.written()) > than, seconds=240, pause=0.5)
        return len(self.small.written())

    def break_task(
        self, batches: Sequence[Batch], *, until: Callable[[JobState], bool] = lambda state: not state.at_work
    ) -> None:
        """Take away the transactions that the job's writer has open and opens next, until a task of it has failed."""
        topic = naming.topic(self.small.product.name, self.small.product.major)
        left: Iterator[Batch] = iter(batches)

        def failed() -> bool:
            self.small.feed([next(left)], last=False)
            state = self.state()
            if state.checkpoint is not None:
                fence_live(topic, self.small.broker, state.checkpoint.number)
            return until(state)

        try:
            wait_until(failed, seconds=240, pause=0.2)
        finally:
            self.small.feed(list(left), last=False)


def test_a_task_that_fails_ends_the_job_and_the_next_one_is_whole(stack: Stack, tmp_path: Path) -> None:
    failing, batches, metrics = Failing(stack, tmp_path), random_batches(94, batches=900, size=4), PrometheusListener()
    small = failing.small
    watch = Watch(failing.name, failing.job, Hooks([metrics]), SystemClock(), again=True)
    running = f'headwater_flink_running{{product="{failing.name}"}} '
    small.feed(batches[:200], last=False)
    try:
        failing.job.deploy(failing.place, every=1)
        first = failing.wait_for_more(0)
        assert watch.step() is None and f"{running}1.0" in metrics.text()
        failing.break_task(batches[200:800])
        broken = len(small.written())
        assert failing.state().state == "FAILED" and failing.state().restarts in (0, -1)
        watch.step()
        assert f"{running}0.0" in metrics.text() and 'code="HW-P261"' in metrics.text()
        wait_until(lambda: watch.step() is None and f"{running}1.0" in metrics.text(), seconds=240, pause=1.0)
        second = failing.wait_for_more(broken)
        wait_until(lambda: failing.state().lost == 0, seconds=60, pause=0.5)
        failing.job.stop(savepoint=False)
    finally:
        failing.place.clear()
    small.feed(batches[800:])
    run_flink(stack, small)
    assert require_the_same(small, batches) > second > first


def test_where_flink_starts_it_again_by_itself_the_alarm_is_silent(stack: Stack, tmp_path: Path) -> None:
    failing, batches = Failing(stack, tmp_path), random_batches(95, batches=2_000, size=4)
    restarting, metrics = Restarting(failing.name, tmp_path / "data", SystemClock()), PrometheusListener()
    watch = Watch(failing.name, failing.job, Hooks([metrics]), SystemClock(), again=True)
    failing.small.feed(batches[:200], last=False)
    try:
        failing.job.deploy(restarting, every=1)
        failing.wait_for_more(0)
        failing.break_task(batches[200:], until=lambda state: bool(state.failure))
        assert failing.state().at_work
        assert watch.step() is None and 'code="HW-P261"' not in metrics.text()
    finally:
        restarting.clear()


def test_a_transaction_that_is_taken_away_before_its_commit_is_told_as_lost(stack: Stack, tmp_path: Path) -> None:
    batches = random_batches(96, batches=60, size=20)
    with KafkaProxy(stack.kafka, seed=96) as proxy:
        failing = Failing(stack, tmp_path, proxy.address)
        small = failing.small
        small.feed(batches[:20], last=False)
        try:
            failing.job.deploy(failing.place, every=1)
            first = failing.wait_for_more(0)
            assert failing.state().lost == 0
            proxy.add(Rule("late", Frames("EndTxn", committed=True), Hold(Elapsed(10_000, 10_000))))
            small.feed(batches[20:40], last=False)
            taken = small.broker.sink(proxy.wait("late", "struck").transactional_id)
            taken.open()  # whoever opens it ends what is prepared, while the job's commit is on its way
            taken.close()
            wait_until(lambda: failing.state().lost > 0, seconds=120, pause=0.5)
            assert failing.state().at_work  # Flink notes it and goes on: nothing else would tell
            failing.wait_for_more(first)
        finally:
            failing.place.clear()
        failing.job.stop(savepoint=False)
    small.feed(batches[40:])
    run_flink(stack, small)
    with pytest.raises(AssertionError):
        require_the_same(small, batches)
