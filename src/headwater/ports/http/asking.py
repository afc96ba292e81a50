"""What a request says: its query, and the JSON object that it posts; both within bounds."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qsl

from starlette.requests import Request

from headwater.errors import CallerFault
from headwater.ports.http.problems import wrong

QUERY_BYTES_LIMIT = 16_000
BODY_BYTES_LIMIT = 100_000
_BODY_SECONDS = 10.0


def only(method: str, *allowed: str) -> None:
    """Refuse other methods."""
    if method not in allowed:
        raise CallerFault(f"{method[:20]} does nothing here", code="HW-R037", hint=" or ".join(allowed))


def parameters(request: Request) -> dict[str, str]:
    """The query; a parameter that stands twice is one too many."""
    text = request.scope.get("query_string", b"")
    if len(text) > QUERY_BYTES_LIMIT:
        raise wrong("the query is too long", f"{QUERY_BYTES_LIMIT:,} bytes at most")
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise wrong("the query is not one of URLs", "percent-encode what is not ASCII, as UTF-8") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise wrong("a parameter stands twice", "say each once")
    return found


async def said_by(request: Request) -> dict[str, str]:
    """The parameters of a request, out of its query, and out of the JSON object that it posts."""
    said = parameters(request)
    if request.method != "POST":
        return said
    gathered = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                gathered += chunk
                if len(gathered) > BODY_BYTES_LIMIT:
                    limit = f"{BODY_BYTES_LIMIT:,} bytes at most"
                    raise CallerFault("the request is too large", code="HW-R036", hint=limit)
    except TimeoutError:
        raise wrong("the request's body did not come to its end", f"send it within {_BODY_SECONDS:g} s") from None
    try:
        value = json.loads(gathered or b"{}")
    except ValueError:
        value = None
    if not isinstance(value, dict) or not all(isinstance(one, str | int) for one in value.values()):
        raise wrong("the request's body is no JSON object of texts and numbers", '{"sql": "SELECT …"}')
    return said | {str(name): str(one) for name, one in value.items()}
