"""H1: clients follow feeds over HTTP while the runner that writes them is killed, and the server too.

Each client takes pieces from the start of a product's feed and goes on by their links, as long as orders come in. At
the end it has seen each committed record exactly once: none skipped, none twice, none that a transaction took back.
The server's index, killed with it, has the same records.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from tests.chaos.counted import counted
from tests.chaos.nursery import Life
from tests.chaos.processors import DERIVED, Processors, processors
from tests.chaos.scene import free_port
from tests.chaos.verdict import versions

from headwater.local.stack import LocalStack

FAILPOINTS = ("stage.before_commit", "stage.after_outputs", "stage.after_commit", "stage.after_offsets")
DIES_WITHIN = 45.0
SERVES_WITHIN = 60.0
CATCHES_UP_WITHIN = 60.0
Said = tuple[Any, ...]


class Client(threading.Thread):
    """Follows one product's feed until it is told to end; a server that is away is asked again."""

    def __init__(self, port: int, product: str, key: str) -> None:
        super().__init__(daemon=True)
        self._port, self._key = port, key
        self._path = f"/v1/products/{product.replace('.', '/')}"
        self._link = f"{self._path}/feed?after=start&limit=200&wait=1"
        self.seen: Counter[Said] = Counter()
        self.faults: list[str] = []
        self.ending = False

    def run(self) -> None:
        """Take piece after piece. A piece counts once it has come whole: then its link is the place."""
        while not self.ending:
            try:
                status, answer = asked(self._port, self._link)
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.1)
                continue
            if status == 200:
                self.seen.update(said(record, self._key) for record in answer["records"])
                self._link = answer["next"]
            elif status != 503:
                self.faults.append(f"{status} {answer}"[:300])
                time.sleep(0.5)

    def history(self) -> Counter[Said]:
        """All that the server's index has of the product, page by page."""
        link, found = f"{self._path}/history?limit=500", Counter[Said]()
        until = time.monotonic() + SERVES_WITHIN
        while link and time.monotonic() < until:
            status, answer = asked(self._port, link)
            if status == 503:
                time.sleep(0.2)
                continue
            assert status == 200, answer
            found.update(said(record, self._key) for record in answer["records"])
            link = answer.get("next", "")
        return found


def run(*, trials: int = 5, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """Kill the runner so many times, and the server in between; `loose` reads what is not committed."""
    with processors(stack, seed) as made, served(made, loose=saboteur == "loose") as (port, server):
        clients = {
            name: Client(port, made.derived(name), key) for name, key in (("tally", "customer"), ("ranks", "number"))
        }
        for client in clients.values():
            client.start()
        chance, killed, servers = random.Random(seed), 0, 0
        with made.feeder.feeding():
            for trial in counted("H1", trials):
                at = f"{FAILPOINTS[trial % len(FAILPOINTS)]}:{chance.randint(1, 8)}:kill"
                killed += _killed(made.worker(failpoint=at))
                if trial % 2:
                    server.again()
                    servers += 1
            last = made.worker()
            time.sleep(3)
        made.wait_settled(*DERIVED)
        made.stop(last)  # type: ignore[arg-type]
        counts: Counter[str] = Counter(skipped=0, repeated=0, phantom=0, of_index=0, records=0)
        for name, client in clients.items():
            _judge(made, name, client, counts)
        faults = [fault for client in clients.values() for fault in client.faults]
        return {
            "id": "H1", "trials": trials, "seed": seed, "runners_killed": killed, "servers_killed": servers, **counts,
            "faults": faults[:5], "lost": counts["skipped"], "duplicates": counts["repeated"], "order_breaks": 0,
            "versions_of": versions(made),
            "passed": not faults and counts["records"] > 0
            and not any(counts[name] for name in ("skipped", "repeated", "phantom", "of_index")),
        }  # fmt: skip


def _killed(life: Life) -> bool:
    """Whether it died where it was to; else it is killed here."""
    with suppress(Exception):
        life.wait(DIES_WITHIN)
    life.kill()
    life.wait()
    return True


def _judge(made: Processors, name: str, client: Client, counts: Counter[str]) -> None:
    key = client._key
    written = Counter(_of_row(row.record, key) for row in made.rows(name))
    until = time.monotonic() + CATCHES_UP_WITHIN
    while written - client.seen and time.monotonic() < until:
        time.sleep(0.3)
    time.sleep(1.5)  # what comes twice may come late
    client.ending = True
    client.join(30)
    index = client.history()
    counts["records"] += sum(written.values())
    counts["skipped"] += sum((written - client.seen).values())
    counts["repeated"] += sum(max(0, count - written[one]) for one, count in client.seen.items() if one in written)
    counts["phantom"] += sum(count for one, count in client.seen.items() if one not in written)
    counts["of_index"] += sum(((written - index) + (index - written)).values())


def said(record: Mapping[str, Any], key: str) -> Said:
    """A record of an answer by what tells it from all others, and what it says."""
    return (record[key], record["valid_from"], record["revision"], record["kind"], record["orders"], record["numbers"])


def _of_row(record: Mapping[str, Any], key: str) -> Said:
    from headwater.timeline.instant import Instant

    return said({**record, "valid_from": Instant(record["valid_from"]).iso()}, key)


def asked(port: int, link: str) -> tuple[int, Any]:
    """The status and the JSON of an answer."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        client.request("GET", link)
        answer = client.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        client.close()


class Server:
    """`headwater serve` of the scene's mesh, which can be killed and started again."""

    def __init__(self, made: Processors, port: int, module: str) -> None:
        self._made, self._port, self._module = made, port, module
        self._life = self._born()

    def again(self) -> None:
        """SIGKILL, and another one in its place."""
        self._life.kill()
        self._life.wait()
        self._life = self._born()

    def end(self) -> None:
        """For good."""
        self._life.kill()
        self._life.wait()

    def _born(self) -> Life:
        made = self._made
        variables = {
            **made.environment(), "HEADWATER_DATA": str(made.folder / "served"), "HEADWATER_CURSOR_KEY": "h1",
            "HEADWATER_ENVIRONMENT": "there",
        }  # fmt: skip
        argv = [self._module, "serve", "--port", str(self._port), "--rate", "100000"]
        return made.nursery.born(argv, variables, made.folder / "serve.log")


@contextmanager
def served(made: Processors, *, loose: bool) -> Iterator[tuple[int, Server]]:
    """A server of the scene's products, once it answers."""
    port = free_port()
    server = Server(made, port, "tests.chaos.serve_loose" if loose else "headwater")
    try:
        until = time.monotonic() + SERVES_WITHIN
        while True:
            with suppress(OSError, http.client.HTTPException, ValueError):
                if asked(port, "/healthz")[0] == 200:
                    break
            assert time.monotonic() < until, (made.folder / "serve.log").read_text()[-2_000:]
            time.sleep(0.2)
        yield port, server
    finally:
        server.end()
