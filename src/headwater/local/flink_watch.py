"""Live Flink jobs watched from outside: what their clusters say of them becomes the happenings of any other runner.

A job on a cluster has no process of ours in it, and its own reporters would speak Flink's names. So one process asks,
every few seconds, and announces; whoever counts happenings counts these. Where asked to, it starts a job again that
failed: from the first record on, leaving out what is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from headwater.errors import Fault, HeadwaterError
from headwater.hooks import Hooks
from headwater.local.flink_rest import JobState
from headwater.processing.deployed import Deployed
from headwater.timeline.clock import Clock

STAGE = "flink"  # what stands for the stage of a job, which has one
_FIRST_AGAIN_MICROSECONDS, _LAST_AGAIN_MICROSECONDS = 10_000_000, 300_000_000
_SOUND_MICROSECONDS = 600_000_000  # a job that ran for so long did not fail of its start


class Watched(Protocol):
    """What is asked of a product's live job."""

    def state(self) -> tuple[Deployed, JobState | None]:
        """What is on record, and how it is."""

    def again(self) -> None:
        """Deploy it where it was."""


@dataclass(slots=True)
class _Counted:
    """What was announced of a job already: its id, and its numbers at the newest checkpoint that was seen."""

    job: str
    checkpoint: int = 0
    rows_in: int = 0
    rows_out: int = 0
    failed_checkpoints: int = 0
    lost: int = 0


class Watch:
    """Looks at one product's job; `step` once every few seconds."""

    def __init__(self, product: str, job: Watched, hooks: Hooks, clock: Clock, *, again: bool = False) -> None:
        self._product = product
        self._job = job
        self._hooks = hooks
        self._clock = clock
        self._again = again
        self._counted = _Counted("")
        self._failed = ""  # the job whose failure was announced
        self._next, self._pause = 0, _FIRST_AGAIN_MICROSECONDS

    def step(self) -> HeadwaterError | None:
        """Announce how the job is; why it is not at work, where it should be and none is begun in its place."""
        try:
            deployed, state = self._job.state()
        except HeadwaterError as error:  # it cannot be asked: whether it is at work is not known, so nothing is begun
            self._seen(None, running=False)
            return error
        if deployed.ended == "stopped":
            self._seen(None, running=False, stopped=True)
            return None
        if state is not None and state.at_work:
            self._count(state)
            if state.state == "RUNNING" and int(self._clock.now()) - state.begun > _SOUND_MICROSECONDS:
                self._pause = _FIRST_AGAIN_MICROSECONDS
            return None
        if state is not None:
            self._count(state)
        self._seen(None, running=False)
        return self._over(deployed, state)

    def _over(self, deployed: Deployed, state: JobState | None) -> HeadwaterError | None:
        error = failed(self._product, state)
        if self._failed != deployed.called:
            self._failed = deployed.called
            told = {"code": error.code, "reason": f"{error.message}: {error.detail}", "hint": error.hint, "others": 1}
            self._hooks.announce("product.failed", product=self._product, stage=STAGE, **told)
            self._next = self._clock.monotonic() + self._pause
        if not self._again:
            return error
        if self._clock.monotonic() < self._next:
            return None
        self._pause = min(2 * self._pause, _LAST_AGAIN_MICROSECONDS)
        self._next = self._clock.monotonic() + self._pause
        try:
            self._job.again()
        except HeadwaterError as refused:
            return refused
        self._hooks.announce("flink.deployed", product=self._product)
        return None

    def _count(self, state: JobState) -> None:
        if state.job != self._counted.job:
            self._counted = _Counted(state.job)
        before, newest = self._counted, state.checkpoint
        if newest is not None and newest.number > before.checkpoint:
            rows_in, rows_out = max(before.rows_in, state.rows_in), max(before.rows_out, state.rows_out)
            self._hooks.announce(
                "stage.committed",
                product=self._product,
                stage=STAGE,
                records=rows_out - before.rows_out,
                folded=rows_in - before.rows_in,
                seconds=newest.micros / 1e6,
                **dict.fromkeys(("columnar", "repeats", "superseded", "limit")),
            )
            before.checkpoint, before.rows_in, before.rows_out = newest.number, rows_in, rows_out
        if state.at_work:
            self._seen(state, running=state.state == "RUNNING")

    def _seen(self, state: JobState | None, *, running: bool, stopped: bool = False) -> None:
        """A field without a value is not known now."""
        lag = late = age = None
        failed_checkpoints = lost = 0
        if state is not None:
            before = self._counted
            lag = state.lag if state.lag >= 0 else None
            late = 0.0 if lag == 0 else state.late / 1e3 if lag is not None and state.late >= 0 else None
            begun = state.begun if state.checkpoint is None else state.checkpoint.begun
            age = max(0, int(self._clock.now()) - begun) / 1e6
            failed_checkpoints = max(0, state.failed_checkpoints - before.failed_checkpoints)
            lost = max(0, state.lost - before.lost)
            before.failed_checkpoints += failed_checkpoints
            before.lost += lost
        self._hooks.announce(
            "flink.seen",
            product=self._product,
            running=running * 1,
            stopped=stopped * 1,
            lag=lag,
            late_seconds=late,
            checkpoint_age_seconds=age,
            failed_checkpoints=failed_checkpoints,
            lost=lost,
        )


def failed(product: str, state: JobState | None) -> Fault:
    """Why a job that should be at work is not."""
    word = "is gone" if state is None else f"has {state.state.lower()}"
    return Fault(
        f"{product}: its live Flink job {word}",
        code="HW-P261",
        detail=(state.failure if state is not None else "")
        or "its cluster's log says why; it may hold values of records",
        hint=f"headwater runner flink deploy {product} computes from the first record on, and leaves out what is there",
    )


def keep_watch(
    watches: list[Watch], clock: Clock, *, seconds: int, stopped: Callable[[], bool], until_failed: bool = False
) -> None:
    """Look at all jobs again and again until told to stop; `until_failed`: raise why the first one is not at work."""
    while not stopped():
        for watch in watches:
            error = watch.step()
            if error is not None and until_failed:
                raise error
        until = clock.monotonic() + seconds * 1_000_000
        while clock.monotonic() < until and not stopped():
            clock.sleep(200_000)
