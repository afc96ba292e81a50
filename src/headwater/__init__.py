"""Headwater: a streaming, event-driven data-product platform on Apache Kafka, with two times on every record.

The public names, each loaded when it is first used, so that `import headwater` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headwater.outbox.change import Change as Change
    from headwater.outbox.change import Record as Record
    from headwater.outbox.emission import Emission as Emission
    from headwater.outbox.emission import EmitOptions as EmitOptions
    from headwater.ports.consuming import Update as Update
    from headwater.processing.expressions import col as col
    from headwater.processing.expressions import lit as lit
    from headwater.processing.expressions import when as when
    from headwater.processing.flow import Stream as Stream
    from headwater.processing.flow import average as average
    from headwater.processing.flow import count as count
    from headwater.processing.flow import count_distinct as count_distinct
    from headwater.processing.flow import first as first
    from headwater.processing.flow import fold as fold
    from headwater.processing.flow import last as last
    from headwater.processing.flow import maximum as maximum
    from headwater.processing.flow import minimum as minimum
    from headwater.processing.flow import total as total
    from headwater.processing.windows import calendar as calendar
    from headwater.processing.windows import hopping as hopping
    from headwater.processing.windows import session as session
    from headwater.processing.windows import tumbling as tumbling
    from headwater.processing.windows import whole as whole
    from headwater.sdk.consume import consume as consume
    from headwater.sdk.consume import consume_async as consume_async
    from headwater.sdk.emit import emit as emit
    from headwater.sdk.emit import emit_async as emit_async
    from headwater.sdk.emit import emit_many as emit_many
    from headwater.sdk.emit import emit_many_async as emit_many_async
    from headwater.sdk.open import open as open
    from headwater.sdk.outbox_session import outbox_of as outbox_of
    from headwater.sdk.query import query as query

_HOMES: dict[str, str] = {
    "Change": "headwater.outbox.change",
    "Record": "headwater.outbox.change",
    "Emission": "headwater.outbox.emission",
    "EmitOptions": "headwater.outbox.emission",
    "Stream": "headwater.processing.flow",
    "average": "headwater.processing.flow",
    "calendar": "headwater.processing.windows",
    "col": "headwater.processing.expressions",
    "consume": "headwater.sdk.consume",
    "consume_async": "headwater.sdk.consume",
    "count": "headwater.processing.flow",
    "count_distinct": "headwater.processing.flow",
    "emit": "headwater.sdk.emit",
    "emit_async": "headwater.sdk.emit",
    "emit_many": "headwater.sdk.emit",
    "emit_many_async": "headwater.sdk.emit",
    "first": "headwater.processing.flow",
    "fold": "headwater.processing.flow",
    "hopping": "headwater.processing.windows",
    "last": "headwater.processing.flow",
    "lit": "headwater.processing.expressions",
    "maximum": "headwater.processing.flow",
    "minimum": "headwater.processing.flow",
    "open": "headwater.sdk.open",
    "outbox_of": "headwater.sdk.outbox_session",
    "query": "headwater.sdk.query",
    "session": "headwater.processing.windows",
    "Update": "headwater.ports.consuming",
    "total": "headwater.processing.flow",
    "tumbling": "headwater.processing.windows",
    "when": "headwater.processing.expressions",
    "whole": "headwater.processing.windows",
}

__all__ = [
    "Change",
    "Emission",
    "EmitOptions",
    "Record",
    "Stream",
    "Update",
    "average",
    "calendar",
    "col",
    "consume",
    "consume_async",
    "count",
    "count_distinct",
    "emit",
    "emit_async",
    "emit_many",
    "emit_many_async",
    "first",
    "fold",
    "hopping",
    "last",
    "lit",
    "maximum",
    "minimum",
    "open",
    "outbox_of",
    "query",
    "session",
    "total",
    "tumbling",
    "when",
    "whole",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'headwater' has no public name '{name}'")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
