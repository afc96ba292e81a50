"""Fixed ports, tested before anything starts: who holds one, and what to do about it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from pathlib import Path

from headwater.errors import CallerFault
from headwater.local.stack import HOST

_BLOCK = 10  # a stack takes a block of ten ports


def free(port: int) -> bool:
    """Whether a server could listen on this port of loopback now.

    >>> import socket
    >>> with socket.create_server(("127.0.0.1", 0)) as taken:
    ...     free(taken.getsockname()[1])
    False
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port that lingers is free
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def require_free(wanted: Iterable[tuple[str, int]], *, base: int) -> None:
    """Raise `CallerFault` HW-L001 for the first port that is taken, with its holder and a block that is free."""
    for purpose, port in wanted:
        if not free(port):
            raise CallerFault(
                f"port {port}, which {purpose} needs, is taken",
                code="HW-L001",
                detail=f"it is held by {holder(port)}",
                hint=f"stop that, or use another block of ports: HEADWATER_PORT_BASE={free_base(base + _BLOCK)}",
            )


def free_base(start: int, *, tries: int = 500) -> int:
    """The first base from `start` on whose block of ports is free."""
    for base in range(start, min(start + tries * _BLOCK, 65_000), _BLOCK):
        if all(free(base + offset) for offset in range(_BLOCK)):
            return base
    raise CallerFault(
        f"no block of ten free ports from {start} on",
        code="HW-L002",
        hint="stop some servers, or set HEADWATER_PORT_BASE",
    )


def holder(port: int) -> str:
    """Who listens on a port: `process 12 (java ...)`, or that it cannot be known."""
    inodes = _listening_inodes(port)
    for link in Path("/proc").glob("[0-9]*/fd/*") if inodes else ():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.removeprefix("socket:[").removesuffix("]") in inodes:
            pid = link.parts[2]
            return f"process {pid} ({_command(pid)})"
    return "a process that cannot be seen from here (another user's, or in a container)"


def _listening_inodes(port: int) -> set[str]:
    found: set[str] = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            rows = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, rows):
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def _command(pid: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return "unknown"
    shown = " ".join(" ".join(word for word in words if "password" not in word.lower()).split())
    return shown if len(shown) <= 120 else shown[:60] + " ... " + shown[-50:]
