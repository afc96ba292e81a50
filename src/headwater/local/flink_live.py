"""A live Flink job of a product: deployed, stopped behind a savepoint, and started again from it.

It goes on from a savepoint where what it kept fits. Otherwise, and where it ended without one, it computes from the
first record on and leaves out what the product holds: a checkpoint of a job that died may name a transaction that is
not committed, and Flink does not know who else wrote the product since.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from headwater import naming
from headwater.errors import HeadwaterError, Unreachable
from headwater.local.flink import SOURCES, job_settings
from headwater.local.flink_elsewhere import Elsewhere, ThroughGateway
from headwater.local.flink_own import OwnProcess
from headwater.local.flink_place import Place, not_running
from headwater.local.flink_record import Clusters, fence_live, let_go, newest_of, no_job, state_of
from headwater.local.flink_rest import FlinkCluster, JobState
from headwater.local.flink_run import FlinkRun
from headwater.local.stack import Phases, quiet
from headwater.processing.deployed import Deployed, change, recorded, taken
from headwater.timeline.clock import Clock, SystemClock

CHECKPOINT_SECONDS = 10
_START_MICROSECONDS = 600_000_000  # a job that fails is seen at once: this is for one that hangs
_POLL_MICROSECONDS = 100_000


class LiveJob:
    """The live job of one product, as every machine knows it. `clusters` stands for HTTP in tests."""

    def __init__(self, run: FlinkRun, clock: Clock | None = None, clusters: Clusters = FlinkCluster) -> None:
        self._run = run
        self._clusters = clusters
        self._name = str(run.product.name)
        self._clock = clock or SystemClock()

    def deploy(
        self, place: Place, *, every: int = CHECKPOINT_SECONDS, fresh: bool = False, phases: Phases = quiet
    ) -> tuple[Deployed, bool]:
        """Start the job, and say whether it went on from a savepoint; `every` is seconds between checkpoints.

        Raises `CallerFault` HW-P252 while a live job of the product is at work, HW-P172 or HW-P213 while another
        runner is, HW-P245 where an input's first records are gone, `Fault` HW-P255 where the job does not run; and
        what `place.prepare` does.
        """
        self._run.take_over(self._clock, self._clusters)
        before, fits = self._recorded(), self._fits()
        claim = replace(place.deployed(f"{self._run.job_name}-{uuid.uuid4().hex[:12]}", fits), every=every)
        fresh = (
            fresh or before is None or before.ended != "stopped" or (before.fits, before.place) != (fits, claim.place)
        )
        kept = "" if before is None or fresh else before.savepoint
        settings = live_settings(claim.called, every, kept)
        try:
            with phases(f"{self._name} on Flink, live"):
                place.prepare(self._run.live_statements(written=False), settings)
                self._change(lambda now: claim if now == before else self._raise_taken())
                try:
                    self._run.require_nobody(self._clock)
                    statements = self._run.live_statements()
                    place.start(statements, settings, lambda **more: self._note(claim.called, **more))
                except BaseException:
                    place.clear()
                    self._put_back(claim, before)
                    raise
                made = self._deployed()
                self._wait_until_running(made)
                self._require_still_nobody()
        finally:
            place.close()
        return made, bool(kept)

    def state(self) -> tuple[Deployed, JobState | None]:
        """The job on record and how it is, None where it is over. Raises `CallerFault` HW-P253 where none was ever
        deployed, `Unreachable` HW-P251 where it cannot be asked from here.
        """
        deployed = self._deployed()
        return deployed, None if deployed.ended else state_of(self._name, deployed, self._clock, self._clusters)

    def stop(self, *, savepoint: bool) -> str:
        """End the job, behind a savepoint if wanted; where that lies. Raises `CallerFault` HW-P253 where none runs."""
        deployed, state = self.state()
        kept = ""
        if state is None or not state.at_work:
            if savepoint or deployed.ended:
                raise no_job(self._name, "it is not at work, so there is nothing to save or to end")
            self._let_go(deployed, state)
        elif not state.job:
            raise taken(self._name, "it is being started this moment")
        elif savepoint:
            folder = f"{deployed.folder}/savepoints" if deployed.folder else None
            kept = self._clusters(deployed.cluster).save_and_stop(state.job, folder, self._clock)
        else:
            self._clusters(deployed.cluster).cancel(state.job, self._clock)
            topic = naming.topic(self._run.product.name, self._run.product.major)
            fence_live(topic, self._run.broker, newest_of(self._name, deployed, state))
        if deployed.host:
            OwnProcess(self._name, Path(deployed.data_folder), self._clock).clear()
        self._change(lambda now: replace(now or deployed, savepoint=kept, ended="stopped"))
        return kept

    def upgrade(self, *, every: int = CHECKPOINT_SECONDS, phases: Phases = quiet) -> tuple[Deployed, bool]:
        """Stop the job behind a savepoint and start it anew where it was; from the savepoint where that fits."""
        self._fits()  # what cannot be compiled stops nothing
        deployed = self._deployed()
        self.stop(savepoint=True)
        return self.deploy(self._place_of(deployed, phases), every=every, phases=phases)

    def again(self) -> None:
        """Deploy it where it was, as often as it was saved: from the first record on, since it ended by itself."""
        deployed = self._deployed()
        self.deploy(self._place_of(deployed, quiet), every=deployed.every)

    def forget(self) -> None:
        """Take a job for gone that cannot be asked, and end what it may have left open.

        Its cluster must have ended for good: nobody looks. Raises `CallerFault` HW-P252 where it answers that it is at
        work, HW-P253 where there is none.
        """
        deployed = self._deployed()
        if deployed.ended:
            raise no_job(self._name, "the one on record has ended")
        try:
            state = state_of(self._name, deployed, self._clock, self._clusters)
        except Unreachable:
            state = None
        if state is not None and state.at_work:
            raise taken(self._name, "its cluster answers, and says that it is at work")
        self._let_go(deployed, state)

    def _place_of(self, deployed: Deployed, phases: Phases) -> Place:
        if deployed.host:
            return OwnProcess(self._name, Path(deployed.data_folder), self._clock, phases)
        where = Elsewhere(deployed.gateway, deployed.cluster, deployed.folder, deployed.jars)
        return ThroughGateway(where, self._clock, self._clusters)

    def _wait_until_running(self, made: Deployed) -> None:
        """A job that cannot start says so here: savepoints that do not fit show only then."""
        until = self._clock.monotonic() + _START_MICROSECONDS
        while self._clock.monotonic() < until:
            state = state_of(self._name, made, self._clock, self._clusters)
            if state is None or not state.at_work:
                raise not_running(state.failure if state is not None else "its cluster has ended")
            if state.state == "RUNNING":
                return
            self._clock.sleep(_POLL_MICROSECONDS)
        raise not_running("it does not begin to run: its cluster may have no slot for it")

    def _require_still_nobody(self) -> None:
        """A runner that was started at the very same time has seen the job by now, or is seen here."""
        try:
            self._run.require_nobody(self._clock)
        except HeadwaterError:
            self.stop(savepoint=False)
            raise

    def _put_back(self, claim: Deployed, before: Deployed | None) -> None:
        """What was not begun leaves the record as it was; one that another has taken is left to it."""

        def undone(now: Deployed | None) -> Deployed:
            if now is None or now.called != claim.called:
                return self._raise_taken()
            return before if before is not None else replace(now, ended="gone")

        with contextlib.suppress(HeadwaterError):  # what went wrong before is raised
            self._change(undone)

    def _note(self, called: str, *, cluster: str = "", job: str = "", session: str = "") -> None:
        def more(now: Deployed | None) -> Deployed:
            if now is None or now.called != called or now.ended:
                raise taken(self._name, "another command has started or ended it meanwhile")
            return replace(now, cluster=cluster or now.cluster, job=job, session="" if job else session)

        self._change(more)

    def _fits(self) -> str:
        """What a savepoint has to have been made by: the same steps, and the same functions of ours."""
        made = hashlib.sha256("\0".join(self._run.live_statements(written=False, shown=True)).encode())
        for file in sorted(SOURCES.glob("*.java")):
            made.update(file.read_bytes())
        return made.hexdigest()[:16]

    def _raise_taken(self) -> Deployed:
        raise taken(self._name, "another command has started or ended it meanwhile")

    def _change(self, decide: Callable[[Deployed | None], Deployed]) -> Deployed:
        product = self._run.product
        return change(self._run.broker, product.name, product.major, decide, clock=self._clock)

    def _let_go(self, deployed: Deployed, state: JobState | None) -> None:
        let_go(self._name, deployed, state, self._run.broker, mesh=self._run.mesh, clock=self._clock)

    def _recorded(self) -> Deployed | None:
        topic = naming.control_topic(self._run.product.name, self._run.product.major)
        return recorded(self._run.broker, [topic]).get(topic)

    def _deployed(self) -> Deployed:
        found = self._recorded()
        if found is None:
            raise no_job(self._name, "none was ever deployed")
        return found


def live_settings(called: str, every: int, kept: str = "") -> dict[str, object]:
    """What a live job asks of any cluster; it goes on from `kept` where that is not empty.

    A task that fails ends the job. Flink would start it again from a checkpoint whose transaction may have been ended
    meanwhile; it then notes so in its log, and goes on without those records.
    """
    return {
        **job_settings(),
        "pipeline.name": called,
        "restart-strategy.type": "none",
        "execution.checkpointing.interval": f"{every} s",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        **({"execution.state-recovery.path": kept} if kept else {}),
    }
