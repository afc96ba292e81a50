"""The feed over HTTP: what was recorded after a cursor, in pieces as they come, or as server-sent events.

Opening a feed costs a reader and a turn to the broker, so the one that gave a piece is kept for a while under the
cursor that it ended with: a client that follows finds it again. Nothing depends on it: a cursor alone is enough.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

import pyarrow as pa

from headwater.ports.access import View
from headwater.ports.feed import Feed
from headwater.ports.http.ask import Ask
from headwater.ports.http.cursors import Cursors
from headwater.ports.http.forms import as_json
from headwater.ports.http.served import Served
from headwater.schemas.payload import writer
from headwater.timeline.bitemporal import Record
from headwater.timeline.clock import Clock

T = TypeVar("T")
Name = tuple[str, View, str]  # no cursor leads into the feed of another topic, or of a reader who sees more

_KEPT = 64
_KEPT_MICROSECONDS = 30_000_000
_LOOK_SECONDS = 0.05  # between two looks of one who waits
_GATHER = 2_000  # records that are looked for in one turn
_BEAT_SECONDS = 15.0  # of an event stream without events, so that proxies leave it open


@dataclass(frozen=True, slots=True)
class Piece:
    """Some records of a feed, and the cursor behind the last of them; `texts` where each is JSON text already."""

    records: Any
    cursor: str
    unreadable: int
    texts: bool


class Following:
    """Follows feeds for clients. Blocking parts run in threads."""

    def __init__(self, cursors: Cursors, clock: Clock) -> None:
        self._cursors, self._clock = cursors, clock
        self._kept: OrderedDict[Name, tuple[Feed, int]] = OrderedDict()
        self._lock = Lock()

    async def piece(self, served: Served, ask: Ask, form: str) -> Piece:
        """What follows `ask.after`, up to `ask.limit` records; waits up to `ask.wait` seconds for the first.

        As a table, or as JSON text where that is the form, if the reader may see every record: many in one step.
        """
        many = served.view.keeps is None
        texts = many and form in ("json", "ndjson")
        take: Callable[[Feed, int], Any] = _take_texts if texts else _take_columns if many else _take
        feed = await _beside(lambda: self._open(served, ask.after))
        loop = asyncio.get_running_loop()
        until = loop.time() + ask.wait
        try:
            while True:
                records = await _beside(lambda: take(feed, ask.limit))
                if len(records) or loop.time() >= until:
                    break
                await asyncio.sleep(_LOOK_SECONDS)
        except BaseException:
            feed.close()
            raise
        cursor = self._cursors.write("feed", served.topic, [feed.cursor])
        piece = Piece(records, cursor, feed.unreadable, texts)
        self._keep((served.topic, served.view, cursor), feed)
        return piece

    async def events(self, served: Served, ask: Ask) -> AsyncGenerator[bytes]:
        """The same without an end, a record an event: its id is the cursor behind it, for `Last-Event-ID`."""
        feed = await _beside(lambda: self._open(served, ask.after))
        convert, silent = writer(served.schema), 0.0
        try:
            yield b"retry: 1000\n\n"
            while True:
                records = await _beside(lambda: _take_each(feed, min(ask.limit, _GATHER)))
                if records:
                    silent = 0.0
                    yield b"".join(
                        b"id: %s\ndata: %s\n\n"
                        % (self._cursors.write("feed", served.topic, [cursor]).encode(), as_json(convert(record)))
                        for record, cursor in records
                    )
                    continue
                await asyncio.sleep(_LOOK_SECONDS)
                silent += _LOOK_SECONDS
                if silent >= _BEAT_SECONDS:
                    silent = 0.0
                    yield b": nothing new\n\n"
        finally:
            feed.close()

    def close(self) -> None:
        """Let go of all feeds that are kept."""
        with self._lock:
            kept, self._kept = self._kept, OrderedDict()
        for feed, _ in kept.values():
            feed.close()

    def _open(self, served: Served, after: str) -> Feed:
        with self._lock:
            kept = self._kept.pop((served.topic, served.view, after), None)
        if kept is not None:
            return kept[0]
        if after in ("start", "end"):
            return served.feeds.tail(after)
        (place,) = self._cursors.read("feed", served.topic, after)
        return served.feeds.tail(place)

    def _keep(self, name: Name, feed: Feed) -> None:
        now, old = self._clock.monotonic(), []
        with self._lock:
            before = self._kept.pop(name, None)
            self._kept[name] = (feed, now)
            while self._kept:
                oldest, (_, since) = next(iter(self._kept.items()))
                if len(self._kept) <= _KEPT and now - since < _KEPT_MICROSECONDS:
                    break
                old.append(self._kept.pop(oldest)[0])
        for one in [*old, *([before[0]] if before is not None else [])]:
            one.close()


def _take(feed: Feed, limit: int) -> list[Record]:
    found: list[Record] = []
    while len(found) < limit and (record := feed.poll(0.0 if found else 0.01)) is not None:
        found.append(record)
    return found


def _take_columns(feed: Feed, limit: int) -> pa.Table:
    return feed.table(limit, 0.01)


def _take_texts(feed: Feed, limit: int) -> list[str]:
    return feed.texts(limit, 0.01)


def _take_each(feed: Feed, limit: int) -> list[tuple[Record, str]]:
    found: list[tuple[Record, str]] = []
    while len(found) < limit and (record := feed.poll(0.0 if found else 0.01)) is not None:
        found.append((record, feed.cursor))
    return found


async def _beside(work: Callable[[], T]) -> T:
    """In a thread, to its end: a feed that is closed while a thread still reads it would take the process with it."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
