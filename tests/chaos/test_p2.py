"""P2, short: a runner that slept through a rebalance is found out; one that does not ask its group says all twice."""

from __future__ import annotations

import pytest
from tests.chaos import p2
from tests.chaos.pairs import side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(500)]
SEED = 20130502


def test_a_sleeper_is_found_out_and_nothing_is_said_twice(running: LocalStack) -> None:
    result, careless = side_by_side(
        lambda: p2.run(trials=3, seed=SEED, stack=running),
        lambda: p2.run(trials=1, seed=SEED, stack=running, saboteur="careless"),
    )
    assert result["passed"], told(result)
    # Where a rekey stands between, the next stage sees at once that a closed tick is said again, and ends: all is lost.
    assert careless["duplicates"] + careless["lost"] > 0 and not careless["passed"], told(careless)
