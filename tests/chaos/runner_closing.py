"""A saboteur of T1: a runner that takes an hour to be over when a later one has begun, and drops what still comes."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from headwater.cli.main import main
from headwater.processing import task
from headwater.processing.engine import StageTask

HOUR = 3_600_000_000
newest: dict[str, int] = defaultdict(int)
_record = StageTask.record


def record_in_time(
    self: StageTask, topic: str, offset: int, key: bytes, record: Mapping[str, Any], headers: Any = ()
) -> None:
    """As the engine's, but not of an hour before the newest of its customer."""
    hour = record["occurred_at"] // HOUR
    newest[record["customer"]] = max(newest[record["customer"]], hour)
    if hour == newest[record["customer"]]:
        _record(self, topic, offset, key, record, headers)


if __name__ == "__main__":
    StageTask.record = record_in_time  # type: ignore[method-assign]
    task.reads_columns = lambda stage: frozenset()  # what goes as columns does not come by here
    sys.argv = ["headwater", "run", *sys.argv[1:]]
    main()
