"""P2, short: a runner that slept through a rebalance is found out; one that does not ask its group says all twice."""

from __future__ import annotations

import pytest
from tests.chaos import p2
from tests.chaos.pairs import beside
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130502


def test_a_sleeper_is_found_out_and_nothing_is_said_twice(running: LocalStack) -> None:
    result, careless = beside(
        lambda seed: p2.run(trials=1, seed=seed, stack=running),
        lambda seed: p2.run(trials=1, seed=seed, stack=running, saboteur="careless"),
        SEED,
        lambda found: found["duplicates"] + found["lost"],
    )
    assert result["passed"], told(result)
    # Where a rekey stands between, the next stage sees at once that a closed tick is said again, and ends: all is lost.
    assert careless["duplicates"] + careless["lost"] > 0 and not careless["passed"], told(careless)
