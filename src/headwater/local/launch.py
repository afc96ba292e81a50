"""Start and stop the local stack: what runs is left alone, what is missing or dead is started, under a lock."""

from __future__ import annotations

import errno
import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from headwater.errors import CallerFault, Fault, HeadwaterError
from headwater.local import connect, flink_gateway, kafka, postgres, processes, registry
from headwater.local.java import disk_full, find_java, jars
from headwater.local.ports import require_free
from headwater.local.processes import Process
from headwater.local.stack import DATA_FOLDER_NAME, EXTRA_PARTS, FOLDER_MARK, PARTS, LocalStack, Phases, quiet
from headwater.settings import LocalPorts
from headwater.timeline.clock import Clock, SystemClock

READY_SECONDS = 60.0  # far beyond any start seen; a slow machine is not a broken one
_POLL_MICROSECONDS = 50_000
_DISK_BYTES_LEAST = 300_000_000
_ANSWERS: dict[str, Callable[[LocalStack], bool]] = {
    "kafka": kafka.answers,
    "postgres": postgres.answers,
    "registry": registry.answers,
    "connect": connect.answers,
    "flink": flink_gateway.answers,
}


@dataclass(frozen=True, slots=True)
class Started:
    """What `up` did: the parts it started, those that ran already, and those that this installation lacks."""

    started: tuple[str, ...]
    already: tuple[str, ...]
    lacking: tuple[str, ...] = ()


def start_stack(
    stack: LocalStack, *, extra: tuple[str, ...] = (), phases: Phases = quiet, clock: Clock | None = None
) -> Started:
    """Bring the stack up, from nothing, from half or not at all; returns once every part answers.

    `extra` are parts beside the usual ones, of `EXTRA_PARTS`; one that was started before and died is mended too.
    Idempotent. A start that fails leaves what it started on record, so that the next `up` mends it and `down` ends it.
    """
    clock = clock or SystemClock()
    try:
        with _only_one(stack):
            return _start(stack, extra, phases, clock)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise disk_full(stack.data_folder) from None
        raise


def _start(stack: LocalStack, extra: tuple[str, ...], phases: Phases, clock: Clock) -> Started:
    alive = processes.running(stack.data_folder)
    _require_same_ports(stack, alive)
    wanted = [part for part in PARTS if part != registry.NAME or registry.available()]
    wanted += [part for part in EXTRA_PARTS if part in extra or processes.find(stack.data_folder, part) is not None]
    missing = [part for part in wanted if part not in alive]
    require_free([pair for part in missing for pair in stack.ports_of(part)], base=stack.ports.base)
    _require_disk(stack)
    _write_state(stack)
    if kafka.NAME in missing:
        with phases("finding Java"):
            java = find_java()
        class_path = jars("kafka", phases=phases)
        with phases("Kafka: configuration and log folder"):
            kafka.prepare(stack, java, class_path)
            kafka.start(stack, java, class_path)
    if postgres.NAME in missing:
        with phases("PostgreSQL: its data folder and server"):
            postgres.start(stack, clock=clock)
            wait_until_ready(stack, postgres.NAME, clock=clock)
    if stack.databases:
        postgres.create_databases(stack, stack.databases)
    with phases("Kafka answers"):
        wait_until_ready(stack, kafka.NAME, clock=clock)
    if registry.NAME in missing:
        registry.start(stack)
    if kafka.NAME in missing:
        with phases("Kafka's coordinators"):
            kafka.touch_internal_topics(stack, clock=clock)
    if registry.NAME in wanted:
        with phases("the registry answers"):
            wait_until_ready(stack, registry.NAME, clock=clock)
    if connect.NAME in missing:
        _start_connect(stack, phases, clock)
    if flink_gateway.NAME in missing:
        flink_gateway.start(stack, phases=phases)
        with phases("Flink's SQL gateway answers"):
            wait_until_ready(stack, flink_gateway.NAME, clock=clock)
    already = tuple(part for part in wanted if part not in missing)
    return Started(tuple(missing), already, tuple(part for part in PARTS if part not in wanted))


def _start_connect(stack: LocalStack, phases: Phases, clock: Clock) -> None:
    class_path, connector = jars("connect", phases=phases), jars("debezium", without=("connect",), phases=phases)
    with phases("Kafka Connect answers"):
        connect.prepare(stack, connector)
        connect.start(stack, find_java(), class_path)
        wait_until_ready(stack, connect.NAME, clock=clock)


