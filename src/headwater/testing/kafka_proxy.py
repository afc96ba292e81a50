"""A proxy before Kafka that knows its protocol: holds, drops, doubles, swaps or delays chosen frames, and cuts clients.

Clients that are given the proxy's address stay on it, for it rewrites the addresses in Metadata, FindCoordinator and
DescribeCluster answers; each broker gets a port of its own. What happens is written as `Rule`s, is drawn from a seed,
and is kept in `log`. So a network's worst moment becomes a test that fails each time:

    from headwater.testing.kafka_proxy import KafkaProxy
    from headwater.testing.kafka_proxy_rules import Answered, Frames, Hold, Rule, Seen

    ends = Frames("EndTxn", transactional_id="shop")
    added = Frames("AddPartitionsToTxn", "answer", transactional_id="shop")
    rules = [
        Rule("stale", ends, Hold(Seen(added), cut="reset")),           # keep the first commit back, cut the client
        Rule("in order", added, Hold(Answered("stale")), after="stale"),  # until it has struck the next transaction
    ]
    with KafkaProxy("127.0.0.1:9092", rules, seed=1) as proxy:
        producer = Producer({"bootstrap.servers": proxy.address, "transactional.id": "shop"})
        ...
        assert proxy.wait("stale", "answered").error == "INVALID_PRODUCER_EPOCH"

It reads plain connections: TLS it does not open. A broker that hands a partition to another tells so within Produce and
Fetch answers (KIP-951); those addresses are not rewritten, so it sees all traffic only while leaders stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from headwater.testing.kafka_proxy_frame import Frame
from headwater.testing.kafka_proxy_link import Link, Streams
from headwater.testing.kafka_proxy_rules import Answered, Cut, Elapsed, Moment, Rule, RuleBook, Seen

LOOPBACK = "127.0.0.1"
LOG_LIMIT = 20_000  # entries kept, newest last
HOLD_SECONDS_LIMIT = 60.0  # whatever a rule waits for, a frame is released then
WAIT_SECONDS = 30.0
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the log. `deed` is empty for a frame that went by, else `struck`, `released` or `answered`."""

    seconds: float
    connection: int
    rule: str
    deed: str
    side: str
    api: str
    version: int
    correlation: int
    client_id: str
    transactional_id: str
    committed: bool | None
    error: str


