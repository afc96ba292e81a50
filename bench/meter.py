"""What a process and all its children use: CPU-seconds and resident memory, read from /proc.

Native threads of client libraries work outside Python and children may do the work, so the whole tree counts: whatever
descends from the root, or runs in its session. The time of children that are gone is kept by whoever waited for them.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SAMPLE_SECONDS = 0.1


class ProcessStat(NamedTuple):
    """One line of /proc/<pid>/stat, as far as it is needed."""

    pid: int
    parent: int
    session: int
    cpu_ticks: int
    rss_pages: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tree of processes had used when it was looked at."""

    cpu_seconds: float
    rss_bytes: int
    processes: int


def parse_stat(text: str) -> ProcessStat:
    """One process from its stat line; the name in it may hold blanks and parentheses.

    >>> parse_stat("7 (a (b) c) S 1 7 5 0 -1 0 0 0 0 0 30 12 5 3 20 0 1 0 99 1000 250 0")
    ProcessStat(pid=7, parent=1, session=5, cpu_ticks=50, rss_pages=250)
    """
    pid, _, rest = text.partition(" (")
    fields = rest.rpartition(") ")[2].split()
    return ProcessStat(
        pid=int(pid),
        parent=int(fields[1]),
        session=int(fields[3]),
        cpu_ticks=sum(int(field) for field in fields[11:15]),
        rss_pages=int(fields[21]),
    )


def tree(root: int, stats: list[ProcessStat]) -> list[ProcessStat]:
    """The processes that descend from `root` or share its session, `root` itself included."""
    members = {root}
    found = True
    while found:
        more = {s.pid for s in stats if s.pid not in members and (s.parent in members or s.session == root)}
        found = bool(more)
        members |= more
    return [stat for stat in stats if stat.pid in members]


def read_stats() -> list[ProcessStat]:
    """Every process of this machine."""
    stats = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stats.append(parse_stat(Path(entry.path, "stat").read_text()))
            except (FileNotFoundError, ProcessLookupError):
                continue  # gone while we looked
    return stats


def usage(*roots: int) -> Usage:
    """What the trees of these processes use now."""
    stats = read_stats()
    members = {stat.pid: stat for root in roots for stat in tree(root, stats)}
    return Usage(
        cpu_seconds=sum(stat.cpu_ticks for stat in members.values()) / TICKS_PER_SECOND,
        rss_bytes=sum(stat.rss_pages for stat in members.values()) * PAGE_BYTES,
        processes=len(members),
    )


class PeakMemory:
    """Samples a tree's resident memory in a thread until `stop`, which answers the greatest sum seen, in bytes."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._peak = max(self._peak, usage(self._root).rss_bytes)

    def stop(self) -> int:
        """End the sampling."""
        self._ended.set()
        self._thread.join()
        return self._peak
