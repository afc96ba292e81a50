"""A program and its saboteurs side by side: both wait more than they work, and a checker without a red run is none.

Whether a kill falls where it hurts is the machine's choice too. Where a program found nothing wrong and did not hit
what it aims at, and where a saboteur did no harm yet, nothing is shown: it is run again, with the next seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Run = Callable[[], dict[str, Any]]
Seeded = Callable[[int], dict[str, Any]]
Red = Callable[[dict[str, Any]], Any]
TRIES = 4
# What a program holds against its own run, and not against what it hurts.
MISSED = frozenset(
    (
        "all_killed", "all_sent", "all_struck", "as_many_behind_an_open_transaction", "digests_checked",
        "each_was_too_slow_at_first", "half_of_the_kills_in_doubt", "killed_in_the_middle", "rows_skipped",
        "slots_gone_back", "spilled_by_the_server", "transactions_left_open",
    )
)  # fmt: skip


def side_by_side(*runs: Run) -> list[dict[str, Any]]:
    """What each run answers, printed too."""
    with ThreadPoolExecutor(len(runs)) as threads:
        results = [future.result() for future in [threads.submit(run) for run in runs]]
    print(json.dumps(results, indent=1))
    return results


def beside(run: Seeded, saboteur: Seeded, seed: int, red: Red) -> list[dict[str, Any]]:
    """A program that hit what it aims at, and beside it its saboteur, found out."""
    return side_by_side(lambda: hit(run, seed), lambda: found_out(saboteur, seed, red))


def hit(run: Seeded, seed: int) -> dict[str, Any]:
    """The first run, of a few, that hit what it aims at, or has anything else against it."""
    return found_out(run, seed, lambda result: not result["against"] or not MISSED.issuperset(result["against"]))


def found_out(run: Seeded, seed: int, red: Red) -> dict[str, Any]:
    """The first run of a saboteur, of a few, that `red` holds for; else the last."""
    for trial in range(TRIES):
        result = run(seed + trial)
        if red(result):
            break
    return result
