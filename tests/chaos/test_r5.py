"""R5, short: awkward transactions come through whole, once and in order; two relays that take liberties do not."""

from __future__ import annotations

import pytest
from tests.chaos import r5
from tests.chaos.pairs import Seeded, found_out, hit, side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130105


def test_awkward_transactions_come_through_and_liberties_are_found_out(running: LocalStack) -> None:
    def sabotaged(saboteur: str) -> Seeded:
        return lambda seed: r5.run(trials=3, seed=seed, stack=running, saboteur=saboteur)

    r5.allow_prepared(running)
    result, hasty, forgetful = side_by_side(
        lambda: hit(lambda seed: r5.run(trials=15, seed=seed, stack=running), SEED),
        lambda: found_out(sabotaged("hasty"), SEED, lambda found: found["torn"]),
        lambda: found_out(sabotaged("forgetful"), SEED, lambda found: found["duplicates"]),
    )
    assert result["passed"], told(result)
    assert hasty["torn"] > 0 and not hasty["passed"], told(hasty)
    assert forgetful["duplicates"] > 0 and not forgetful["passed"], told(forgetful)
