"""A program and its saboteurs side by side: both wait more than they work, and a checker without a red run is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Run = Callable[[], dict[str, Any]]


def side_by_side(*runs: Run) -> list[dict[str, Any]]:
    """What each run answers, printed too."""
    with ThreadPoolExecutor(len(runs)) as threads:
        results = [future.result() for future in [threads.submit(run) for run in runs]]
    print(json.dumps(results, indent=1))
    return results
