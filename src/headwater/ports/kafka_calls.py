"""Calls of the Kafka client that serve callbacks, each ending in a result or in a real exception."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

_R = TypeVar("_R")


def called(call: Callable[[], _R]) -> _R:
    """What a call answers. Raises as it does, save that a bare `KafkaError` becomes a `KafkaException`.

    Where a fatal error surfaces while callbacks are served, the binding (2.16.1) was seen to raise its `KafkaError`
    itself, which is no exception: no `except` with a name catches it, and a thread dies of it without a word. Nothing
    may be raised while it is handled either, since Python would take it for a link of the chain.
    """
    raised: Any = None
    try:
        return call()
    except:  # noqa: E722
        raised = sys.exc_info()[1]
    if isinstance(raised, KafkaError):
        raise KafkaException(raised)
    raise raised
