"""What this machine has and lacks for the local stack: each check ok, failed, or unknown, and each with what to do."""

from __future__ import annotations

import resource
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from headwater.errors import HeadwaterError
from headwater.local import ports, processes, registry
from headwater.local.java import find_java, locked_jars, missing_jars, offline, repositories
from headwater.local.postgres_home import find_postgres, home_for
from headwater.local.stack import EXTRA_PARTS, PARTS, LocalStack, cache_folder
from headwater.local.status import part_states

PYTHON_OLDEST = (3, 11)
DISK_BYTES_LEAST = 1_000_000_000  # jars, database, topics and state of the whole demo, with room to spare
MEMORY_BYTES_LEAST = 1_000_000_000  # what the whole demo may take
OPEN_FILES_LEAST = 1024  # Kafka holds three files for each segment, and a connection each

Outcome = Literal["ok", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `unknown` is what could not be measured, and is never shown as ok."""

    name: str
    outcome: Outcome
    message: str
    fix: str = ""

    def as_json(self) -> dict[str, object]:
        """The published JSON form."""
        return asdict(self)


def examine(stack: LocalStack) -> list[Check]:
    """Every check, in the order in which a start needs them. Changes nothing."""
    looks: tuple[Callable[[LocalStack], list[Check]], ...] = (
        _python,
        _java,
        _jars,
        _postgres,
        _disk,
        _memory,
        _open_files,
        _ports,
        _parts,
    )
    return [check for look in looks for check in look(stack)]


def _python(stack: LocalStack) -> list[Check]:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= PYTHON_OLDEST:
        return [Check("python", "ok", f"Python {found}")]
    return [Check("python", "failed", f"Python {found} is too old", "install Python 3.11 or newer")]


def _java(stack: LocalStack) -> list[Check]:
    try:
        java = find_java()
    except HeadwaterError as error:
        return [Check("java", "failed", f"{error.message}; {error.detail}", error.hint)]
    return [Check("java", "ok", f"Java {java.version} from {java.origin}: {java.executable}")]


def _jars(stack: LocalStack) -> list[Check]:
    missing = missing_jars("kafka")
    count = len(locked_jars()["kafka"])
    if not missing:
        return [Check("jars", "ok", f"{count} jars of Kafka in {cache_folder()}, all as the lock says")]
    text = f"{len(missing)} of Kafka's {count} jars are not in {cache_folder()}, or not as the lock says"
    if offline():
        return [Check("jars", "failed", text, "run headwater up once with a network and without HEADWATER_OFFLINE")]
    return [Check("jars", "unknown", text, f"headwater up fetches them from {', '.join(repositories())}")]


def _postgres(stack: LocalStack) -> list[Check]:
    try:
        home = home_for(stack)
    except HeadwaterError as error:
        return [Check("postgres", "failed", f"{error.message}; {error.detail}", error.hint)]
    origin = next((one.origin for one in find_postgres() if one.binaries == home.binaries), "a copy")
    return [Check("postgres", "ok", f"PostgreSQL {home.version} from {origin}, run {home.way}: {home.binaries}")]


def _disk(stack: LocalStack) -> list[Check]:
    checks = []
    for name, folder, variable in (
        ("disk", stack.data_folder, "HEADWATER_DATA"),
        ("cache disk", cache_folder(), "HEADWATER_CACHE"),
    ):
        free = shutil.disk_usage(_existing(folder)).free
        text = f"{free / 1e9:.1f} GB free for {folder}"
        if free >= DISK_BYTES_LEAST:
            checks.append(Check(name, "ok", text))
        else:
            fix = f"make room for {DISK_BYTES_LEAST / 1e9:.0f} GB, or choose another disk: {variable}=..."
            checks.append(Check(name, "failed", text, fix))
    return checks


def _memory(stack: LocalStack) -> list[Check]:
    try:
        rows = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(row.split()[1]) * 1024 for row in rows if row.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return [Check("memory", "unknown", "this system does not tell how much memory is free", "have 1 GB free")]
    text = f"{available / 1e9:.1f} GB available"
    if available >= MEMORY_BYTES_LEAST or processes.running(stack.data_folder):
        return [Check("memory", "ok", text)]
    return [Check("memory", "failed", text, "stop other programs: the whole demo takes up to 1 GB")]


def _open_files(stack: LocalStack) -> list[Check]:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"a process may open {'any number of' if limit == resource.RLIM_INFINITY else limit} files"
    if limit in (resource.RLIM_INFINITY, -1) or limit >= OPEN_FILES_LEAST:
        return [Check("open files", "ok", text)]
    return [Check("open files", "failed", text, f"ulimit -n {OPEN_FILES_LEAST * 4}")]


def _ports(stack: LocalStack) -> list[Check]:
    ours = processes.running(stack.data_folder)
    checks = []
    for part in (*PARTS, *EXTRA_PARTS):
        for purpose, port in stack.ports_of(part):
            if part in ours:
                checks.append(Check(f"port {port}", "ok", f"{purpose} listens there, process {ours[part].pid}"))
            elif ports.free(port):
                checks.append(Check(f"port {port}", "ok", f"free for {purpose}"))
            else:
                base = ports.free_base(stack.ports.base + 10)
                fix = f"stop that, or use another block of ports: HEADWATER_PORT_BASE={base}"
                checks.append(Check(f"port {port}", "failed", f"{purpose} needs it; held by {ports.holder(port)}", fix))
    return checks


def _parts(stack: LocalStack) -> list[Check]:
    states = [state for state in part_states(stack) if state.state != "stopped"]
    if not states:
        return [Check("stack", "unknown", "the local stack is not running", "headwater up")]
    checks = []
    for state in states:
        if state.state == "running":
            checks.append(Check(state.name, "ok", f"running, process {state.pid}"))
        else:
            text = "has ended by itself" if state.state == "died" else "runs, and does not answer"
            checks.append(Check(state.name, "failed", f"{text}; its log is {state.log}", "headwater up"))
    if not registry.available():
        checks.append(Check(registry.NAME, "unknown", "this installation lacks the registry", "install it whole"))
    return checks


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.is_dir())
