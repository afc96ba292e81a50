"""A drain with two kills, the second of which takes the local state along: the output must be as without them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any, Protocol

from bench.drain import STALL_SECONDS
from bench.machine import TESTED_CORE, start, stop
from bench.stack import Stack
from bench.systems.protocol import System

FIRST_KILL, SECOND_KILL = 0.2, 0.6  # of the events; a commit may be ahead of both
POLL_SECONDS = 0.01


class Forgetful(System, Protocol):
    """A system whose local state can be lost."""

    def forget(self) -> None:
        """Remove it."""


def survived(system: Forgetful, stack: Stack, *, events: int) -> dict[str, Any]:
    """SIGKILL, restart, SIGKILL, local state removed, restart, verified; where in the input the kills fell."""
    kills: list[int] = []
    try:
        system.prepare(-1)
        for share in (FIRST_KILL, SECOND_KILL):
            kills.append(_until(system, stack, int(events * share)))
        system.forget()
        _until(system, stack, events)
        verdict = system.verify()
        return {"killed_at": kills, "state_lost_at": kills[-1], "fault": verdict.fault, "outputs": verdict.outputs}
    except (RuntimeError, TimeoutError, OSError, ValueError) as error:
        return {"killed_at": kills, "fault": str(error) or type(error).__name__}
    finally:
        system.clean()


def _until(system: Forgetful, stack: Stack, wanted: int) -> int:
    """Run until so many inputs are done, then kill without warning; answers how many were."""
    process = start(system.command(), core=TESTED_CORE, log=stack.log(f"{system.name}-killed"))
    deadline = time.monotonic() + STALL_SECONDS
    try:
        while (done := system.progress()) < wanted:
            if process.poll() is not None:
                raise RuntimeError(f"{system.name} ended with {process.returncode} when started again")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{system.name} came to {done} of {wanted} within {STALL_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)
        _kill(process)
        return done
    finally:
        stop(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
