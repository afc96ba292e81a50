"""The port as an ASGI application: paths and queries to answers, and whatever fails to problem details.

Paths are cut before they are decoded. What reads a topic or runs SQL does so in a thread, a few at a time; requests,
bodies and waits are bounded. Nothing is written, so that a request may be repeated by anybody in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlencode

import pyarrow as pa
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from headwater.errors import CallerFault, HeadwaterError
from headwater.ports.http.ask import AS_OF, FEED, HISTORY, SNAPSHOT, Ask, ask_of
from headwater.ports.http.asking import only, parameters, said_by
from headwater.ports.http.cursors import Cursors
from headwater.ports.http.following import Following, Piece
from headwater.ports.http.forms import FORMS, as_json, form_of, records_as, table_as, texts_as
from headwater.ports.http.limits import Gate, Limits
from headwater.ports.http.openapi import describe, summary
from headwater.ports.http.pages import Page, Pages
from headwater.ports.http.problems import missing, wrong
from headwater.ports.http.replies import SAFE, about_of, conditional, firmness, moment, problem, reply
from headwater.ports.http.served import Products, Served
from headwater.ports.http.slices import Slices
from headwater.ports.index.answers import IndexAnswers
from headwater.timeline.clock import Clock
from headwater.timeline.instant import Instant

_SETTLED_LOOK = 0.25  # seconds between two looks of one who waits until an answer is settled
_EVENTS = "text/event-stream"


class Found(Protocol):
    """What a SELECT has found: its rows, and how firm what it read is; `cut` where there were more than asked for."""

    @property
    def rows(self) -> pa.Table:
        """The rows."""

    @property
    def settled_to(self) -> Instant:
        """Up to when all that was read is settled."""

    @property
    def settled(self) -> bool:
        """Whether this can never change."""

    @property
    def cut(self) -> bool:
        """Whether there is more."""


Sql = Callable[[str, Ask, Callable[[str], Served]], Found]
Principal = Callable[[Request], str]


def nobody(request: Request) -> str:
    """Who asks, where nobody says so: a server that only its own machine reaches."""
    return ""


@dataclass
class HttpPort:
    """The port over some products. `sql` runs a SELECT over what its function finds; `principal` says who asks."""

    products: Products
    cursors: Cursors
    clock: Clock
    sql: Sql
    principal: Principal = nobody
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self._pages, self._slices = Pages(self.cursors), Slices(self.cursors)
        self._following = Following(self.cursors, self.clock)
        self._gate = Gate(self.limits, self.clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            request = Request(scope, receive)
            with suppress(ClientDisconnect):
                response = await self._answer(request)
                await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        address = request.client.host if request.client is not None else ""
        try:
            if request.scope["path"] in ("/healthz", "/readyz"):
                reader = ""
            else:
                reader = self._asking(request, address)
            self._gate.enter(reader or address)
            return await self._route(request, reader)
        except HeadwaterError as error:
            return problem(error)
        except RecursionError:
            return problem(wrong("what was sent is nested too deeply", "send less"))

    def _asking(self, request: Request, address: str) -> str:
        """Who asks. One who cannot say so is counted by the address, so that tokens cannot be tried for long."""
        try:
            return self.principal(request)
        except CallerFault:
            self._gate.enter(address)
            raise

    async def _route(self, request: Request, reader: str) -> Response:
        raw = request.scope.get("raw_path") or request.scope["path"].encode()
        parts = [unquote(part) for part in raw.decode("latin-1").strip("/").split("/")]
        method = request.method
        if parts == ["v1", "query"]:
            only(method, "GET", "POST")
            return await self._query(request, reader)
        only(method, "GET", "HEAD")
        if parts == ["healthz"]:
            return reply({"status": "ok"})
        if parts == ["readyz"]:
            ready = self.products.ready()
            return reply({"ready": ready}, status=200 if ready else 503)
        if parts == ["v1", "openapi.json"]:
            return conditional(
                request, Response(as_json(describe(self.products.all(reader))), media_type=FORMS["json"])
            )
        if parts == ["v1", "products"]:
            return reply({"products": [summary(one) for one in self.products.all(reader)]})
        if 4 <= len(parts) <= 6 and parts[:2] == ["v1", "products"]:
            what = {"as-of": self._as_of, "history": self._history, "snapshot": self._snapshot, "feed": self._feed}
            asked = what.get(parts.pop()) if parts[4:] and parts[-1] in what else None
            served = self.products.find(reader, "/".join([f"{parts[2]}.{parts[3]}", *parts[4:]]))
            if asked is None:
                return reply(summary(served) | {"schema": served.schema.inlined})
            return await asked(request, served)
        raise missing()

    async def _as_of(self, request: Request, served: Served) -> Response:
        ask = ask_of(parameters(request), AS_OF, served.product.output)
        return await self._paged(request, served, ask, lambda form: self._pages_of(served).page(served, ask, form=form))

    async def _history(self, request: Request, served: Served) -> Response:
        ask = ask_of(parameters(request), HISTORY, served.product.output)
        pages = self._pages_of(served)
        return await self._paged(request, served, ask, lambda form: pages.page(served, ask, history=True, form=form))

    async def _snapshot(self, request: Request, served: Served) -> Response:
        ask = ask_of(parameters(request), SNAPSHOT)
        pages = self._pages_of(served)
        return await self._paged(request, served, ask, lambda form: pages.snapshot(served, ask, form=form))

    def _pages_of(self, served: Served) -> Pages | Slices:
        return self._slices if isinstance(served.answers, IndexAnswers) else self._pages

    async def _paged(self, request: Request, served: Served, ask: Ask, read: Callable[[str], Page]) -> Response:
        form = form_of(ask.format, request.headers.get("accept", "*/*"))
        path = request.scope["path"]
        loop = asyncio.get_running_loop()
        until = loop.time() + ask.wait
        while True:
            async with self._gate.heavy():
                page, response = await asyncio.to_thread(lambda: _said(served, ask, path, form, read(form)))
            if page.answer.settled or loop.time() >= until:
                break
            await asyncio.sleep(_SETTLED_LOOK)
        return conditional(request, response)

    async def _feed(self, request: Request, served: Served) -> Response:
        ask = ask_of(parameters(request), FEED)
        last = request.headers.get("last-event-id", "")
        if not ask.format and _EVENTS in request.headers.get("accept", ""):
            return await self._stream(served, replace(ask, after=last or ask.after))
        form = form_of(ask.format, request.headers.get("accept", "*/*"))
        async with self._gate.stream():
            piece = await self._following.piece(served, ask, form)
        path = quote(request.scope["path"])
        place = {"after": piece.cursor, "limit": ask.limit, "wait": f"{ask.wait or 20:g}"}
        link = f"{path}?{urlencode(place | ({'format': ask.format} if ask.format else {}))}"
        about = {"product": str(served.product.name), "cursor": piece.cursor, "next": link}
        body = await asyncio.to_thread(_piece_as, form, served, piece, about)
        headers = {
            "headwater-cursor": piece.cursor,
            "headwater-unreadable": str(piece.unreadable),
            "link": f'<{link}>; rel="next"',
            "cache-control": "no-store",
        }
        return Response(body, headers=SAFE | headers, media_type=FORMS[form])

    async def _stream(self, served: Served, ask: Ask) -> Response:
        events = self._events(served, ask)
        first = await anext(events)  # a cursor that is refused is a problem, not an empty stream
        headers = SAFE | {"cache-control": "no-store"}
        return StreamingResponse(_behind(first, events), headers=headers, media_type=_EVENTS)

    async def _events(self, served: Served, ask: Ask) -> AsyncGenerator[bytes]:
        async with self._gate.stream(), aclosing(self._following.events(served, ask)) as events:
            async for some in events:
                yield some

    async def _query(self, request: Request, reader: str) -> Response:
        said = await said_by(request)
        text = said.pop("sql", "")
        if not text:
            raise wrong("there is no SELECT", 'sql=SELECT …, or POST {"sql": "SELECT …"}')
        ask = ask_of(said, ("valid", "recorded", "limit", "format"))
        form = form_of(ask.format, request.headers.get("accept", "*/*"))
        async with self._gate.heavy():
            found = await asyncio.to_thread(self.sql, text, ask, lambda name: self.products.selected(reader, name))
        about = {"settled": found.settled, "settled_to": moment(found.settled_to), "cut": found.cut}
        body = await asyncio.to_thread(table_as, form, found.rows, about)
        headers = firmness(found.settled_to, found.settled) | {"headwater-cut": str(found.cut).lower()}
        return conditional(request, Response(body, headers=headers, media_type=FORMS[form]))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self._following.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


def _piece_as(form: str, served: Served, piece: Piece, about: dict[str, Any]) -> bytes:
    if piece.texts:
        return texts_as(form, piece.records, about)
    return records_as(form, served.schema, piece.records, about)


def _said(served: Served, ask: Ask, path: str, form: str, page: Page) -> tuple[Page, Response]:
    """A page as the answer that says it, with links to what follows."""
    links = {}
    for name, cursor in (("next", page.next), ("tail", page.tail)):
        if cursor:
            kept = {"limit": str(ask.limit), **({"format": ask.format} if ask.format else {})}
            at = path if name == "next" else path.rpartition("/")[0] + "/feed"
            place = {"cursor": cursor} if name == "next" else {"after": cursor}
            links[name] = f"{quote(at)}?{urlencode({**kept, **place})}"
    body = records_as(form, served.schema, page.records, about_of(served, page) | links)
    headers = firmness(page.answer.settled_to, page.answer.settled) | {
        "headwater-unreadable": str(page.answer.unreadable),
        **({"link": ", ".join(f'<{link}>; rel="{name}"' for name, link in links.items())} if links else {}),
    }
    return page, Response(body, headers=headers, media_type=FORMS[form])


async def _behind(first: bytes, events: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(events):
        yield first
        async for some in events:
            yield some
