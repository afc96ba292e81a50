"""Answers as HTTP has them: bodies with tags, headers that say how firm they are, problems."""

from __future__ import annotations

import hashlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater.errors import HeadwaterError
from headwater.ports.answers import firm
from headwater.ports.http.forms import FORMS, as_json
from headwater.ports.http.pages import Page
from headwater.ports.http.problems import CONTENT_TYPE, body_of
from headwater.ports.http.served import Served
from headwater.timeline.instant import Instant

SAFE = {"x-content-type-options": "nosniff", "vary": "accept"}


def about_of(served: Served, page: Page) -> dict[str, Any]:
    """What JSON says beside a page's records."""
    answer = page.answer
    return {
        "product": str(served.product.name),
        "major": served.product.major,
        "recorded": moment(page.recorded) if page.recorded is not None else None,
        "settled": answer.settled,
        "settled_to": moment(answer.settled_to),
        "firmness": firm(answer.settled_to, answer.settled),
    }


def firmness(settled_to: Instant, settled: bool) -> dict[str, str]:
    """Headers that say how firm an answer is, and how long it may be kept."""
    # Corrections are recorded later and change later answers only; retention and erasure are why it is not for ever.
    kept = "private, max-age=60" if settled else "private, no-cache"
    told = {"headwater-settled": str(settled).lower(), "cache-control": kept}
    return SAFE | told | ({"headwater-settled-to": str(moment(settled_to))} if settled_to >= 0 else {})


def moment(instant: Instant) -> str | None:
    """An instant as text; None where nothing is settled."""
    return instant.iso() if instant >= 0 else None


def conditional(request: Request, response: Response) -> Response:
    """With its tag; without its body where the client has it already."""
    tag = f'"{hashlib.sha256(bytes(response.body)).hexdigest()[:32]}"'
    response.headers["etag"] = tag
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known or "*" in known:
        kept = {
            name: value for name, value in response.headers.items() if name not in ("content-length", "content-type")
        }
        return Response(status_code=304, headers=kept)
    return response


def reply(value: Any, *, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(as_json(value), status_code=status, headers=SAFE, media_type=FORMS["json"])


def problem(error: HeadwaterError) -> Response:
    """An error as problem details."""
    body = body_of(error)
    headers = {**SAFE, **({"retry-after": "1"} if body["status"] in (429, 503) else {})}
    if body["status"] == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(as_json(body), status_code=body["status"], headers=headers, media_type=CONTENT_TYPE)
