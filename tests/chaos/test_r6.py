"""R6, short: a relay that slept through its successor's work is fenced; without the fence its rows come twice."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chaos import r6
from tests.chaos.pairs import found_out, hit, side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130106


def test_a_sleeper_is_fenced_when_it_wakes_and_found_out_where_it_is_not(running: LocalStack) -> None:
    def sabotaged(seed: int) -> dict[str, Any]:
        return r6.run(trials=1, seed=seed, stack=running, saboteur="unfenced")

    result, unfenced = side_by_side(
        lambda: hit(lambda seed: r6.run(trials=1, seed=seed, stack=running), SEED),
        # Where the second relay is slow, the broker ends the sleeper's transaction before it wakes.
        lambda: found_out(sabotaged, SEED, lambda found: found["records_of_a_sleeper_after_the_fence"]),
    )
    assert result["passed"], told(result)
    # Whether its transaction ends in a commit or an abort depends on when it wakes; what it wrote is there either way.
    assert unfenced["records_of_a_sleeper_after_the_fence"] > 0, unfenced
    assert not unfenced["passed"], told(unfenced)
