"""The meter counts a process with all that it started, and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from bench.machine import Command, start, stop
from bench.meter import ProcessStat, read_stats, tree, usage

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the meter reads /proc, which is Linux's")


def test_a_tree_is_what_descends_from_the_root_or_shares_its_session() -> None:
    stats = [
        ProcessStat(10, 1, 10, 5, 1),
        ProcessStat(11, 10, 10, 7, 1),
        ProcessStat(12, 11, 12, 3, 1),  # a child of a child, in a session of its own
        ProcessStat(13, 1, 10, 2, 1),  # its parent is gone
        ProcessStat(20, 1, 20, 9, 1),
    ]
    assert [stat.pid for stat in tree(10, stats)] == [10, 11, 12, 13]


def test_this_process_has_used_time_and_memory() -> None:
    used = usage(os.getpid())
    assert used.cpu_seconds > 0
    assert used.rss_bytes > 1_000_000
    assert used.processes >= 1


def test_a_started_program_stays_on_its_core_and_goes_with_its_children(tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "print(sorted(os.sched_getaffinity(0)), sorted(os.sched_getaffinity(child.pid)), flush=True)\n"
        "child.wait()\n"
    )
    log = tmp_path / "program.log"
    process = start(Command([sys.executable, "-c", script], {}, tmp_path), core=0, log=log)
    try:
        with log.open() as said:
            line = ""
            while process.poll() is None and not line.endswith("\n"):
                line += said.readline()
        members = [stat.pid for stat in tree(process.pid, read_stats())]
        assert len(members) == 2
        if (os.cpu_count() or 1) > 1:
            assert line == "[0] [0]\n"
    finally:
        stop(process)
    assert not [stat for stat in read_stats() if stat.pid in members and stat.rss_pages]  # nobody may reap them here
