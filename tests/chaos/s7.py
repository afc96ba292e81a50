"""S7: two addresses do what they can to wear a server out; another is served all the while, and memory is bounded.

Attackers are at 127.0.0.2 and 3: connections that never say their headers, more of them than are allowed, bodies
without an end, deep JSON, wide lists, compressed bombs, huge pages, headers and queries, and as many requests as it can
make. What must not happen: a good client at 127.0.0.1 is refused or waits too long, the server's memory grows beyond
its bound, an attack is answered with anything but a refusal, or the server is gone.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.chaos.downstream import until

GOOD, BAD, WORSE = "127.0.0.1", "127.0.0.2", "127.0.0.3"
MEMORY_BYTES_LIMIT = 150_000_000  # above what it had before
SLOWEST_SECONDS = 10.0  # a good client's 95th percentile, on a machine that does other things too
HEAD_SECONDS = 3.0  # in place of the default, so that it can be waited for
DROPS_WITHIN = 12.0  # after that: a machine may stand still for a moment
HELD = 600  # connections that the attacker tries to hold
REFUSALS = frozenset({400, 404, 406, 413, 422, 429, 431, 503})
PAGE = "/v1/products/orders/placed/as-of?limit=10"
ROOT = Path(__file__).parents[2]


def run(*, trials: int, seed: int, saboteur: str = "") -> dict[str, Any]:
    """`trials` times all attacks, one after the other and beside slow connections; `loose` lets everything be held."""
    with served(saboteur) as (port, process):
        before, faults, took = memory(process), [], []
        ending = threading.Event()
        watcher = threading.Thread(target=good, args=(port, ending, faults, took))
        watcher.start()
        peak = before
        try:
            for _ in range(trials):
                with slow(port) as (held, dropped):
                    for name, attack in attacks().items():
                        status = attack(port)
                        if status not in REFUSALS:
                            faults.append(f"{name}: answered with {status}")
                        peak = max(peak, memory(process))
                    if held() > HELD // 2:
                        faults.append(f"{held()} silent connections of one address are held")
                    until(lambda: dropped() >= HELD, HEAD_SECONDS + DROPS_WITHIN)
                    if dropped() < HELD:
                        faults.append(f"{HELD - dropped()} silent connections are held for ever")
                if flood(port) == 0:
                    faults.append("a flood of requests was served whole")
                peak = max(peak, memory(process))
        finally:
            ending.set()
            watcher.join()
        if process.poll() is not None:
            faults.append(f"the server ended with {process.returncode}")
    slowest = sorted(took)[int(len(took) * 0.95)] if took else 99.0
    if slowest > SLOWEST_SECONDS:
        faults.append(f"a good client's 95th percentile was {slowest:.2f} s")
    if peak - before > MEMORY_BYTES_LIMIT:
        faults.append(f"memory grew by {(peak - before) / 1e6:.0f} MB")
    return {
        "id": "S7", "trials": trials, "seed": seed, "faults": faults, "good_requests": len(took),
        "good_p95_ms": round(slowest * 1e3, 1), "memory_before_mb": round(before / 1e6),
        "memory_peak_mb": round(peak / 1e6),
        "lost": 0, "duplicates": 0, "phantom": 0, "order_breaks": 0, "passed": not faults,
    }  # fmt: skip


def attacks() -> dict[str, Callable[[int], int]]:
    """Each by its name: it answers the status that it got."""
    deep = b'{"sql": ' + b"[" * 40_000 + b"]" * 40_000 + b"}"
    wide = json.dumps({"sql": "SELECT * FROM orders.placed WHERE number IN (" + ",".join("1" * 30_000) + ")"}).encode()
    bomb = gzip.compress(b" " * 50_000_000)
    return {
        "huge body": lambda port: posted(port, iter([b" " * 65_536] * 1_600)),
        "huge body, announced": lambda port: posted(port, iter([b" " * 65_536] * 2), {"content-length": "10000000000"}),
        "deep JSON": lambda port: posted(port, iter([deep])),
        "wide IN": lambda port: posted(port, iter([wide])),
        "gzip bomb": lambda port: posted(port, iter([bomb]), {"content-encoding": "gzip"}),
        "huge page": lambda port: got(port, "/v1/products/orders/placed/as-of?limit=1000000000"),
        "long wait": lambda port: got(port, "/v1/products/orders/placed/feed?wait=1e9"),
        "long query": lambda port: got(port, f"/v1/products/orders/placed/as-of?cursor={'x' * 40_000}"),
        "many parameters": lambda port: got(
            port, "/v1/products/orders/placed/as-of?" + "&".join(f"a{number}=1" for number in range(1_000))
        ),
        "huge header": lambda port: got(port, "/v1/products", {"x-filler": "x" * 2_000_000}),
        "many forms": lambda port: got(port, "/v1/products/orders/placed/as-of?cursor=x", {"accept": "a/b," * 10_000}),
        "deep SELECT": lambda port: got(port, f"/v1/query?sql={quote('SELECT ' + '(' * 3_000)}"),
    }


def posted(port: int, chunks: Iterator[bytes], headers: dict[str, str] | None = None) -> int:
    """The status of a query that is posted in chunks, or as long as it was announced."""
    told = headers or {}
    with connection(port, WORSE) as client:
        client.putrequest("POST", "/v1/query", skip_accept_encoding=True)
        sized = "content-length" in told
        for name, value in ({} if sized else {"transfer-encoding": "chunked"} | told).items():
            client.putheader(name, value)
        for name, value in told.items() if sized else ():
            client.putheader(name, value)
        client.endheaders()
        with suppress(OSError):  # the server may have said its word already
            for chunk in chunks:
                client.send(chunk if sized else b"%x\r\n%s\r\n" % (len(chunk), chunk))
            if not sized:
                client.send(b"0\r\n\r\n")
        return status_of(client)


def got(port: int, path: str, headers: dict[str, str] | None = None) -> int:
    """The status of what is asked for."""
    with connection(port, WORSE) as client:
        with suppress(OSError):
            client.request("GET", path, headers=headers or {})
        return status_of(client)


def status_of(client: http.client.HTTPConnection) -> int:
    """What was answered; a connection that is ended without a word is a refusal as well, as 400."""
    try:
        answer = client.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return 400
    return answer.status


def flood(port: int) -> int:
    """How many of very many requests were refused."""
    refused = 0
    with connection(port, BAD) as client:
        for _ in range(1_500):
            client.request("GET", "/v1/products")
            answer = client.getresponse()
            answer.read()
            refused += answer.status == 429
    return refused


def good(port: int, ending: threading.Event, faults: list[str], took: list[float]) -> None:
    """A client that asks ten times a second, and wants an answer each time."""
    while not ending.wait(0.1):
        started = time.monotonic()
        try:
            with connection(port, GOOD) as client:
                client.request("GET", PAGE)
                answer = client.getresponse()
                answer.read()
            if answer.status != 200:
                faults.append(f"a good client got {answer.status}")
        except OSError as error:
            faults.append(f"a good client got nothing: {error}")
        took.append(time.monotonic() - started)


@contextmanager
def slow(port: int) -> Iterator[tuple[Callable[[], int], Callable[[], int]]]:
    """Connections that begin to say their headers and never end; how many are held, and how many were dropped."""
    sockets = []
    for _ in range(HELD):
        one = socket.socket()
        one.bind((BAD, 0))
        one.settimeout(5)
        sockets.append(one)
        with suppress(OSError):
            one.connect(("127.0.0.1", port))
            one.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ")
            one.setblocking(False)

    def dropped() -> int:
        count = 0
        for one in sockets:
            try:
                one.setblocking(False)
                count += 1 if one.recv(1_000) in (b"",) or one.recv(1_000) in (b"",) else 0
            except BlockingIOError:
                continue
            except OSError:
                count += 1
        return count

    try:
        time.sleep(1)
        yield (lambda: HELD - dropped()), dropped
    finally:
        for one in sockets:
            one.close()


@contextmanager
def connection(port: int, source: str) -> Iterator[http.client.HTTPConnection]:
    """One of an address of this machine."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(source, 0))
    try:
        yield client
    finally:
        client.close()


@contextmanager
def served(saboteur: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.chaos.s7_server", str(port), *([saboteur] if saboteur else [])]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while True:
            with suppress(OSError), connection(port, GOOD) as client:
                client.request("GET", "/healthz")
                client.getresponse().read()
                break
            assert process.poll() is None and time.monotonic() < until, "the server did not start"
            time.sleep(0.2)
        yield port, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


def memory(process: subprocess.Popen[bytes]) -> int:
    """The resident bytes of a process; 0 where it is gone."""
    with suppress(OSError):
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0
