"""The machine under the measurement: which core serves whom, and processes that stay on theirs.

The broker, the database, the registry and this program stay on core 0; the system under test, with all its threads
and children, on core 1. Where there is one core only, both share it, and the results say so; `spread` lets all share
all cores, for loads that are more than the serving core can take.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.meter import read_stats, tree

SERVING_CORE = 0
TESTED_CORE = 1
STOP_SECONDS = 30.0
_spread: list[bool] = []


@dataclass(frozen=True, slots=True)
class Command:
    """What to start: arguments, variables beside the environment's own, and the folder to start in."""

    arguments: Sequence[str]
    variables: Mapping[str, str]
    folder: Path


def spread() -> None:
    """Let every process run on every core, from now on."""
    _spread.append(True)


def pinnable() -> bool:
    """Whether the two sides can be kept apart, and are to be."""
    return not _spread and _two_cores()


def _two_cores() -> bool:
    return {SERVING_CORE, TESTED_CORE} <= os.sched_getaffinity(os.getpid()) or _cores() >= 2


def pin_self() -> None:
    """Keep this program on the serving core."""
    if pinnable():
        os.sched_setaffinity(0, {SERVING_CORE})


def start(command: Command, *, core: int, log: Path) -> subprocess.Popen[bytes]:
    """Start a program, in a session of its own, with all that it will ever start kept on one core."""
    log.parent.mkdir(parents=True, exist_ok=True)
    cores = {core} if pinnable() else None

    def before() -> None:
        if cores:
            os.sched_setaffinity(0, cores)

    with log.open("ab") as output:
        return subprocess.Popen(
            list(command.arguments),
            cwd=command.folder,
            env={**os.environ, **command.variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=before,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and make it and all its children end if it does not."""
    members = [stat.pid for stat in tree(process.pid, read_stats())]
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    deadline = time.monotonic() + STOP_SECONDS
    while left := [stat.pid for stat in read_stats() if stat.pid in members and stat.rss_pages]:  # a zombie has none
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {left} cannot be ended")
        time.sleep(0.02)


def pids_naming(text: str) -> list[int]:
    """Processes whose command line holds `text`, this one left out."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = Path(entry.path, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if text in line:
                found.append(int(entry.name))
    return found


def describe() -> dict[str, object]:
    """What a reader of the results must know of the machine."""
    return {
        "cores": _cores(),
        "pinned": pinnable(),
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def _cores() -> int:
    return os.cpu_count() or 1


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
