"""The Confluent REST API over HTTP: paths, queries and bodies to a `RegistryService`, and its refusals to error bodies.

Paths are cut before they are decoded, so that a subject may hold a slash. A request that reads is answered at once; one
that writes, or that has a schema to parse, runs in a thread, one writer at a time, so that a hostile body or a slow log
holds nobody else up.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headwater.errors import HeadwaterError, Unreachable
from headwater.schemas import registry_errors as codes
from headwater.schemas.registry_errors import RegistryRefusal
from headwater.schemas.registry_routes import ROUTES, Call
from headwater.schemas.registry_service import RegistryService

BODY_BYTES_LIMIT = 2_000_000  # a schema may have half of it, with all its escapes
QUERY_LENGTH_LIMIT = 8_000
CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"

Authorizer = Callable[[str, str, Mapping[str, str]], bool]


def allow_all(method: str, path: str, headers: Mapping[str, str]) -> bool:
    """The authorizer of a registry that only its own machine reaches."""
    return True


@dataclass
class RegistryApp:
    """The registry as an ASGI application. `allows` is asked with method, path and headers before anything else."""

    service: RegistryService
    allows: Authorizer = allow_all
    _writer: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            try:
                response = await self._answer(Request(scope, receive))
            except ClientDisconnect:
                return
            await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            result = await self._result(request)
        except RegistryRefusal as refusal:
            return _json(refusal.body(), refusal.status)
        except Unreachable as error:
            return _json({"error_code": codes.STORE_TIMEOUT, "message": error.message}, 500)
        except HeadwaterError as error:
            return _json({"error_code": codes.STORE_FAILED, "message": error.message}, 500)
        except RecursionError:
            deep = RegistryRefusal(codes.INVALID_SCHEMA, "Invalid schema: types are nested too deeply")
            return _json(deep.body(), deep.status)
        return result if isinstance(result, Response) else _json(result)

    async def _result(self, request: Request) -> Any:
        raw = request.scope.get("raw_path") or request.scope["path"].encode()
        path = raw.decode("latin-1")
        if not self.allows(request.method, path, request.headers):
            return _json({"error_code": 40101, "message": "Unauthorized"}, 401)
        segments = [unquote(part) for part in path.strip("/").split("/")]
        prefix = ""
        if len(segments) > 2 and segments[0] == "contexts":
            prefix = "" if segments[1] in (".", ":.:") else f":{segments[1].strip(':')}:"
            segments = segments[2:]
        call = Call(self.service, request.method, segments, _query(request), prefix)
        route = _route(call)
        if route.body:
            call.body = await _body(request)
        if route.writes:
            async with self._writer:
                result = await run_in_threadpool(_write, route.answer, call)
        elif route.body:
            result = await run_in_threadpool(route.answer, call)
        else:
            result = route.answer(call)
        return Response(result, media_type="application/json") if isinstance(result, bytes) else result


def _write(answer: Callable[[Call], Any], call: Call) -> Any:
    call.service.settle()
    return answer(call)


def _route(call: Call) -> Any:
    allowed = set()
    for route in ROUTES.get(len(call.segments), ()):
        if all(part in ("*", segment) for part, segment in zip(route.path, call.segments, strict=True)):
            if route.method == call.method:
                return route
            allowed.add(route.method)
    if allowed:
        raise RegistryRefusal(codes.METHOD_NOT_ALLOWED, f"HTTP 405 Method Not Allowed: {', '.join(sorted(allowed))} is")
    raise RegistryRefusal(codes.NOT_FOUND, "HTTP 404 Not Found")


def _query(request: Request) -> dict[str, str]:
    text = request.scope.get("query_string", b"")
    if len(text) > QUERY_LENGTH_LIMIT:
        raise RegistryRefusal(codes.BAD_REQUEST, "the query is too long")
    return dict(parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=50)) if text else {}


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request; its size is bounded as it comes in."""
    gathered = bytearray()
    async for chunk in request.stream():
        gathered += chunk
        if len(gathered) > BODY_BYTES_LIMIT:
            raise RegistryRefusal(codes.SCHEMA_TOO_LARGE, f"The request is too large: over {BODY_BYTES_LIMIT} bytes")
    try:
        value = json.loads(gathered or b"{}")
    except (ValueError, RecursionError):
        raise RegistryRefusal(codes.UNPROCESSABLE, "The request's body is not JSON") from None
    if not isinstance(value, dict):
        raise RegistryRefusal(codes.UNPROCESSABLE, "The request's body is not a JSON object")
    return value


def _json(value: Any, status: int = 200) -> Response:
    text = json.dumps(value, separators=(",", ":")).encode()
    return Response(text, status_code=status, media_type=CONTENT_TYPE)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
