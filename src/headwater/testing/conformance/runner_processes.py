"""Runners that are processes, on trial: `headwater run` with the runner's name, killed with SIGKILL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headwater.naming import ProductName
from headwater.testing.conformance.runner_trial import Running, Scene

STOP_SECONDS = 60  # all products of a trial are in one process; that one stops in time is for its own tests
SAID_BYTES = 4_000


class RunnerProcess:
    """A process of a group of its own: what it starts dies with it."""

    def __init__(self, trial: Scene, arguments: Sequence[str]) -> None:
        self._log = trial.folder / f"{arguments[-1]}.log"
        data = trial.environment.get("HEADWATER_DATA")
        self._flink_logs = Path(data) / "logs" if data else trial.folder
        self._before = {log: log.stat().st_size for log in self._logs() if log.is_file()}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "headwater", *arguments],
                env={**os.environ, **trial.environment},
                cwd=trial.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def require_running(self) -> None:
        """Raises an AssertionError with what it said, and what Flink said beside it, where it has ended."""
        code = self._process.poll()
        assert code is None, f"it ended by itself with {code}: {self._said()}"

    def kill(self) -> None:
        """SIGKILL to all of it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """SIGTERM; an AssertionError with the end of its log where it ends otherwise than well."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            ended = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            ended = -signal.SIGKILL
        assert ended == 0, f"{ended}: {self._said()}"

    def _logs(self) -> list[Path]:
        """Its own and those of Flink, of a job or a gateway: an error names one, and the reason stands in it."""
        return [self._log, *sorted(self._flink_logs.glob("flink*.log"))]

    def _said(self) -> str:
        """The ends of what was written to its logs since it was started."""
        parts = []
        for log in self._logs():
            written = log.read_bytes()[self._before.get(log, 0) :] if log.is_file() else b""
            if written:
                parts.append(f"{log.name}:\n{written[-SAID_BYTES:].decode(errors='replace')}")
        return "\n".join(parts)


@dataclass
class ProcessOnTrial:
    """`headwater run --runner NAME` of all products in one process."""

    name: str
    options: Sequence[str] = ()
    refused: Collection[str] = ()
    refuses: Callable[[Scene, ProductName], str] = field(default=lambda trial, product: "")

    def refusal(self, trial: Scene, product: ProductName) -> str:
        """What `plan` says of it."""
        return self.refuses(trial, product)

    def start(self, trial: Scene, products: Sequence[ProductName]) -> Running:
        """With the same slot in each life, as whoever starts it again does."""
        names = [str(product) for product in products]
        return RunnerProcess(trial, ["run", *names, *self.options, "--runner", self.name])
