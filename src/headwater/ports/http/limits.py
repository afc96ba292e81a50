"""How much one client, and all together, may ask: a bucket of tokens for each address, and places for what is heavy."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from headwater.errors import CallerFault, Unreachable
from headwater.timeline.clock import Clock

_CLIENTS = 10_000  # that are remembered; who was not heard of for longest is forgotten first


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests a second for each address, how many at once after a pause, and heavy ones at a time, with a queue."""

    rate: float = 50.0
    burst: int = 100
    heavy: int = 3
    queue: int = 32
    streams: int = 200


class Gate:
    """Lets requests in. Use one for each server."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits, self._clock = limits, clock
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._heavy = asyncio.Semaphore(limits.heavy)
        self._waiting = self._streams = 0

    def enter(self, client: str) -> None:
        """Count a request of a principal, or of an address where nobody has said who asks.

        Raises `CallerFault` HW-R034 where its client has asked too often.
        """
        now, limits = self._clock.monotonic(), self._limits
        tokens, since = self._buckets.pop(client, (float(limits.burst), now))
        tokens = min(limits.burst, tokens + (now - since) / 1_000_000 * limits.rate)
        self._buckets[client] = (max(tokens - 1, 0.0), now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        if tokens < 1:
            raise CallerFault(
                "too many requests",
                code="HW-R034",
                detail=f"{limits.rate:g} a second are served to one client",
                hint="wait as long as Retry-After says; larger pages need fewer requests",
            )

    @asynccontextmanager
    async def heavy(self) -> AsyncIterator[None]:
        """A place for what reads a topic or runs a query; raises `Unreachable` HW-R035 where the queue is full."""
        if self._waiting >= self._limits.queue:
            raise _busy()
        self._waiting += 1
        try:
            await self._heavy.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._heavy.release()

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[None]:
        """A place for one who follows a feed."""
        if self._streams >= self._limits.streams:
            raise _busy()
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1


def _busy() -> Unreachable:
    return Unreachable(
        "the server has its hands full",
        code="HW-R035",
        detail="so many requests wait already that another would only wait longer",
        hint="try again as Retry-After says",
    )
