"""Runs a module and samples what its threads use their CPU time for; writes a text when the process ends.

`python bench/profiling.py <file> <module> <arguments>`: for looking where time goes, never for a figure. Each thread's
own CPU clock weighs its samples, so that waiting costs nothing; what no Python thread used is the native threads' of
client libraries. A sampler distorts less than cProfile, which makes small functions look dear.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import NoReturn

SAMPLE_SECONDS = 0.002
LINES = 60


class Sampler:
    """Samples all threads but its own, from a thread of its own."""

    def __init__(self) -> None:
        self._own: Counter[str] = Counter()
        self._within: Counter[str] = Counter()
        self._clocks: dict[int, float] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(SAMPLE_SECONDS)
            for identity, frame in sys._current_frames().items():
                if identity != threading.get_ident():
                    self._sample(identity, frame)

    def _sample(self, identity: int, frame: FrameType) -> None:
        try:
            now = time.clock_gettime(time.pthread_getcpuclockid(identity))
        except OSError:
            return  # the thread has just ended
        used = now - self._clocks.get(identity, 0.0)
        self._clocks[identity] = now
        self._own[_named(frame)] += used
        seen = set()
        at: FrameType | None = frame
        while at is not None:
            seen.add(_named(at))
            at = at.f_back
        for name in seen:
            self._within[name] += used

    def text(self) -> str:
        """The costs, greatest first: in the function itself, and with what it calls."""
        sampled, whole = sum(self._clocks.values()), time.process_time()
        lines = [
            f"{whole:8.2f} CPU-s of the process",
            f"{sampled:8.2f} of its Python threads",
            f"{whole - sampled:8.2f} of native threads and of this sampler",
        ]
        for title, costs in (("in the function itself", self._own), ("with what it calls", self._within)):
            lines += ["", f"CPU-s, share: {title}"]
            lines += [f"{cost:8.2f} {cost / whole:6.1%}  {name}" for name, cost in costs.most_common(LINES)]
        return "\n".join(lines) + "\n"


def main() -> None:
    """Sample the module that the arguments name."""
    target, module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    sys.path[0] = ""
    sampler = Sampler()
    leave = os._exit

    def written(code: int) -> NoReturn:
        _write(target, sampler)  # the relay leaves at once when it is asked to end, without a look back
        leave(code)

    os._exit = written
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        _write(target, sampler)


def _write(target: str, sampler: Sampler) -> None:
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(sampler.text())


def _named(frame: FrameType) -> str:
    code = frame.f_code
    place = code.co_filename
    for root in ("/site-packages/", "/src/", "/lib/python"):
        place = place.rpartition(root)[2]
    return f"{place}:{code.co_firstlineno} {code.co_qualname}"


if __name__ == "__main__":
    main()
