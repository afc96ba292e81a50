"""R5, short: awkward transactions come through whole, once and in order; two relays that take liberties do not."""

from __future__ import annotations

import pytest
from tests.chaos import r5
from tests.chaos.pairs import side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(400)]
SEED = 20130105


def test_awkward_transactions_come_through_and_liberties_are_found_out(running: LocalStack) -> None:
    r5.allow_prepared(running)
    result, hasty, forgetful = side_by_side(
        lambda: r5.run(trials=15, seed=SEED, stack=running),
        lambda: r5.run(trials=3, seed=SEED, stack=running, saboteur="hasty"),
        lambda: r5.run(trials=3, seed=SEED, stack=running, saboteur="forgetful"),
    )
    assert result["passed"], told(result)
    assert hasty["torn"] > 0 and not hasty["passed"], told(hasty)
    assert forgetful["duplicates"] > 0 and not forgetful["passed"], told(forgetful)
