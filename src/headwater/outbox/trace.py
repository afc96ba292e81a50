"""W3C trace context: what a `traceparent` is, and where it comes from when the caller does not say it."""

from __future__ import annotations

import importlib.util
import re
from functools import cache

from headwater.errors import CallerFault

# Version, trace, span, flags. Version ff is forbidden; a trace or span of zeros means none. Later versions may append.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")


def checked_traceparent(text: str) -> str:
    """The text, if it is a W3C traceparent; raises `CallerFault` HW-O068.

    >>> checked_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")[:5]
    '00-0a'
    """
    if not isinstance(text, str) or not _TRACEPARENT.match(text):
        raise CallerFault(
            "the traceparent is not one of W3C trace context",
            code="HW-O068",
            detail="it is version, trace, span and flags in small hexadecimal digits, and neither id is all zeros",
            hint="pass the request's header as it came, for example 00-<32 digits>-<16 digits>-01; or leave it out",
        )
    return text


def current_traceparent() -> str | None:
    """That of the current OpenTelemetry span; None without OpenTelemetry or outside of any span."""
    if not _opentelemetry():
        return None
    from headwater.outbox.trace_opentelemetry import span_traceparent

    return span_traceparent()


@cache
def _opentelemetry() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.trace") is not None
    except ModuleNotFoundError:
        return False
