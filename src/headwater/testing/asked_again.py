"""A call to a broker that shares two cores with all that a test runs: it may be silent for as long as a call waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from headwater.errors import Unreachable

TIMES = 4

Answer = TypeVar("Answer")


def asked_again(call: Callable[[], Answer]) -> Answer:
    """What a call answers that may be repeated; raises `Unreachable` where the broker was silent each time."""
    for _ in range(TIMES - 1):
        try:
            return call()
        except Unreachable:
            continue
    return call()
