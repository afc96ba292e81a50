"""What went wrong, as a client is told it: problem details (RFC 9457), with the error's own code and the way out."""

from __future__ import annotations

from typing import Any

from headwater.errors import CallerFault, HeadwaterError, NotSupported, PolicyRefused, Unreachable

CONTENT_TYPE = "application/problem+json"
_STATUS = {
    "HW-R030": 404, "HW-R031": 400, "HW-R032": 400, "HW-R033": 406, "HW-R034": 429, "HW-R035": 503, "HW-R036": 413,
    "HW-R037": 405, "HW-R042": 401, "HW-R021": 409, "HW-K066": 422, "HW-K067": 501,
}  # fmt: skip


def missing() -> CallerFault:
    """Nothing there, or nothing for this reader: both look the same."""
    return CallerFault(
        "there is no such thing here",
        code="HW-R030",
        detail="no product of that name is served to you",
        hint="GET /v1/products names those that are",
    )


def wrong(what: str, hint: str) -> CallerFault:
    """A parameter that cannot be what it is."""
    return CallerFault(what, code="HW-R031", hint=hint)


def status_of(error: HeadwaterError) -> int:
    """The status of an answer that says this error."""
    if error.code in _STATUS:
        return _STATUS[error.code]
    match error:
        case PolicyRefused():
            return 404  # forbidden looks like missing
        case NotSupported():
            return 501
        case CallerFault():
            return 400
        case Unreachable():
            return 503
        case _:
            return 500


def body_of(error: HeadwaterError) -> dict[str, Any]:
    """The error as problem details. Of a fault of ours a client is told that there is one, and no more."""
    status = status_of(error)
    if status == 500:
        return {"type": "about:blank", "title": "the server met a fault of its own", "status": 500, "code": error.code}
    said = missing() if isinstance(error, PolicyRefused) else error
    told = {"type": f"urn:headwater:{said.code}", "title": said.message, "status": status, "code": said.code}
    return told | {name: text for name, text in (("detail", said.detail), ("hint", said.hint)) if text}
