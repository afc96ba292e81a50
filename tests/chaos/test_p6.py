"""P6, short: a backlog too large for one transaction is taken in smaller ones; who does not learn gets nowhere."""

from __future__ import annotations

import pytest
from tests.chaos import p6
from tests.chaos.pairs import beside
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130506


def test_a_slow_transaction_is_tried_again_with_less_and_who_does_not_learn_is_found_out(running: LocalStack) -> None:
    result, steadfast = beside(
        lambda seed: p6.run(trials=1, seed=seed, stack=running),
        lambda seed: p6.run(trials=1, seed=seed, stack=running, saboteur="steadfast"),
        SEED,
        lambda found: found["lost"] and "moved_on" in found["against"],
    )
    assert result["passed"], told(result)
    assert steadfast["lost"] > 0 and "moved_on" in steadfast["against"], told(steadfast)
