"""Several writers in one process: each in a thread of its own, and one that cannot go on leaves the others alone."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from headwater.errors import Fault, HeadwaterError
from headwater.hooks import Hooks
from headwater.ports.lake.writer import LakeWriter
from headwater.stopping import Stopping

_LOOK_SECONDS = 0.2


def serve_all(writers: Mapping[str, LakeWriter], stopping: Stopping, *, hooks: Hooks) -> list[HeadwaterError]:
    """Fill tables, by their names, until `stopping` is set or no writer is left; what ended writers, in its order.

    Each failure is announced as `lake.failed`, with the number of writers that go on.
    """
    failures: list[HeadwaterError] = []
    left = set(writers)
    lock = threading.Lock()

    def serve(name: str, writer: LakeWriter) -> None:
        failure: HeadwaterError | None = None
        try:
            writer.run(stopping.is_set)
        except HeadwaterError as error:
            failure = error
        except Exception as error:
            failure = Fault(
                f"{name}: the writer ended by {type(error).__name__}",
                code="HW-I017",
                detail="this is a fault of Headwater itself; the table is as it was after the last commit",
                hint="report it with what the command printed; the next start goes on from the table",
            )
        with lock:
            left.discard(name)
            others = len(left)
            if failure is not None:
                failures.append(failure)
        if failure is not None:
            hooks.announce(
                "lake.failed",
                table=name, code=failure.code, reason=failure.message, hint=failure.hint, others=others,
            )  # fmt: skip

    threads = [threading.Thread(target=serve, args=one, name=f"lake {one[0]}") for one in writers.items()]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and not stopping.wait(_LOOK_SECONDS):
        pass
    for thread in threads:
        thread.join()
    return failures
