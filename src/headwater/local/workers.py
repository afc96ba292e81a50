"""The relay and the runner beside the local stack, as processes of their own; one that ended is started again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from headwater.errors import Fault
from headwater.local import processes
from headwater.local.processes import Identity
from headwater.local.stack import LocalStack

WORKERS = ("relay", "run")  # also the commands that they are
RESTARTS_LIMIT = 3


class Workers:
    """The relay and the runner of a mesh on its local stack."""

    def __init__(self, stack: LocalStack, mesh_folder: Path) -> None:
        self._stack = stack
        self._mesh_folder = mesh_folder
        self._restarts = dict.fromkeys(WORKERS, 0)

    def start(self) -> tuple[str, ...]:
        """Start those that do not run; their names."""
        running = processes.running(self._stack.data_folder)
        started = tuple(name for name in WORKERS if name not in running)
        for name in started:
            self._start(name)
        return started

    def mend(self) -> Sequence[str]:
        """Start again what has ended; what was started. Raises `Fault` HW-L084 where one ends again and again."""
        mended = []
        for name in WORKERS:
            process = processes.find(self._stack.data_folder, name)
            if process is not None and process.alive:
                continue
            if self._restarts[name] == RESTARTS_LIMIT:
                raise Fault(
                    f"headwater {name} ended {RESTARTS_LIMIT + 1} times",
                    code="HW-L084",
                    detail=processes.log_tail(process) if process else "",
                    hint=f"read {self._stack.logs_folder / name}.log; nothing is lost, and the next start goes on",
                )
            self._restarts[name] += 1
            self._start(name)
            mended.append(name)
        return mended

    def _start(self, name: str) -> None:
        processes.stop_process(self._stack.data_folder, name)
        processes.start_process(
            self._stack.data_folder,
            name,
            [sys.executable, "-m", "headwater", name],
            {
                "HEADWATER_MESH": str(self._mesh_folder),
                "HEADWATER_DATA": str(self._stack.data_folder),
                "HEADWATER_PORT_BASE": str(self._stack.ports.base),
                "HEADWATER_ENVIRONMENT": "local",
            },
            identity=Identity(folder=self._mesh_folder),
        )