class KafkaProxy:
    """A proxy before the broker at `upstream` (host:port). Start it with `with`, or `start` and `close`.

    >>> from headwater.testing.kafka_proxy_rules import Frames, Hold
    >>> proxy = KafkaProxy("127.0.0.1:1", [Rule("late", Frames("EndTxn"), Hold(Elapsed(0, 500)))], seed=7)
    >>> with proxy:
    ...     host, _, port = proxy.address.partition(":")
    >>> host, int(port) > 0
    ('127.0.0.1', True)
    """

    def __init__(self, upstream: str, rules: Sequence[Rule] = (), *, seed: int = 0) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self._book = RuleBook(rules, seed=seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="kafka proxy")
        self._heard = threading.Condition()
        self._ports: dict[tuple[str, int], int] = {}  # each broker's address, and ours for it
        self._tasks: set[asyncio.Task[None]] = set()
        self._links: set[Link] = set()
        self._watched: list[_Watch] = []
        self._answered: dict[str, asyncio.Event] = {}
        self._refusing = False
        self._connections = 0
        self.log: deque[Entry] = deque(maxlen=LOG_LIMIT)

    def start(self) -> None:
        """Listen on a free port of loopback."""
        self._thread.start()
        self._called(self._listen())

    def close(self) -> None:
        """End all connections and stop listening."""
        self._called(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> KafkaProxy:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """What to give clients as `bootstrap.servers`."""
        return f"{LOOPBACK}:{self._ports[self._upstream]}"

    def add(self, rule: Rule) -> None:
        """One rule more, counting from now."""
        self._called(self._add(rule))

    def wait(
        self, rule: str, deed: Literal["struck", "released", "answered"] = "struck", seconds: float = WAIT_SECONDS
    ) -> Entry:
        """The first log entry that says so of a rule; raises TimeoutError where it does not come in time."""
        with self._heard:
            if self._heard.wait_for(lambda: self.found(rule, deed) is not None, seconds):
                entry = self.found(rule, deed)
                assert entry is not None
                return entry
        raise TimeoutError(f"the rule '{rule}' has not {deed} within {seconds} s")

    def found(self, rule: str, deed: str = "struck") -> Entry | None:
        """As `wait`, without waiting."""
        with self._heard:
            return next((entry for entry in self.log if entry.rule == rule and entry.deed == deed), None)

    def cut_all(self, how: Cut = "reset") -> None:
        """End every client's connection; they may connect anew."""
        self._called(self._cut_all(how))

    def away(self, gone: bool = True) -> None:
        """Play a broker that is away: end all connections and accept none, until `away(False)`."""
        self._refusing = gone
        if gone:
            self.cut_all("reset")

    # What follows runs in the loop's thread.

    def judge(self, frame: Frame, connection: int) -> Rule | None:
        """A connection's frame: noted, counted, judged."""
        for watch in [watch for watch in self._watched if watch.moment.frames.match(frame)]:
            watch.left -= 1
            if watch.left == 0:
                watch.reached.set()
                self._watched.remove(watch)
        rule = self._book.strike(frame)
        self._write("" if rule is None else rule.name, frame, connection, "" if rule is None else "struck")
        return rule

    async def moment(self, rule: Rule, moment: Moment) -> None:
        """Wait for a moment, at most `HOLD_SECONDS_LIMIT`."""
        if isinstance(moment, Elapsed):
            await asyncio.sleep(self._book.seconds(moment))
            return
        if isinstance(moment, Answered):
            reached = self._answered.setdefault(moment.rule, asyncio.Event())
        else:
            reached = asyncio.Event()
            self._watched.append(_Watch(moment, moment.nth, reached))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reached.wait(), HOLD_SECONDS_LIMIT)

    def note(self, rule: Rule, frame: Frame, connection: int, deed: str) -> None:
        """Log what was done to a frame; an answer wakes who waits for it."""
        self._write(rule.name, frame, connection, deed)
        if deed == "answered":
            self._answered.setdefault(rule.name, asyncio.Event()).set()

    def relocate(self, host: str, port: int) -> tuple[str, int]:
        """The address of ours that stands for a broker's; a broker not heard of yet gets one."""
        if (host, port) not in self._ports:
            listener = socket.create_server((LOOPBACK, 0))
            self._ports[host, port] = listener.getsockname()[1]
            self._tasks.add(self._loop.create_task(self._serve(listener, (host, port))))
        return LOOPBACK, self._ports[host, port]

    async def _serve(self, listener: socket.socket, broker: tuple[str, int]) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._join((reader, writer), broker))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            # Whatever ended it, before its first step too, the client's side is closed with it.
            task.add_done_callback(lambda _: writer.transport.abort())

        async with await asyncio.start_server(accept, sock=listener) as server:
            await server.serve_forever()

    async def _join(self, client: Streams, broker: tuple[str, int]) -> None:
        try:
            there = None if self._refusing else await asyncio.open_connection(*broker)
        except OSError:
            there = None
        if there is None:
            client[1].transport.abort()
            return
        self._connections += 1
        link = Link(self._connections, client, there, self)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)
            there[1].transport.abort()

    def _write(self, rule: str, frame: Frame, connection: int, deed: str) -> None:
        with self._heard:
            self.log.append(
                Entry(
                    round(self._loop.time(), 6), connection, rule, deed, frame.side, frame.api, frame.version,
                    frame.correlation, frame.client_id, frame.transactional_id, frame.committed, frame.error,
                )
            )  # fmt: skip
            if deed:
                self._heard.notify_all()

    async def _listen(self) -> None:
        self.relocate(*self._upstream)

    async def _add(self, rule: Rule) -> None:
        self._book.add(rule)

    async def _cut_all(self, how: Cut) -> None:
        for link in list(self._links):
            link.cut(how)

    async def _end(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports that were closed take their leave in the next round

    def _called(self, work: Coroutine[Any, Any, _R]) -> _R:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS)


@dataclass(slots=True)
class _Watch:
    moment: Seen
    left: int
    reached: asyncio.Event
