"""How a command that serves is told to stop: by SIGTERM, by Ctrl-C, or by one of its own threads.

Python runs a signal's handler in the main thread, between any two of its instructions, and only once that thread runs.
So the handler may not wait for a lock which that thread may hold, as `threading.Event.set` does: it would wait for
ever. And where the system gives the signal to another thread, nothing wakes one that waits for long: who waits here
looks up each second. Both: <https://docs.python.org/3/library/signal.html#signals-and-threads>.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Self

LOOK_SECONDS = 1.0


class Stopping:
    """Whether to stop; once it is said it is not taken back.

    >>> stopping = Stopping()
    >>> stopping.wait(0.0)
    False
    >>> stopping.set()
    >>> stopping.wait(60.0), stopping.is_set()
    (True, True)
    """

    def __init__(self) -> None:
        self._told = False
        self._gate = threading.Lock()  # shut until it is said; whoever comes through opens it for the next
        self._gate.acquire()

    def on_signals(self) -> Self:
        """SIGTERM and Ctrl-C say it from now on. From the main thread alone."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.set())
        return self

    def set(self) -> None:
        """Say it. From any thread, in a signal's handler too, as often as one likes."""
        self._told = True
        self._open()

    def is_set(self) -> bool:
        """Whether it was said."""
        return self._told

    def wait(self, seconds: float) -> bool:
        """Wait until it is said, `seconds` at most; whether it was."""
        while not self._told and seconds > 0:
            if self._gate.acquire(timeout=min(seconds, LOOK_SECONDS)):
                self._open()
            seconds -= LOOK_SECONDS
        return self._told

    def _open(self) -> None:
        with contextlib.suppress(RuntimeError):  # open already
            self._gate.release()
