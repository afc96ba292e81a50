"""P1, short: a runner killed at the steps of its transaction says each fact's versions once; saboteurs do not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chaos import p1
from tests.chaos.pairs import found_out, hit, side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130501


def test_a_killed_runner_says_all_once_and_offsets_apart_are_found_out(running: LocalStack) -> None:
    def sabotaged(seed: int) -> dict[str, Any]:
        return p1.run(trials=2, seed=seed, stack=running, saboteur="apart")

    result, apart = side_by_side(
        lambda: hit(lambda seed: p1.run(trials=2, seed=seed, stack=running), SEED),
        lambda: found_out(sabotaged, SEED, lambda found: found["lost"]),
    )
    assert result["passed"], told(result)
    assert apart["lost"] > 0 and not apart["passed"], told(apart)


@pytest.mark.long
def test_a_store_written_before_the_commit_is_found_out(running: LocalStack) -> None:
    result, hasty = side_by_side(
        lambda: p1.run(trials=8, seed=SEED, stack=running),
        lambda: p1.run(trials=2, seed=SEED, stack=running, saboteur="hasty"),
    )
    assert result["passed"], told(result)
    assert hasty["lost"] > 0 and hasty["stale_state"] > 0 and not hasty["passed"], told(hasty)
