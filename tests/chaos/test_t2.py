"""T2, short: clocks that are wrong do not make recorded time fall; a relay that trusts its database's does."""

from __future__ import annotations

import pytest
from tests.chaos import t2
from tests.chaos.pairs import beside
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130202


def test_wrong_clocks_are_outlived_and_a_relay_that_trusts_them_is_found_out(running: LocalStack) -> None:
    result, trusting = beside(
        lambda seed: t2.run(trials=2, seed=seed, stack=running),
        lambda seed: t2.run(trials=2, seed=seed, stack=running, saboteur="trusting"),
        SEED,
        lambda found: found["stamp_breaks"],
    )
    assert result["passed"], told(result)
    assert trusting["stamp_breaks"] > 0 and not trusting["passed"], told(trusting)