def stop_stack(stack: LocalStack, *, phases: Phases = quiet, purge: bool = False) -> tuple[str, ...]:
    """Stop everything on record, readers first, Kafka last; returns what ran. With `purge`, remove the folder."""
    if not stack.data_folder.is_dir():
        return ()
    if purge:
        _require_ours(stack.data_folder)
    stack = as_started(stack)  # a changed HEADWATER_PORT_BASE must not keep a running stack from being stopped
    stopped: list[str] = []
    with _only_one(stack):
        alive = processes.running(stack.data_folder)
        others = [name for name in reversed(alive) if name not in (*PARTS, *EXTRA_PARTS)]
        for name in [*others, *reversed(EXTRA_PARTS), *reversed(PARTS)]:
            if name in alive:
                with phases(f"stopping {name}"):
                    _stop(stack, name)
                stopped.append(name)
            else:
                processes.forget(stack.data_folder, name)
        if purge:
            with phases(f"removing {stack.data_folder}"):
                _remove(stack)
    return tuple(stopped)


def wait_until_ready(
    stack: LocalStack, part: str, *, seconds: float = READY_SECONDS, clock: Clock | None = None
) -> None:
    """Wait until a part answers; raises `Fault` HW-L003 with the end of its log where it ended or stays silent."""
    clock = clock or SystemClock()
    until = clock.monotonic() + int(seconds * 1_000_000)
    while not _ANSWERS[part](stack):
        process = processes.find(stack.data_folder, part)
        ended = process is None or not process.alive
        if ended or clock.monotonic() >= until:
            raise _not_ready(
                stack, part, process, "ended while starting" if ended else f"is silent after {seconds:.0f} s"
            )
        clock.sleep(_POLL_MICROSECONDS)


def answers(stack: LocalStack, part: str) -> bool:
    """Whether a part of the stack answers now."""
    return _ANSWERS[part](stack)


def _stop(stack: LocalStack, name: str) -> None:
    stops: dict[str, Callable[[LocalStack], bool]] = {
        "kafka": kafka.stop,
        "postgres": postgres.stop,
        "registry": registry.stop,
        "connect": connect.stop,
        "flink": flink_gateway.stop,
    }
    if name in stops:
        stops[name](stack)
    else:
        processes.stop_process(stack.data_folder, name)


def _not_ready(stack: LocalStack, part: str, process: Process | None, how: str) -> HeadwaterError:
    said = processes.log_tail(process) if process else ""
    if part == kafka.NAME and kafka.broker_log(stack).is_file():
        said += "\n" + "\n".join(kafka.broker_log(stack).read_text(errors="replace").splitlines()[-8:])
    if part == connect.NAME and connect.worker_log(stack).is_file():
        said += "\n" + "\n".join(connect.worker_log(stack).read_text(errors="replace").splitlines()[-8:])
    if "No space left" in said:
        return disk_full(stack.data_folder)
    return Fault(
        f"{part} {how}",
        code="HW-L003",
        detail=said.strip(),
        hint=f"read {stack.logs_folder}, run headwater doctor, then headwater up again",
    )


def as_started(stack: LocalStack) -> LocalStack:
    """The stack with the ports that it runs on, where it runs, whatever the settings say now."""
    state = _state_file(stack)
    if not state.is_file() or not processes.running(stack.data_folder):
        return stack
    return replace(stack, ports=LocalPorts(json.loads(state.read_text())["port_base"]))


def _require_same_ports(stack: LocalStack, alive: dict[str, Process]) -> None:
    base = as_started(stack).ports.base
    if base != stack.ports.base and any(part in alive for part in PARTS):
        raise CallerFault(
            f"the stack of {stack.data_folder} is running on another block of ports, {base}",
            code="HW-L004",
            detail=f"asked for was {stack.ports.base}",
            hint=f"use that: HEADWATER_PORT_BASE={base}; or stop it first: headwater down",
        )


def _require_disk(stack: LocalStack) -> None:
    if shutil.disk_usage(stack.data_folder).free < _DISK_BYTES_LEAST:
        raise disk_full(stack.data_folder)


def _require_ours(folder: Path) -> None:
    if not (folder / FOLDER_MARK).is_file():
        raise CallerFault(
            f"{folder} was not made by headwater up, and is not removed",
            code="HW-L005",
            detail=f"it has no file {FOLDER_MARK}",
            hint="set HEADWATER_DATA to the stack's folder, or remove the folder by hand",
        )


def _remove(stack: LocalStack) -> None:
    if stack.postgres_folder.is_symlink():
        shutil.rmtree(stack.postgres_folder.resolve().parent, ignore_errors=True)
    shutil.rmtree(stack.data_folder)


def _state_file(stack: LocalStack) -> Path:
    return stack.data_folder / "run" / "stack.state"


def _write_state(stack: LocalStack) -> None:
    file = _state_file(stack)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"port_base": stack.ports.base}) + "\n")


@contextmanager
def _only_one(stack: LocalStack) -> Iterator[None]:
    # Two `up`s at once would start everything twice; the second waits and then finds all running.
    folder = stack.data_folder
    folder.mkdir(parents=True, exist_ok=True)
    if folder.name == DATA_FOLDER_NAME or not any(folder.iterdir()):
        (folder / FOLDER_MARK).touch()
    with (folder / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
