"""Several relays in one process, a thread each: what ends one of them ends no other.

A source that cannot go on (its slot is lost, a part is missing) says so at once and stays down; the others serve on,
because their services have done nothing wrong. When all have ended, or a stop is asked for, the failures are answered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from headwater.errors import Fault, HeadwaterError
from headwater.hooks import Hooks
from headwater.stopping import Stopping

_FAULT = "HW-K070"  # a fault of Headwater itself: an error that is none of ours
_WAIT_SECONDS = 3_600.0  # a signal or an end comes earlier


class Serving(Protocol):
    """A relay, as far as it is served here."""

    @property
    def name(self) -> str:
        """The source's name."""

    def run(self, stopping: Callable[[], bool]) -> None:
        """Serve until told to stop; raises what waiting cannot mend."""


def serve_all(
    relays: Sequence[Serving], stopping: Stopping, *, hooks: Hooks, stop_seconds: float
) -> list[BaseException]:
    """Serve until `stopping` is set or none is left; what ended relays, in the order in which it did.

    Each failure is announced as `relay.failed` with the number of relays that go on. After `stopping` the threads have
    `stop_seconds` seconds together; what is under way then is ended by whoever relays next.
    """
    failures: list[BaseException] = []
    left = len(relays)
    lock = threading.Lock()

    def serve(relay: Serving) -> None:
        nonlocal left
        # Until it returns: what a C library raises need not be an exception, and the thread would die unseen.
        failure: BaseException | None = Fault(f"{relay.name}: the relay ended without a word", code=_FAULT)
        try:
            relay.run(stopping.is_set)
            failure = None
        except BaseException as error:  # answered to the caller, who raises it
            failure = error
        except:  # noqa: E722
            pass
        with lock:
            left -= 1
            others = left
            if failure is not None:
                failures.append(failure)
        if failure is not None:
            _announce(hooks, relay.name, failure, others)
        if not others:
            stopping.set()

    threads = [threading.Thread(target=serve, args=[r], name=f"relay {r.name}", daemon=True) for r in relays]
    for thread in threads:
        thread.start()
    while not stopping.wait(_WAIT_SECONDS):
        pass
    for thread in threads:
        thread.join(stop_seconds / len(threads))
    return failures


def _announce(hooks: Hooks, source: str, error: BaseException, others: int) -> None:
    if isinstance(error, HeadwaterError):
        code, reason, hint = error.code, error.message, error.hint
    else:
        code, reason = _FAULT, f"a fault of Headwater itself ({type(error).__name__})"
        hint = "run the relay with HEADWATER_DEBUG=1 and report what it prints"
    hooks.announce("relay.failed", source=source, code=code, reason=reason, hint=hint, others=others)
