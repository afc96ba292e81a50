"""A live Flink job of a product: deployed, stopped behind a savepoint, and started again from it.

It goes on from a savepoint where what it kept fits. Otherwise, and where it ended without one, it computes from the
first record on and leaves out what the product holds: a checkpoint of a job that died may name a transaction that is
not committed, and Flink does not know who else wrote the product since.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

from headwater.errors import CallerFault, Fault
from headwater.local import processes
from headwater.local.flink import SOURCES, java_command, job_settings, local_settings, written
from headwater.local.flink_record import (
    Deployed,
    folder_of,
    process_of,
    record,
    recorded,
    require_no_live_job,
    state_of,
)
from headwater.local.flink_rest import FlinkCluster, JobState
from headwater.local.flink_run import FlinkRun
from headwater.local.stack import Phases, quiet
from headwater.timeline.clock import Clock, SystemClock

CHECKPOINT_SECONDS = 10
_START_MICROSECONDS = 600_000_000  # a process that dies is seen at once: this is for one that hangs
_POLL_MICROSECONDS = 100_000


class LiveJob:
    """The live job of one product, as this machine's data folder knows it."""

    def __init__(self, run: FlinkRun, data_folder: Path, clock: Clock | None = None) -> None:
        self._run = run
        self._name = str(run.product.name)
        self._data_folder = data_folder
        self._clock = clock or SystemClock()

    def deploy(
        self, *, every: int = CHECKPOINT_SECONDS, fresh: bool = False, phases: Phases = quiet
    ) -> tuple[Deployed, bool]:
        """Start the job, and say whether it went on from a savepoint; `every` is seconds between checkpoints.

        Raises `CallerFault` HW-P252 while a live job of the product is at work, HW-P172 or HW-P213 while another
        runner is, HW-P245 where an input's first records are gone, `Fault` HW-P247 where the job is not taken.
        """
        before = recorded(self._data_folder, self._name)
        self._run.take_over(self._clock, self._data_folder)
        fits, kept = self._fits(), ""
        if before is not None and before.stopped and before.fits == fits and not fresh:
            kept = before.savepoint
        settings: dict[str, object] = {
            **job_settings(),
            "pipeline.name": self._run.job_name,
            "execution.checkpointing.interval": f"{every} s",
            "execution.checkpointing.mode": "EXACTLY_ONCE",
            **({"execution.state-recovery.path": kept} if kept else {}),
        }
        statements = self._run.live_statements()
        with phases(f"{self._name} on Flink, live"):
            made = self._start(statements, settings, fits)
            self._wait_until_running(made)
        return made, bool(kept)

    def state(self) -> tuple[Deployed, JobState | None]:
        """The job on record and how it is, None where it is gone.

        Raises `CallerFault` HW-P253 where none was deployed from here.
        """
        deployed = self._deployed()
        return deployed, state_of(self._data_folder, self._name, deployed)

    def stop(self, *, savepoint: bool) -> str:
        """End the job, behind a savepoint if wanted; where that lies. Raises `CallerFault` HW-P253 where none runs."""
        deployed, state = self.state()
        kept = ""
        if state is None or not state.at_work:
            if savepoint:
                raise self._none("it is not at work, so it has nothing to save")
            require_no_live_job(self._run.mesh, [self._name], self._data_folder, self._run.broker)
        elif savepoint:
            folder = folder_of(self._data_folder, self._name) / "savepoints"
            kept = FlinkCluster(deployed.cluster).save_and_stop(deployed.job, f"file://{folder}", self._clock)
        else:
            FlinkCluster(deployed.cluster).cancel(deployed.job, self._clock)
            require_no_live_job(self._run.mesh, [self._name], self._data_folder, self._run.broker)
        processes.stop_process(self._data_folder, process_of(self._name))
        record(self._data_folder, self._name, replace(deployed, savepoint=kept, stopped=True))
        return kept

    def upgrade(self, *, every: int = CHECKPOINT_SECONDS, phases: Phases = quiet) -> tuple[Deployed, bool]:
        """Stop the job behind a savepoint and start it anew where it was; from the savepoint where that fits."""
        self._fits()  # what cannot be compiled stops nothing
        self.stop(savepoint=True)
        return self.deploy(every=every, phases=phases)

    def _start(self, statements: list[str], settings: dict[str, object], fits: str) -> Deployed:
        folder, name = folder_of(self._data_folder, self._name), process_of(self._name)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # of jobs that are gone; savepoints stay
        address = folder / "address"
        address.unlink(missing_ok=True)
        own = {
            **local_settings(),
            "io.tmp.dirs": folder,
            "execution.checkpointing.dir": f"file://{folder}/checkpoints",
            **settings,
        }
        log = self._data_folder / "logs" / f"{name}.job.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        argv = [*java_command("Live", folder, log), *written(folder, own, statements), str(address)]
        processes.stop_process(self._data_folder, name)  # one whose job is over still tells why
        process = processes.start_process(self._data_folder, name, argv)
        until = self._clock.monotonic() + _START_MICROSECONDS
        while not address.is_file():
            if not process.alive or self._clock.monotonic() > until:
                processes.stop_process(self._data_folder, name)
                raise _failed(f"its log says why: {process.log}; it may hold values of records")
            self._clock.sleep(_POLL_MICROSECONDS)
        url, job = address.read_text().splitlines()
        made = Deployed(url, job, fits)
        record(self._data_folder, self._name, made)
        return made

    def _wait_until_running(self, made: Deployed) -> None:
        """A job that cannot start says so here: savepoints that do not fit show only then."""
        until = self._clock.monotonic() + _START_MICROSECONDS
        while self._clock.monotonic() < until:
            state = state_of(self._data_folder, self._name, made)
            if state is None or not state.at_work:
                raise _failed(state.failure if state is not None else "its cluster has ended")
            if state.state == "RUNNING":
                return
            self._clock.sleep(_POLL_MICROSECONDS)
        raise _failed("it does not begin to run")

    def _fits(self) -> str:
        """What a savepoint has to have been made by: the same steps, and the same functions of ours."""
        made = hashlib.sha256("\0".join(self._run.live_statements(written=False)).encode())
        for file in sorted(SOURCES.glob("*.java")):
            made.update(file.read_bytes())
        return made.hexdigest()[:16]

    def _deployed(self) -> Deployed:
        deployed = recorded(self._data_folder, self._name)
        if deployed is None:
            raise self._none("none was deployed from this data folder")
        return deployed

    def _none(self, why: str) -> CallerFault:
        return CallerFault(
            f"{self._name} has no live Flink job",
            code="HW-P253",
            detail=why,
            hint=f"headwater runner flink deploy {self._name} starts one",
        )


def _failed(why: str) -> Fault:
    return Fault(
        "the Flink job does not run",
        code="HW-P255",
        detail=why,
        hint="headwater runner flink deploy --fresh computes from the first record on, whatever was kept",
    )
