"""Processes that are born quickly: a mother that has imported everything forks a child for each life of a runner.

A start by itself costs two seconds of CPU in imports, and three hundred kills would mostly be that. The child is a
process like any other, and runs the same entry point; the mother never opens a client, so that it has no threads.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

IMPORTED = (
    "headwater.cli.run",
    "headwater.observability.prometheus",
    "headwater.ports.kafka",
    "headwater.processing.runners.kafka",
    "headwater.schemas.registry_http",
    "headwater.settings",
)
POLL_SECONDS = 0.01


class Nursery:
    """The mother. `close` ends her; her children are ended by whoever started them."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        argv = [sys.executable, "-m", "tests.chaos.nursery"]
        pipe = subprocess.PIPE
        self._mother = subprocess.Popen(argv, cwd=folder, env=dict(environment), stdin=pipe, stdout=pipe, text=True)

    def born(self, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> Life:
        """A process that runs `python -m <argv>` with this environment, saying what it says to the log."""
        return Life(self, self._asked({"argv": list(argv), "environment": dict(environment), "log": str(log)}))

    def ended(self, pid: int) -> int | None:
        """A child's exit code, as `Popen` gives it; None while it lives."""
        code = self._asked({"pid": pid})
        return None if code == -1_000 else code

    def close(self) -> None:
        """End the mother: she has nothing of her own to put away."""
        self._mother.kill()
        self._mother.communicate()

    def _asked(self, what: Mapping[str, object]) -> int:
        assert self._mother.stdin is not None and self._mother.stdout is not None
        with self._lock:
            self._mother.stdin.write(f"{json.dumps(what)}\n")
            self._mother.stdin.flush()
            return int(self._mother.stdout.readline())


class Life:
    """One child, with what the programs use of `Popen`."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery

    def poll(self) -> int | None:
        """The exit code; None while it lives."""
        if self.returncode is None:
            self.returncode = self._nursery.ended(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended; raises `TimeoutExpired`."""
        deadline = time.monotonic() + (timeout if timeout is not None else 1e9)
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(POLL_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """To a process that has not been seen to end; one that has is nobody's any more."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def main() -> None:
    """Read what is asked, line by line, until there is nothing more."""
    for name in IMPORTED:
        __import__(name)
    for line in sys.stdin:
        asked = json.loads(line)
        if "pid" in asked:
            pid, status = os.waitpid(asked["pid"], os.WNOHANG)
            print(os.waitstatus_to_exitcode(status) if pid else -1_000, flush=True)
            continue
        pid = os.fork()
        if not pid:
            _live(asked["argv"], asked["environment"], asked["log"])
        print(pid, flush=True)


def _live(argv: list[str], environment: dict[str, str], log: str) -> None:
    there = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, target in ((0, nothing), (1, there), (2, there)):
        os.dup2(target, number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = list(argv)
    code = 70
    try:
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
