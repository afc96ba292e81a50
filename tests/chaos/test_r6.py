"""R6, short: a relay that slept through its successor's work is fenced; without the fence its rows come twice."""

from __future__ import annotations

import pytest
from tests.chaos import r6
from tests.chaos.pairs import side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(300)]
SEED = 20130106


def test_a_sleeper_is_fenced_when_it_wakes_and_found_out_where_it_is_not(running: LocalStack) -> None:
    result, unfenced = side_by_side(
        lambda: r6.run(trials=1, seed=SEED, stack=running),
        # Twice: where the second relay is slow, the broker ends the sleeper's transaction before it wakes.
        lambda: r6.run(trials=2, seed=SEED, stack=running, saboteur="unfenced"),
    )
    assert result["passed"], told(result)
    # Whether its transaction ends in a commit or an abort depends on when it wakes; what it wrote is there either way.
    assert unfenced["records_of_a_sleeper_after_the_fence"] > 0, unfenced
    assert not unfenced["passed"], told(unfenced)
