"""Runs a module under cProfile, all its threads, and writes the profile when the process is asked to end.

`python bench/profiling.py <file> <module> <arguments>`: for looking where time goes, never for a figure.
"""

from __future__ import annotations

import cProfile
import pstats
import runpy
import sys
import threading
from pathlib import Path


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
    try:
        profiles[0].runcall(runpy.run_module, module, run_name="__main__", alter_sys=True)
    finally:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        merged = pstats.Stats(profiles[0])
        for profile in profiles[1:]:
            profile.create_stats()
            merged.add(profile)
        merged.dump_stats(target)


if __name__ == "__main__":
    main()
