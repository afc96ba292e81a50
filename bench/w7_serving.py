"""W7, the half that is HTTP: `headwater serve` over a million orders, asked from another process.

`python -m bench.w7_serving` fills the topic, starts the server, and measures how long its index takes to fill, by-key
questions at their 50th and 99th percentile, a bootstrap of all that is known (all pages, as Arrow), and the feed from
its start to one client (as Arrow, and as JSON). Each answer is held against what was written: how many records, and a
digest of their ids. With `--restart` it is killed in the middle of a bootstrap, which goes on from its cursor.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import random
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.filling import fill, order_feed
from bench.kafka import Kafka
from bench.machine import TESTED_CORE, describe, pin_self, start, stop
from bench.meter import PeakMemory, usage
from bench.orders import OrderLog, customer_name
from bench.run import fresh_stack
from bench.stack import ROOT, Stack

PRODUCT = "/v1/products/shop/orders"
PAGE = 100_000
ASKED = 2_000
FILL_SECONDS = 900.0
KEYS_SHARE = 10  # orders a customer
TARGETS = {"by_key_p99_ms": 20.0, "bootstrap_seconds_per_million": 10.0, "feed_records_per_second": 50_000.0}


class Server:
    """`headwater serve` on a core of its own, and a connection to it."""

    def __init__(self, stack: Stack) -> None:
        self._stack, self._port = stack, stack.port_base + 7
        self.begin()

    def begin(self) -> None:
        """Start it; it may still be filling its index."""
        plain = self._stack.headwater("serve", "--port", str(self._port), "--rate", "1000000")
        command = replace(plain, variables={**plain.variables, "HEADWATER_CURSOR_KEY": "bench"})  # outlives a restart
        self.process = start(command, core=TESTED_CORE, log=self._stack.log("serve"))
        self.memory = PeakMemory(self.process.pid)
        deadline = time.monotonic() + 60
        while True:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
            try:
                self.get("/healthz")
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def get(self, path: str) -> tuple[bytes, http.client.HTTPMessage]:
        """The body and the headers of an answer; raises where it is none of status 200."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path[:100]}: {answer.status} {body[:300]!r}")
        return body, answer.headers

    def filled(self) -> float:
        """Wait until a question that needs the whole index is answered; the seconds that took."""
        started = time.monotonic()
        while time.monotonic() - started < FILL_SECONDS:
            try:
                self.get(f"{PRODUCT}/as-of?limit=1")
                return time.monotonic() - started
            except RuntimeError:
                time.sleep(0.1)
        raise TimeoutError("the index was not filled")

    def end(self, *, kill: bool = False) -> float:
        """Stop it, or kill it; the peak of its memory in bytes."""
        if kill:
            self.process.kill()
        peak = self.memory.stop()
        stop(self.process)
        return peak


