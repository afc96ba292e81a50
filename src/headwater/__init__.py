"""Headwater: a streaming, event-driven data-product platform on Apache Kafka, with two times on every record.

The public names, each loaded when it is first used, so that `import headwater` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headwater.processing.expressions import col as col
    from headwater.processing.expressions import lit as lit
    from headwater.processing.expressions import when as when
    from headwater.processing.flow import Stream as Stream
    from headwater.sdk.emit import emit as emit

_HOMES: dict[str, str] = {
    "Stream": "headwater.processing.flow",
    "col": "headwater.processing.expressions",
    "lit": "headwater.processing.expressions",
    "when": "headwater.processing.expressions",
    "emit": "headwater.sdk.emit",
}

__all__ = ["Stream", "col", "emit", "lit", "when"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'headwater' has no public name '{name}'")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
