"""Plain processes that outlive the command that started them, each known by pid *and* start time, for pids are reused.

A record `<data>/run/<name>.json` is written before anything waits for the process, so that a command that dies while it
waits leaves nothing that `down` cannot find. What runs under another data folder, or under no record, is never touched.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from headwater.errors import CallerFault, Fault
from headwater.timeline.clock import Clock, SystemClock

_NAME = re.compile(r"[a-z][a-z0-9_.-]*\Z")
_POLL_MICROSECONDS = 20_000
_KILL_SECONDS = 5.0
TERMINATE = signal.SIGTERM
STOP_SECONDS = 15.0  # a relay or runner finishes the transaction at hand; nobody waits longer

# Children of this very process, kept so that they can be reaped: a dead child that nobody reaps looks alive.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was started here. `started` is the system's own mark of its start, never compared with a clock."""

    name: str
    pid: int
    started: str
    argv: tuple[str, ...]
    log: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs: same pid, same start."""
        return start_mark(self.pid) == self.started


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom, and from which folder, a process runs; None means as now."""

    user: int | None = None
    group: int | None = None
    folder: Path | None = None


def start_process(
    data_folder: Path,
    name: str,
    argv: Sequence[str],
    env: Mapping[str, str] | None = None,
    *,
    identity: Identity = Identity(),
) -> Process:
    """Start a process in a session of its own, its output going to `<data>/logs/<name>.log`, and record it.

    `env` is added to this process's environment. Raises `CallerFault` HW-L010 where the name is running already.
    """
    return start_exact(data_folder, name, argv, {**os.environ, **(env or {})}, identity=identity)


def start_exact(
    data_folder: Path, name: str, argv: Sequence[str], env: Mapping[str, str], *, identity: Identity = Identity()
) -> Process:
    """As `start_process`, with `env` as the whole environment."""
    assert _NAME.match(name), name
    already = find(data_folder, name)
    if already is not None and already.alive:
        raise CallerFault(
            f"'{name}' is running already, as process {already.pid}",
            code="HW-L010",
            hint="headwater status, or headwater down to stop everything",
        )
    log = data_folder / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=identity.folder or data_folder,
            start_new_session=True,
            user=identity.user,
            group=identity.group,
            extra_groups=[] if identity.user is not None else None,
        )
    _children[child.pid] = child
    started = start_mark(child.pid) or "gone"
    process = Process(name, child.pid, started, tuple(argv), str(log))
    _write(_record_file(data_folder, name), process)
    return process


def stop_process(
    data_folder: Path,
    name: str,
    *,
    asks: Sequence[tuple[signal.Signals, float]] = ((TERMINATE, STOP_SECONDS),),
    clock: Clock | None = None,
) -> bool:
    """Ask a recorded process to end, kill what does not, and forget it. False where none ran.

    `asks` are signals, each with the seconds to wait after it; after the last, the whole session is killed.
    """
    process = find(data_folder, name)
    if process is None:
        return False
    ran = process.alive
    if ran and not any(_asked(process, which, seconds, clock) for which, seconds in asks):
        _signal(process.pid, signal.SIGKILL, group=True)
        if not wait_for_end(process, seconds=_KILL_SECONDS, clock=clock):
            raise Fault(
                f"process {process.pid} ('{name}') does not end, not even when killed",
                code="HW-L011",
                hint=f"look at it with: ps -o pid,stat,wchan,args -p {process.pid}",
            )
    _record_file(data_folder, name).unlink(missing_ok=True)
    return ran


def forget(data_folder: Path, name: str) -> None:
    """Drop the record of a process that has ended."""
    _record_file(data_folder, name).unlink(missing_ok=True)


def wait_for_end(process: Process, *, seconds: float, clock: Clock | None = None) -> bool:
    """Wait until a process has ended; False when the time is over and it has not."""
    clock = clock or SystemClock()
    until = clock.monotonic() + int(seconds * 1_000_000)
    while process.alive:
        if clock.monotonic() >= until:
            return False
        clock.sleep(_POLL_MICROSECONDS)
    return True


def running(data_folder: Path) -> dict[str, Process]:
    """Every recorded process that is alive, by name, in the order of its start."""
    return {process.name: process for process in recorded(data_folder) if process.alive}


def recorded(data_folder: Path) -> list[Process]:
    """Every process on record, alive or not, in the order of starting."""
    files = sorted((data_folder / "run").glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    return [process for process in (_read(file) for file in files) if process is not None]


def find(data_folder: Path, name: str) -> Process | None:
    """The record of one process."""
    return _read(_record_file(data_folder, name))


def log_tail(process: Process, *, lines: int = 12) -> str:
    """The end of what a process printed."""
    file = Path(process.log)
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - 16_384))
        text = stream.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])


def start_mark(pid: int) -> str | None:
    """The system's mark of when a process started; None where it is gone or only waits to be reaped."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else f"{_boot()}:{fields[19]}"
    shown = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, begun = shown.stdout.strip().partition(" ")
    return None if not begun or state.startswith("Z") else begun.strip()


def working_in(folder: Path) -> list[int]:
    """The living processes whose working folder this is, as far as this system and our rights let us see."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == folder:
                found.append(int(link.parts[2]))
        except OSError:
            continue
    return found


def _boot() -> str:
    # Start times count from the boot, so after a reboot a stranger could have the same pid and the same count.
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return "boot"


def _asked(process: Process, which: signal.Signals, seconds: float, clock: Clock | None) -> bool:
    _signal(process.pid, which)
    return wait_for_end(process, seconds=seconds, clock=clock)


def _signal(pid: int, which: signal.Signals, *, group: bool = False) -> None:
    try:
        (os.killpg if group else os.kill)(pid, which)
    except ProcessLookupError:
        return


def _record_file(data_folder: Path, name: str) -> Path:
    return data_folder / "run" / f"{name}.json"


def _write(file: Path, process: Process) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(process), indent=2) + "\n")
    draft.replace(file)


def _read(file: Path) -> Process | None:
    try:
        read = json.loads(file.read_text())
        return Process(read["name"], read["pid"], read["started"], tuple(read["argv"]), read["log"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a record cut short by a full disk names no process that could be stopped safely