def measure(stack: Stack, kafka: Kafka, *, events: int, seed: int = 1, restart: bool = True) -> dict[str, Any]:
    """Fill, serve, ask; the figures, and whether every answer was right."""
    log = OrderLog(events=events, customers=max(events // KEYS_SHARE, 5_000), seed=seed)
    fill(kafka, stack.registry_url, order_feed(log.orders(), log.through))
    wanted = digest(order.event_id for order in log.orders())
    server = Server(stack)
    try:
        found: dict[str, Any] = {"events": events, "customers": log.customers, "seed": seed}
        found["index_fill_seconds"] = round(server.filled(), 2)
        before = usage(server.process.pid).cpu_seconds
        found |= by_key(server, log)
        found["by_key_cpu_ms"] = round((usage(server.process.pid).cpu_seconds - before) / ASKED / 2 * 1e3, 2)
        before = usage(server.process.pid).cpu_seconds
        seconds, ids = bootstrap(server, restart=False)
        used = usage(server.process.pid).cpu_seconds - before
        found["bootstrap_cpu_seconds_per_million"] = round(used / events * 1e6, 2)
        right = {"bootstrap": digest(ids) == wanted}
        found["bootstrap_seconds"] = round(seconds, 2)
        found["bootstrap_seconds_per_million"] = round(seconds / events * 1e6, 2)
        for form, name in (("arrow", "feed"), ("ndjson", "feed_json")):
            before = usage(server.process.pid).cpu_seconds
            rate, ids = feed(server, form, events)
            used = usage(server.process.pid).cpu_seconds - before
            right[name] = digest(ids) == wanted
            found[f"{name}_records_per_second"] = round(rate)
            found[f"{name}_cpu_seconds_per_million"] = round(used / events * 1e6, 2)
        if restart:
            _, ids = bootstrap(server, restart=True)
            right["bootstrap over a kill"] = digest(ids) == wanted
    finally:
        found_peak = server.end()
    found["server_rss_mb"] = round(found_peak / 1e6)
    met = {name: (found[name] <= limit) == (name != "feed_records_per_second") for name, limit in TARGETS.items()}
    return {"workload": "W7-serving", **found, "verified": all(right.values()), "right": right, "met": met}


def by_key(server: Server, log: OrderLog) -> dict[str, float]:
    """As-of and history of keys drawn at random, one after the other over one connection."""
    chance = random.Random(log.seed)
    found: dict[str, float] = {}
    for what, name in (("as-of", "by_key"), ("history", "history_by_key")):
        took = []
        for _ in range(ASKED):
            customer = customer_name(chance.randrange(log.customers))
            started = time.perf_counter()
            body, _ = server.get(f"{PRODUCT}/{what}?key.customer={customer}")
            took.append(time.perf_counter() - started)
            if any(one["customer"] != customer for one in json.loads(body)["records"]):
                raise RuntimeError(f"a record of another key than {customer}")
        cuts = statistics.quantiles(took, n=100)
        found |= {f"{name}_p50_ms": round(cuts[49] * 1e3, 2), f"{name}_p99_ms": round(cuts[98] * 1e3, 2)}
    return found


def bootstrap(server: Server, *, restart: bool) -> tuple[float, list[str]]:
    """All pages of a snapshot, as Arrow; with `restart` the server is killed behind the second page."""
    started = time.perf_counter()
    ids: list[str] = []
    link: str | None = f"{PRODUCT}/snapshot?limit={PAGE}&format=arrow"
    pages = 0
    while link:
        body, headers = server.get(link)
        ids += _ids("arrow", body)
        link = _link(headers, "next")
        pages += 1
        if restart and pages == 2:
            server.end(kill=True)
            server.begin()
            server.filled()
    return time.perf_counter() - started, ids


def feed(server: Server, form: str, events: int) -> tuple[float, list[str]]:
    """The feed from its start until it has given so many records: records a second, and the records' ids."""
    started = time.perf_counter()
    ids: list[str] = []
    link: str | None = f"{PRODUCT}/feed?after=start&limit={PAGE}&format={form}"
    while link and len(ids) < events:
        body, headers = server.get(link)
        ids += _ids(form, body)
        link = _link(headers, "next")
    return events / (time.perf_counter() - started), ids


def digest(ids: Iterable[str]) -> str:
    """What a collection of ids is known by, in any order, each as often as it comes."""
    every = hashlib.sha256()
    for one in sorted(ids):
        every.update(one.encode())
    return every.hexdigest()


def _ids(form: str, body: bytes) -> list[str]:
    if form == "arrow":
        return [str(one) for one in pa.ipc.open_stream(body).read_all().column("event_id").to_pylist()]
    return [json.loads(line)["event_id"] for line in body.splitlines()]


def _link(headers: http.client.HTTPMessage, name: str) -> str | None:
    for one in (headers.get("link") or "").split(", "):
        if one.endswith(f'rel="{name}"'):
            return one[1 : one.index(">")]
    return None


def main() -> int:
    """Exit 0 where every answer was right."""
    parser = argparse.ArgumentParser(prog="python -m bench.w7_serving", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default="", help="where to write the figures")
    arguments = parser.parse_args()
    pin_self()
    started = time.monotonic()

    def tell(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - started:7.1f} s  {text}\n")

    with fresh_stack(tell) as (stack, kafka):
        found = measure(stack, kafka, events=arguments.events, seed=arguments.seed) | {"machine": describe()}
    text = json.dumps(found, indent=1)
    print(text)
    if arguments.out:
        (ROOT / Path(arguments.out)).write_text(text + "\n")
    return 0 if found["verified"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
