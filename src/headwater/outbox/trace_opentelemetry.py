"""The door to OpenTelemetry: the current span as a traceparent. Imported only where the package is installed."""

from __future__ import annotations

from opentelemetry import trace


def span_traceparent() -> str | None:
    """The W3C traceparent of the current span; None where there is none."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
