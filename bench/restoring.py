"""W8: how fast a system has its state back from its changelog, after a machine with all its local state was lost.

Each system first drains the same input; then its local state is removed and it is started again. Entries per second
are those that it read from the changelog, from where it began to read to where its last partition could go on; the
start of a process and of its group is in `seconds_with_start`. What it had published must be there, and nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from bench.drain import POLL_SECONDS, STALL_SECONDS
from bench.machine import TESTED_CORE, start, stop
from bench.meter import usage
from bench.stack import Stack, tail
from bench.systems.protocol import System

Found = TypeVar("Found")


class Restored(NamedTuple):
    """What a system says of its restore."""

    entries: int
    seconds: float


class Restoring(System, Protocol):
    """A system that can lose its local state and says when it has it back."""

    def forget(self) -> None:
        """Lose the local state."""

    def restored(self, log: Path) -> Restored | None:
        """None until every partition has its state back."""


def measure(system: Restoring, stack: Stack, *, events: int, round_: int) -> dict[str, Any]:
    """Drain, lose the state, restore; the result says `fault` where something was wrong."""
    log = stack.log(f"{system.name}-restore")
    try:
        system.prepare(round_)
        _run(system, stack, log, lambda: system.progress() >= events or None)
        system.forget()
        began = time.monotonic()
        found, cpu_seconds = _run(system, stack, log, lambda: system.restored(log))
        seconds = time.monotonic() - began
        verdict = system.verify()
        return {
            "entries": found.entries,
            "seconds": round(found.seconds, 3),
            "entries_per_second": round(found.entries / found.seconds) if found.seconds else None,
            "seconds_with_start": round(seconds, 2),
            "cpu_seconds_with_start": cpu_seconds,
            "outputs": verdict.outputs,
            "fault": verdict.fault,
        }
    except (RuntimeError, TimeoutError, OSError, ValueError) as error:
        return {"fault": str(error) or type(error).__name__}
    finally:
        system.clean()


def _run(system: System, stack: Stack, log: Path, look: Callable[[], Found | None]) -> tuple[Found, float]:
    """Run until `look` answers; its answer and the CPU-seconds that it took."""
    log.unlink(missing_ok=True)
    process = start(system.command(), core=TESTED_CORE, log=log)
    deadline = time.monotonic() + 3 * STALL_SECONDS
    try:
        while (found := look()) is None:
            if process.poll() is not None:
                raise RuntimeError(f"{system.name} ended with {process.returncode}:\n{tail(log)}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{system.name} did not come to its end within {3 * STALL_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)
        return found, usage(process.pid).cpu_seconds
    finally:
        stop(process)


def entry(name: str, system: System, rounds: list[dict[str, Any]], about: dict[str, Any]) -> dict[str, Any]:
    """One entry of the results: the last round's figures, all rounds beside them."""
    faults = [one["fault"] for one in rounds if one["fault"]]
    return {
        "workload": name,
        "system": system.name,
        "version": system.version(),
        "verified": not faults,
        **({"fault": faults[0]} if faults else {}),
        "events_per_second": None,
        "cpu_seconds_per_million": None,
        "rss_mb": None,
        "restore": rounds[-1],
        "settings": {**system.settings(), "workload": about},
        "rounds": rounds,
    }
