"""Runs a module under cProfile, all its threads, and writes the profile when the process is asked to end.

`python bench/profiling.py <file> <module> <arguments>`: for looking where time goes, never for a figure.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import runpy
import sys
import threading
from pathlib import Path
from typing import NoReturn


def main() -> None:
    """Profile the module that the arguments name."""
    target, module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    sys.path[0] = ""
    profiles = [cProfile.Profile()]

    # cProfile sees one thread; each thread that starts gets a profile of its own, merged at the end.
    run = threading.Thread.run

    def profiled_run(thread: threading.Thread) -> None:
        profile = cProfile.Profile()
        profiles.append(profile)
        try:
            profile.runcall(run, thread)
        finally:
            profile.disable()

    threading.Thread.run = profiled_run  # type: ignore[method-assign]
    leave = os._exit

    def written(code: int) -> NoReturn:
        # The relay leaves at once when it is asked to end, without a look back.
        _write(profiles, target)
        leave(code)

    os._exit = written
    try:
        profiles[0].runcall(runpy.run_module, module, run_name="__main__", alter_sys=True)
    finally:
        _write(profiles, target)


def _write(profiles: list[cProfile.Profile], target: str) -> None:
    for profile in profiles:
        profile.create_stats()
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    pstats.Stats(*profiles).dump_stats(target)


if __name__ == "__main__":
    main()
